"""``nucleiseg finetune``."""

from __future__ import annotations

import re
import signal
import sys
import time

import pytest
from running import STAINED, finish, run, start

from napari_nucleiseg.finetuning import task
from napari_nucleiseg.replay import read_replay
from napari_nucleiseg.store import read_card

FEW = ("--steps", "2", "--batch-size", "2", "--patch-px", "64", "--device", "cpu")


@pytest.fixture(autouse=True)
def few_crops(monkeypatch):
    def few(normalise, splits):
        return read_replay(normalise, splits)[::12]

    monkeypatch.setattr(task, "read_replay", few)


@pytest.mark.slow
def test_a_model_comes_out_with_a_table_and_a_verdict(pairs, tmp_path):
    out = tmp_path / "out"
    result = run("finetune", "--data", pairs, "--out", out, "--name", "mine", *FEW)
    assert re.search(r"Dice +IoU +AP@0.5 +AP +PQ", result.stdout)
    assert re.search(r"held-out corrections \(\d+ nuclei\) +before( +0\.\d{3}){5}", result.stdout)
    assert re.search(r"replay set \(\d+ nuclei\) +before", result.stdout)
    (model,) = out.glob("*.safetensors")
    assert f"{model}" in result.stdout
    card = read_card(model)
    recommended = card.card["recommended"]
    assert recommended == (model.stem == "mine")
    assert ("is not recommended" in result.stdout) != recommended
    assert re.findall(r"^epoch (\d)", result.stderr, re.MULTILINE) == ["1", "2"]
    run("segment", STAINED, "--model", model, "--out", tmp_path / "found", "--engine", "torch")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
def test_stopped_gone_on_with_and_concluded(pairs, tmp_path):
    out = tmp_path / "out"
    words = ("finetune", "--data", pairs, "--out", out, *FEW, "--steps", "400")
    process = start(*words)
    deadline = time.monotonic() + 240
    while not (out / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    text, err = finish(process, code=130)
    assert "Stopping after this step" in err
    assert "The same command goes on from there" in text
    assert not list(out.glob("*.safetensors"))
    result = run(*words, "--conclude")
    assert "held-out corrections" in result.stdout
    assert len(list(out.glob("*.safetensors"))) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "nucleii"), "There is no such model: 'nucleii'"),
        (("--optimizer", "adamm"), "Unknown optimizer"),
        (("--may-forget", "much"), "nothing or a little or anything"),
        (("--minutes", "-1"), "--minutes -1"),
        (("--conclude", "--no-resume"), "Only an earlier run can be concluded"),
        (("--name", "../other"), "--name ../other"),
    ],
)
def test_wrong_settings_end_in_a_sentence(pairs, tmp_path, words, said):
    result = run("finetune", "--data", pairs, "--out", tmp_path / "out", *words, code=2)
    assert said in result.stderr
