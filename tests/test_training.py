from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from napari_nucleiseg import training
from napari_nucleiseg.checkpoint import load_checkpoint, save_checkpoint
from napari_nucleiseg.config import SegmentConfig, TrainConfig
from napari_nucleiseg.errors import FileError, TrainingError
from napari_nucleiseg.events import BatchDone, EpochDone, Notice, Saved
from napari_nucleiseg.io import read_labels, write_labels
from napari_nucleiseg.segmentation import segment_now
from napari_nucleiseg.training import export_model, learning_rate, train, variation

SMALL = TrainConfig(
    architecture_options={"widths": [16, 16, 16]},
    epochs=3,
    steps_per_epoch=3,
    batch_size=2,
    patch_px=64,
    validate_every=1,
    held_out=0,
    threads=1,
    device="cpu",
    learning_rate=3e-3,
)


@pytest.fixture
def data(tmp_path, fluorescence, stained):
    (tmp_path / "data" / "images").mkdir(parents=True)
    for name, (micrograph, labels) in {"a": fluorescence, "b": stained}.items():
        Image.fromarray(micrograph.pixels).save(tmp_path / "data" / "images" / f"{name}.png")
        write_labels(tmp_path / "data" / "masks" / f"{name}.png", labels)
    return tmp_path / "data"


def same_weights(one, other):
    return all(torch.equal(one[k], other[k]) for k in one)


def test_reports_batches_epochs_and_checkpoints(data, tmp_path):
    events = list(train(data, SMALL, tmp_path / "run"))
    assert [e.step for e in events if isinstance(e, BatchDone)] == list(range(1, 10))
    assert [e.epoch for e in events if isinstance(e, EpochDone)] == [1, 2, 3]
    assert [e for e in events if isinstance(e, EpochDone)][-1].progress == 1
    assert {e.path.name for e in events if isinstance(e, Saved)} >= {"last.pt", "best.pt"}


def test_loss_falls(data, tmp_path):
    config = SMALL.model_copy(update={"epochs": 6, "steps_per_epoch": 8})
    losses = [e.loss for e in train(data, config, tmp_path / "run") if isinstance(e, EpochDone)]
    assert losses[-1] < 0.8 * losses[0]


def test_stopped_after_any_epoch_and_resumed_equals_uninterrupted(data, tmp_path):
    list(train(data, SMALL, tmp_path / "whole"))
    with closing(train(data, SMALL, tmp_path / "parts")) as events:
        for event in events:
            if isinstance(event, EpochDone) and event.epoch == 2:
                break
    events = list(train(data, SMALL, tmp_path / "parts"))
    assert [e.epoch for e in events if isinstance(e, EpochDone)] == [3]
    whole = load_checkpoint(tmp_path / "whole" / "last.pt")
    parts = load_checkpoint(tmp_path / "parts" / "last.pt")
    assert same_weights(whole.weights, parts.weights)
    assert same_weights(whole.averaged, parts.averaged)


def test_cancelled_in_the_middle_of_an_epoch_keeps_what_was_learned(data, tmp_path):
    with closing(train(data, SMALL, tmp_path / "run")) as events:
        for event in events:
            if isinstance(event, BatchDone) and event.step == 5:
                break
    kept = load_checkpoint(tmp_path / "run" / "last.pt")
    assert (kept.epoch, kept.step) == (1, 5)
    rest = [e.step for e in train(data, SMALL, tmp_path / "run") if isinstance(e, BatchDone)]
    assert rest[0] == 6
    assert rest[-1] == 9


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_killed_without_warning_it_goes_on(data, tmp_path):
    run = tmp_path / "run"
    config = SMALL.model_copy(update={"epochs": 40})
    (tmp_path / "recipe.json").write_text(config.model_dump_json(), encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from napari_nucleiseg import TrainConfig, train;"
        "d, c, o = map(Path, sys.argv[1:]);"
        "[None for _ in train(d, TrainConfig.model_validate_json(c.read_text()), o)]"
    )
    command = [sys.executable, "-c", code, str(data), str(tmp_path / "recipe.json"), str(run)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while not (run / "last.pt").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = load_checkpoint(run / "last.pt")
    assert 1 <= kept.epoch < 40
    first = next(e for e in train(data, config, run) if isinstance(e, BatchDone))
    assert first.step == kept.step + 1


def test_other_settings_do_not_go_on_from_a_checkpoint(data, tmp_path):
    list(train(data, SMALL, tmp_path / "run"))
    other = SMALL.model_copy(update={"learning_rate": 0.5})
    with pytest.raises(TrainingError, match="other settings"):
        list(train(data, other, tmp_path / "run"))


def test_a_loss_that_is_no_number_stops_in_words_and_spares_the_checkpoint(
    data, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    with closing(train(data, SMALL, run)) as events:
        next(e for e in events if isinstance(e, EpochDone))
    before = (run / "last.pt").read_bytes()
    monkeypatch.setattr(training, "_fit_batch", lambda *_: float("nan"))
    with pytest.raises(TrainingError, match="smaller learning rate"):
        list(train(data, SMALL, run))
    assert (run / "last.pt").read_bytes() == before


@pytest.mark.parametrize("rate", [1e3, 1e6, 1e30])
def test_a_learning_rate_far_too_large_never_leaves_weights_that_are_no_numbers(
    data, tmp_path, rate
):
    config = SMALL.model_copy(update={"learning_rate": rate, "epochs": 8})
    with suppress(TrainingError):
        list(train(data, config, tmp_path / "run"))
    for path in (tmp_path / "run").glob("*.pt"):
        kept = load_checkpoint(path)
        assert all(torch.isfinite(v).all() for v in kept.averaged.values())


def test_other_micrographs_do_not_go_on_from_a_checkpoint(data, tmp_path):
    list(train(data, SMALL, tmp_path / "run"))
    (data / "images" / "a.png").rename(data / "images" / "c.png")
    (data / "masks" / "a.png").rename(data / "masks" / "c.png")
    with pytest.raises(TrainingError, match="other micrographs"):
        list(train(data, SMALL, tmp_path / "run"))


def test_a_finished_run_can_go_on_for_longer(data, tmp_path):
    list(train(data, SMALL, tmp_path / "run"))
    longer = SMALL.model_copy(update={"epochs": 4})
    epochs = [e.epoch for e in train(data, longer, tmp_path / "run") if isinstance(e, EpochDone)]
    assert epochs == [4]


def test_weights_that_do_not_fit_are_said(data, tmp_path):
    list(train(data, SMALL, tmp_path / "run"))
    path = tmp_path / "run" / "last.pt"
    kept = load_checkpoint(path)
    kept.weights.popitem()
    save_checkpoint(path, kept)
    with pytest.raises(FileError, match=r"does not fit the network: .*last\.pt"):
        list(train(data, SMALL, tmp_path / "run"))


def test_the_best_is_on_disk_before_the_epoch_counts(data, tmp_path):
    config = SMALL.model_copy(update={"held_out": 0.5})
    shutil.copy(data / "images" / "a.png", data / "images" / "c.png")
    shutil.copy(data / "masks" / "a.png", data / "masks" / "c.png")
    with closing(train(data, config, tmp_path / "run")) as events:
        next(e for e in events if isinstance(e, Saved))
    assert (tmp_path / "run" / "best.pt").is_file()


def test_label_images_without_a_nucleus_are_refused(data, tmp_path):
    for path in (data / "masks").iterdir():
        shape = read_labels(path).image.shape
        write_labels(path, np.zeros(shape, np.int32))
    with pytest.raises(TrainingError, match="No nucleus"):
        list(train(data, SMALL, tmp_path / "run"))


def test_a_full_disk_spares_the_earlier_checkpoint(data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    list(train(data, SMALL.model_copy(update={"epochs": 1}), run))
    before = (run / "last.pt").read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", no_space)
    with pytest.raises(FileError, match=r"last\.pt .*No space left"):
        list(train(data, SMALL.model_copy(update={"epochs": 1}), run, resume=False))
    assert (run / "last.pt").read_bytes() == before
    assert sorted(p.name for p in run.iterdir()) == ["best.pt", "last.pt"]


def test_never_trains_on_other_splits(data, tmp_path):
    (data / "index.csv").write_text("image_id,split\na,train\nb,val\n", encoding="utf-8")
    list(train(data, SMALL, tmp_path / "run"))
    assert load_checkpoint(tmp_path / "run" / "last.pt").data == {"train": ["a"], "held_out": []}


def test_held_out_micrographs_are_scored_and_the_best_is_kept(data, tmp_path):
    config = SMALL.model_copy(update={"held_out": 0.5})
    (data / "images" / "c.png").write_bytes((data / "images" / "a.png").read_bytes())
    (data / "masks" / "c.png").write_bytes((data / "masks" / "a.png").read_bytes())
    events = list(train(data, config, tmp_path / "run"))
    assert any("held out" in e.text for e in events if isinstance(e, Notice))
    scores = [e.scores for e in events if isinstance(e, EpochDone)]
    assert all({"dice", "ap50", "ap"} == s.keys() for s in scores)
    best = load_checkpoint(tmp_path / "run" / "best.pt")
    assert best.scores["ap"] == max(s["ap"] for s in scores)


@pytest.mark.parametrize("schedule", ["cosine", "polynomial", "constant"])
def test_learning_rate_warms_up_and_does_not_rise_again(schedule):
    config = TrainConfig(schedule=schedule, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(config, p) for p in np.linspace(0, 1.2, 121)]
    assert 0 < rates[0] < 0.2
    assert rates[10] == pytest.approx(1.0)
    assert all(a >= b > 0 for a, b in pairwise(rates[10:]))


def test_variation_fades_at_the_end_only():
    config = TrainConfig(calm=0.4, calm_to=0.25)
    strengths = [variation(config, p) for p in (0, 0.3, 0.6, 0.8, 1, 1.1)]
    assert strengths == pytest.approx([1, 1, 1, 0.625, 0.25, 0.25])
    assert variation(TrainConfig(), 1.0) == 1


def test_a_trained_model_segments(data, tmp_path, fluorescence):
    list(train(data, SMALL, tmp_path / "run"))
    path = tmp_path / "mine.safetensors"
    model = export_model(tmp_path / "run" / "best.pt", path, "mine", {"title": "Mine"})
    assert (model.name, model.title, model.architecture) == ("mine", "Mine", "nuclei_unet")
    result = segment_now(fluorescence[0], SegmentConfig(model=str(path), device="cpu"))
    assert result.manifest["model"]["sha256"] == model.sha256


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU was found")
def test_trains_on_a_gpu_in_mixed_precision(data, tmp_path):
    config = SMALL.model_copy(update={"device": "cuda", "epochs": 6, "steps_per_epoch": 8})
    losses = [e.loss for e in train(data, config, tmp_path / "run") if isinstance(e, EpochDone)]
    assert losses[-1] < 0.8 * losses[0]
