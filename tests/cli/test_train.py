"""``nucleiseg train``."""

from __future__ import annotations

import json
import re
import signal
import sys
import time

import pytest
from running import STAINED, TINY, finish, run, start

from napari_nucleiseg import store
from napari_nucleiseg.events import BatchDone
from napari_nucleiseg.models import MODELS
from napari_nucleiseg.optimizers import OPTIMIZERS
from napari_nucleiseg.schedules import SCHEDULES


@pytest.mark.slow
def test_a_model_comes_out_that_segments(pairs, tmp_path):
    out = tmp_path / "run 1"
    result = run("train", "--data", pairs, "--out", out, "--epochs", "2", *TINY)
    assert re.findall(r"^epoch (\d)", result.stderr, re.MULTILINE) == ["1", "2"]
    assert "Trained 2 epochs" in result.stdout
    model = out / "run 1.safetensors"
    assert str(model) in result.stdout
    run("segment", STAINED, "--model", model, "--out", tmp_path / "out", "--engine", "torch")
    manifest = json.loads((tmp_path / "out" / "stained_labels.json").read_text())
    assert manifest["model"]["sha256"] == store.read_card(model).sha256
    again = run("train", "--data", pairs, "--out", out, "--epochs", "2", *TINY)
    assert "is finished already; --no-resume starts anew" in again.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
def test_stopped_and_gone_on_with(pairs, tmp_path):
    out = tmp_path / "run"
    words = ("train", "--data", pairs, "--out", out, "--epochs", "1000", *TINY)
    process = start(*words)
    deadline = time.monotonic() + 90
    while not (out / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    text, err = finish(process, code=130)
    assert "Stopping after this step" in err
    assert re.search(r"Stopped after epoch \d+; kept in .*last\.pt", text)
    assert (out / "run.safetensors").is_file()
    again = start(*words)
    for line in again.stderr:
        if "going on after epoch" in line:
            break
    again.send_signal(signal.SIGTERM)
    finish(again, code=130)


def test_settings_come_from_recipe_assignments_and_flags(pairs, tmp_path, monkeypatch):
    seen = []

    def train(data, config, out, *, resume):
        seen.append((config, resume))
        yield BatchDone(1, 1, 0.5, 1.0)

    monkeypatch.setattr("napari_nucleiseg.training.train", train)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("minutes: 5\nlearning_rate: 0.002\nbatch_size: 7\naugment: {blur: 0.3}\n")
    words = ("train", "--data", pairs, "--out", tmp_path / "out", "--recipe", recipe)
    run(*words)
    run(*words, "--set", "augment.noise=0", "--set", "batch_size=3", "--batch-size", "2")
    run(*words, "--epochs", "4", "--no-resume", "--no-amp")
    plain, assigned, counted = (config for config, _ in seen)
    assert (plain.minutes, plain.learning_rate, plain.batch_size) == (5, 0.002, 7)
    assert plain.augment.blur == 0.3
    assert (assigned.augment.blur, assigned.augment.noise, assigned.batch_size) == (0.3, 0, 2)
    assert (counted.epochs, counted.minutes, counted.amp) == (4, None, False)
    assert [resume for _, resume in seen] == [True, True, False]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "0"], "--epochs 0. Allowed: a whole number, 1 to 100000"),
        (["--set", "epochs=0"], "epochs = 0. Allowed: a whole number"),
        (["--set", "augment.blurr=1"], r"augment\.blurr"),
        (["--recipe", "none"], "There is no such recipe: 'none'. Known: mask_rcnn, nuclei"),
        (["--architecture", "vnet"], "Unknown architecture: 'vnet'. Known: .*nuclei_unet"),
        (["--optimizer", "adamx"], "Unknown optimizer: 'adamx'. Known: .*adamw"),
        (["--schedule", "cosin"], "Unknown schedule: 'cosin'. Known: .*cosine"),
        (["--optimizer", "rmsgd"], "sets the learning rates of the layers itself"),
        (["--optimizer", "sam", "--accumulate", "2"], "takes two passes"),
        (["--about", "adamx"], "Nothing has this name: 'adamx'. Known: .*adamw"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_is_wrong_is_one_sentence(pairs, tmp_path, words, message):
    result = run("train", "--data", pairs, "--out", tmp_path / "out", *words, code=2)
    error = result.stderr.splitlines()[-1]
    assert error.startswith("Error: ")
    assert re.search(message, error)


def test_help_lists_every_optimizer_and_schedule():
    text = re.sub(r"[\s│]+", " ", run("train", "--help").output)
    for registry in (OPTIMIZERS, SCHEDULES):
        assert ", ".join(registry.names()) in text


@pytest.mark.parametrize("part", [*OPTIMIZERS.names(), *SCHEDULES.names(), *MODELS.names()])
def test_each_part_tells_of_its_settings(part):
    text = run("train", "--about", part).stdout
    [module] = [r.module(part) for r in (OPTIMIZERS, SCHEDULES, MODELS) if part in r.names()]
    assert module.__doc__.splitlines()[0] in text
    for name, field in module.Options.model_fields.items():
        assert f"_options.{name}=" in text
        assert field.description[1:] in text
