from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import torch
from PIL import Image

from napari_nucleiseg.checkpoint import load_checkpoint
from napari_nucleiseg.distributed import process_count, share_of
from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.io import write_labels

COMMAND = ["-m", "napari_nucleiseg", "train", "--held-out", "0.5", "--epochs", "2"]
SETTINGS = {
    "steps_per_epoch": 3,
    "batch_size": 4,
    "patch_px": 64,
    "threads": 1,
    "device": "cpu",
    # 16 bits would hide a difference; Adam would blow up rounding where gradients are near zero
    "amp": "false",
    "optimizer": "sgd",
    "learning_rate": 0.001,
    "architecture_options.widths": "[16,16,16]",
    "validate_every": 1,
}


@pytest.fixture
def data(tmp_path, fluorescence, stained):
    (tmp_path / "data" / "images").mkdir(parents=True)
    for name, (micrograph, labels) in {"a": fluorescence, "b": stained, "c": stained}.items():
        Image.fromarray(micrograph.pixels).save(tmp_path / "data" / "images" / f"{name}.png")
        write_labels(tmp_path / "data" / "masks" / f"{name}.png", labels)
    return tmp_path / "data"


def run(data, out, processes, **settings):
    start = [sys.executable]
    if processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        start += ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        start += ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    assignments = [f"--set={k}={v}" for k, v in {**SETTINGS, **settings}.items()]
    return subprocess.run(
        [*start, *COMMAND, "--data", data, "--out", out, *assignments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"accumulate": 2, "average": "swa", "swa_from": 0.0},
        {"optimizer": "sam", "steps_per_epoch": 1},
    ],
)
def test_two_processes_learn_what_one_learns(data, tmp_path, settings):
    runs = {n: run(data, tmp_path / f"run{n}", n, **settings) for n in (1, 2)}
    assert [r.returncode for r in runs.values()] == [0, 0], [r.stderr for r in runs.values()]
    one, two = (load_checkpoint(tmp_path / f"run{n}" / "last.pt") for n in (1, 2))
    assert two.step == one.step == 2 * settings.get("steps_per_epoch", 3)
    for name in ("weights", "averaged"):
        for key, value in getattr(one, name).items():
            torch.testing.assert_close(
                getattr(two, name)[key],
                value,
                rtol=1e-2,
                atol=1e-4,
                msg=lambda m, k=key: f"{k}: {m}",
            )
    assert two.history[-1]["loss"] == pytest.approx(one.history[-1]["loss"], rel=1e-4)
    assert two.history[-1]["ap"] == pytest.approx(one.history[-1]["ap"], abs=0.02)
    # told once, written once
    assert runs[2].stdout.count("The model is") == 1
    assert runs[2].stderr.count("epoch 2 ·") == 1
    assert "Traceback" not in runs[2].stderr


def test_a_batch_that_cannot_be_dealt_out_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "1")
    assert process_count() == 3
    assert list(share_of(6)) == [1, 4]
    with pytest.raises(SettingError, match="batch_size = 4"):
        share_of(4)
