from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from itertools import pairwise, takewhile

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_nucleiseg import training
from napari_nucleiseg.assembly import (
    build_model,
    build_optimizer,
    learning_rate,
    variation,
)
from napari_nucleiseg.checkpoint import load_checkpoint, save_checkpoint
from napari_nucleiseg.config import AugmentConfig, SegmentConfig, TrainConfig
from napari_nucleiseg.data.pairs import find_pairs, load_pairs
from napari_nucleiseg.data.patches import TrainingImage
from napari_nucleiseg.errors import FileError, SettingError, TrainingError
from napari_nucleiseg.events import BatchDone, EpochDone, LeftOut, Notice, Saved
from napari_nucleiseg.explain import from_history, network_quality
from napari_nucleiseg.fitting import LossOf, fit_batch
from napari_nucleiseg.intensity import NormaliseConfig, normalise
from napari_nucleiseg.io import read_labels, write_labels
from napari_nucleiseg.optimizers import OPTIMIZERS
from napari_nucleiseg.preparation import Material
from napari_nucleiseg.publishing import export_model, probe_checkpoint
from napari_nucleiseg.schedules import SCHEDULES
from napari_nucleiseg.segmentation import segment_now
from napari_nucleiseg.store import load_network
from napari_nucleiseg.training import train

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


DROPOUT = {
    "architecture": "unet",
    "architecture_options": {"channels": [16, 32], "dropout": 0.5},
}


@pytest.mark.parametrize("settings", [{}, DROPOUT])
def test_stopped_after_any_epoch_and_resumed_equals_uninterrupted(data, tmp_path, settings):
    config = SMALL.model_copy(update=settings)
    list(train(data, config, tmp_path / "whole"))
    torch.rand(5)
    with closing(train(data, config, tmp_path / "parts")) as events:
        for event in events:
            if isinstance(event, EpochDone) and event.epoch == 2:
                break
    torch.rand(7)
    events = list(train(data, config, tmp_path / "parts"))
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
    monkeypatch.setattr(training, "fit_batch", lambda *_: float("nan"))
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


def test_a_patch_that_the_network_cannot_halve_is_refused_in_words(data, tmp_path):
    with pytest.raises(SettingError, match=r"multiple of 8 px: patch_px = 100\. Use 96"):
        list(train(data, SMALL.model_copy(update={"patch_px": 100}), tmp_path / "run"))


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
    assert all({"dice", "iou", "ap50", "ap", "held_out_loss"} == s.keys() for s in scores)
    assert all(s["iou"] <= s["dice"] for s in scores)
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
    assert 8 < model.median_diameter_px < 60
    assert (model.name, model.title, model.architecture) == ("mine", "Mine", "nuclei_unet")
    result = segment_now(fluorescence[0], SegmentConfig(model=str(path), device="cpu"))
    assert result.manifest["model"]["sha256"] == model.sha256


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU was found")
def test_trains_on_a_gpu_in_mixed_precision(data, tmp_path):
    config = SMALL.model_copy(update={"device": "cuda", "epochs": 6, "steps_per_epoch": 8})
    losses = [e.loss for e in train(data, config, tmp_path / "run") if isinstance(e, EpochDone)]
    assert losses[-1] < 0.8 * losses[0]


TINY = SMALL.model_copy(
    update={"epochs": 2, "steps_per_epoch": 2, "patch_px": 32, "learning_rate": None}
)


def settings_for(optimizer):
    own_rates = getattr(OPTIMIZERS.module(optimizer), "OWN_RATES", False)
    return {"optimizer": optimizer, **({"schedule": "constant"} if own_rates else {})}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_every_optimizer_trains_and_goes_on_where_it_was(data, tmp_path, optimizer):
    config = TINY.model_copy(update=settings_for(optimizer))
    list(train(data, config, tmp_path / "whole"))
    with closing(train(data, config, tmp_path / "parts")) as events:
        next(e for e in events if isinstance(e, EpochDone))
    list(train(data, config, tmp_path / "parts"))
    whole = load_checkpoint(tmp_path / "whole" / "last.pt")
    parts = load_checkpoint(tmp_path / "parts" / "last.pt")
    assert same_weights(whole.weights, parts.weights)
    assert all(w.isfinite().all() for w in whole.weights.values())
    assert not same_weights(whole.weights, build_model(config).state_dict())
    assert whole.config.learning_rate == OPTIMIZERS.module(optimizer).LEARNING_RATE


@pytest.mark.parametrize("schedule", SCHEDULES.names())
def test_every_schedule_trains(data, tmp_path, schedule):
    config = TINY.model_copy(update={"schedule": schedule, "held_out": 0.5})
    for kind in ("images", "masks"):
        (data / kind / "c.png").write_bytes((data / kind / "b.png").read_bytes())
    rates = [e.learning_rate for e in train(data, config, tmp_path) if isinstance(e, EpochDone)]
    assert len(rates) == 2
    assert all(0 < rate <= 1e-3 for rate in rates)


def test_a_checkpoint_of_before_these_settings_goes_on(data, tmp_path):
    config = SMALL.model_copy(update={"learning_rate": 1e-3, "weight_decay": 1e-2})
    list(train(data, config, tmp_path / "whole"))
    with closing(train(data, config, tmp_path / "parts")) as events:
        next(e for e in events if isinstance(e, EpochDone))
    path = tmp_path / "parts" / "last.pt"
    state = torch.load(path, weights_only=True)
    values = json.loads(state["config"])
    for name in ("schedule_options", "accumulate", "explain"):
        del values[name]
    state["config"] = json.dumps(values)
    for group in state["optimizer"]["param_groups"]:
        del group["layers"]
    torch.save(state, path)
    unset = config.model_copy(update={"learning_rate": None, "weight_decay": None})
    list(train(data, unset, tmp_path / "parts"))
    whole = load_checkpoint(tmp_path / "whole" / "last.pt")
    assert same_weights(whole.weights, load_checkpoint(path).weights)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "sdg"}, "Unknown optimizer: 'sdg'. Known: .*sgd"),
        ({"schedule": "cosin"}, "Unknown schedule: 'cosin'. Known: .*cosine"),
        ({"architecture": "vnet"}, "Unknown architecture"),
        ({"optimizer_options": {"momentun": 1}}, "optimizer_options: momentun"),
        ({"schedule_options": {"powr": 1}}, "schedule_options: powr"),
        ({"optimizer": "rmsgd"}, "sets the learning rates of the layers itself: .*cosine"),
        ({"optimizer": "sam", "accumulate": 2}, "two passes .*accumulate = 2"),
        ({"schedule": "plateau", "held_out": 0}, "held-out micrographs: held_out = 0"),
    ],
)
def test_what_cannot_work_is_refused_before_data_are_read(tmp_path, settings, message):
    with pytest.raises(SettingError, match=message):
        next(train(tmp_path / "nowhere", TrainConfig(**settings), tmp_path / "run"))


def test_a_plateau_without_held_out_micrographs_is_refused(data, tmp_path):
    config = TINY.model_copy(update={"schedule": "plateau", "held_out": 0.05})
    with pytest.raises(TrainingError, match="there are none"):
        list(train(data, config, tmp_path / "run"))


def test_a_plateau_goes_by_the_scores_and_remembers_them(data, tmp_path, monkeypatch):
    scores = {"dice": 0.5, "ap50": 0.5, "ap": 0.5}
    monkeypatch.setattr(training, "validate", lambda *_: scores)
    for kind in ("images", "masks"):
        (data / kind / "c.png").write_bytes((data / kind / "b.png").read_bytes())
    config = TINY.model_copy(
        update={
            "schedule": "plateau",
            "schedule_options": {"patience": 2, "gamma": 0.5},
            "held_out": 0.5,
            "epochs": 5,
            "warmup": 0.0,
        }
    )
    with closing(train(data, config, tmp_path)) as events:
        for event in events:
            if isinstance(event, EpochDone) and event.epoch == 3:
                break
    list(train(data, config, tmp_path))
    history = load_checkpoint(tmp_path / "last.pt").history
    assert [r["lr"] for r in history] == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4, 5e-4])


def one_step(config, batches, two_passes=False):
    model = build_model(config)
    optimizer = build_optimizer(model, config)
    loss = fit_batch(LossOf(model), optimizer, batches, config, "cpu", two_passes)
    return loss, model


@pytest.fixture
def batch(data, fluorescence):
    micrograph, labels = fluorescence
    pixels = torch.from_numpy(micrograph.pixels[:64, :64].astype(np.float32) / 255)
    patch = pixels.expand(2, 3, 64, 64).contiguous()
    truth = torch.from_numpy(labels[:64, :64].astype(np.int32)).expand(2, 64, 64)
    return patch, truth


def test_the_same_batch_twice_steps_as_it_does_once(batch):
    config = SMALL.model_copy(update={"amp": False, "optimizer": "sgd"})
    loss, once = one_step(config, [batch])
    mean, twice = one_step(config, [batch, batch])
    assert mean == pytest.approx(loss)
    for a, b in zip(once.parameters(), twice.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_accumulated_batches_are_those_of_several_steps(data, tmp_path):
    config = TINY.model_copy(update={"accumulate": 3})
    steps = [e.step for e in train(data, config, tmp_path) if isinstance(e, BatchDone)]
    assert steps == [1, 2, 3, 4]


def test_a_second_pass_leaves_the_running_means_alone(batch):
    config = SMALL.model_copy(update={"amp": False})
    _, plain = one_step(config.model_copy(update={"optimizer": "sgd"}), [batch])
    _, twice = one_step(config.model_copy(update={"optimizer": "sam"}), [batch], two_passes=True)
    before, after = dict(plain.named_buffers()), dict(twice.named_buffers())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(m.track_running_stats for m in twice.modules() if hasattr(m, "track_running_stats"))
    moved = [
        not torch.equal(a, b) for a, b in zip(plain.parameters(), twice.parameters(), strict=True)
    ]
    assert any(moved)


def test_what_layers_learn_is_recorded_epoch_by_epoch(data, tmp_path):
    config = TINY.model_copy(update={"optimizer": "rmsgd", "schedule": "constant", "explain": True})
    events = list(train(data, config, tmp_path / "run"))
    told = [e.text for e in events if isinstance(e, Notice) and "rates of the layers" in e.text]
    assert len(told) == 2
    state = load_checkpoint(tmp_path / "run" / "last.pt")
    epochs = from_history(state.history)
    assert list(epochs) == [1, 2]
    assert probe_checkpoint(state) == epochs[2]
    assert all(layer.learning_rate >= 0 for layer in epochs[2])
    assert state.history[1]["quality"] == network_quality(epochs[2])
    # to record or not is no reason to begin anew
    other = config.model_copy(update={"explain": False})
    events = train(data, other, tmp_path / "run")
    assert any("going on" in e.text for e in events if isinstance(e, Notice))


def test_layers_at_rest_are_told():
    assert "at rest: 1 of 2 layers" in training._rates_line([0.0, 0.03])
    assert "at rest" not in training._rates_line([0.01, 0.03])


@pytest.mark.parametrize(("held_out", "said"), [(0.05, True), (0, False)])
def test_too_few_to_hold_one_out_is_said(data, tmp_path, held_out, said):
    with closing(train(data, SMALL.model_copy(update={"held_out": held_out}), tmp_path)) as events:
        texts = [e.text for e in takewhile(lambda e: isinstance(e, Notice), events)]
    assert any("Too few to hold one out" in text for text in texts) == said


UNVARIED = {"scale_low": 1, "scale_high": 1} | dict.fromkeys(
    ("invert", "gamma", "gain", "colour", "blur", "noise", "illumination", "empty"), 0
)


@pytest.mark.parametrize("architecture", ["unet", "unetr", "flexible_unet"])
def test_semantic_networks_train_export_and_segment(architecture, data, tmp_path, fluorescence):
    options = {
        "unet": {"channels": [16, 32, 64]},
        "unetr": {"image_px": 64, "hidden": 48, "mlp": 96, "heads": 4},
        "flexible_unet": {},
    }
    config = SMALL.model_copy(
        update={
            "architecture": architecture,
            "architecture_options": options[architecture],
            "loss": "dice_bce",
            "steps_per_epoch": 60,
            "epochs": 1,
            "learning_rate": 0.01,
            "ema_decay": 0.9,
            "augment": AugmentConfig(**UNVARIED),
        }
    )
    list(train(data, config, tmp_path / "run"))
    path = tmp_path / "model.safetensors"
    card = export_model(tmp_path / "run" / "last.pt", path, "small", {})
    assert card.fixed_tile == (64 if architecture == "unetr" else None)
    found = [
        segment_now(fluorescence[0], SegmentConfig(model=str(path), engine=engine, device="cpu"))
        for engine in ("torch", "auto")
    ]
    assert found[0].labels.shape == fluorescence[1].shape
    agree = (found[0].labels > 0) == (found[1].labels > 0)
    assert agree.mean() > 0.999
    pixels = normalise(fluorescence[0].pixels, NormaliseConfig())[None, :, :64, :64]
    probability = load_network(card).predict(torch.from_numpy(pixels))[0, 0].numpy()
    inside = fluorescence[1][:64, :64] > 0
    assert probability[inside].mean() > 1.5 * probability[~inside].mean()


def test_a_loss_that_does_not_fit_is_refused_with_those_networks_that_take_one(data, tmp_path):
    with pytest.raises(SettingError, match=r"nuclei_unet.*flexible_unet, unet, unetr"):
        list(train(data, SMALL.model_copy(update={"loss": "dice_bce"}), tmp_path / "run"))
    other = SMALL.model_copy(update={"architecture": "unet", "architecture_options": {}})
    for wrong, word in (({"loss": "hinge"}, "dice_bce"), ({"loss_options": {"gama": 1}}, "gama")):
        with pytest.raises(SettingError, match=word):
            list(train(data, other.model_copy(update=wrong), tmp_path / "run"))


def test_a_network_of_one_size_names_the_patch_it_takes(data, tmp_path):
    config = SMALL.model_copy(update={"architecture": "unetr", "architecture_options": {}})
    with pytest.raises(SettingError, match="patches of 256 px"):
        list(train(data, config, tmp_path / "run"))


def test_stochastic_weight_averaging_keeps_the_mean_of_the_last_epochs(data, tmp_path):
    config = SMALL.model_copy(update={"average": "swa", "swa_from": 0.3, "epochs": 4})
    states = []
    for event in train(data, config, tmp_path / "run"):
        if isinstance(event, Saved) and event.path.name == "last.pt":
            states.append(load_checkpoint(event.path))
    assert [s.averaged_epochs for s in states] == [0, 1, 2, 3]
    assert same_weights(
        {k: v for k, v in states[0].averaged.items() if "running" not in k and "num" not in k},
        states[0].weights,
    )
    for name in ("head.weight", "stem.0.weight"):
        mean = torch.stack([s.weights[name] for s in states[1:]]).mean(0)
        torch.testing.assert_close(states[-1].averaged[name], mean, rtol=1e-4, atol=1e-6)


def test_a_run_begins_with_the_weights_of_a_model(data, tmp_path):
    list(train(data, SMALL, tmp_path / "first"))
    path = tmp_path / "first.safetensors"
    export_model(tmp_path / "first" / "last.pt", path, "first", {})
    still = SMALL.model_copy(
        update={"start": str(path), "learning_rate": 1e-9, "epochs": 1, "steps_per_epoch": 1}
    )
    events = list(train(data, still, tmp_path / "second"))
    said = [e.text for e in events if isinstance(e, Notice)]
    assert any(text.startswith("Starts with the weights of first") for text in said)
    first = load_checkpoint(tmp_path / "first" / "last.pt").averaged
    second = load_checkpoint(tmp_path / "second" / "last.pt").weights
    torch.testing.assert_close(second["head.weight"], first["head.weight"], atol=1e-3, rtol=1e-3)
    # nobody else has this path
    card = export_model(tmp_path / "second" / "last.pt", tmp_path / "s.safetensors", "s", {})
    assert card.card["training"]["config"]["start"] == "first"


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"architecture": "unet", "architecture_options": {}}, "not a unet"),
        ({"architecture_options": {"widths": [48, 48, 48]}}, "these layers start anew: .*stem"),
    ],
)
def test_what_a_model_to_start_from_lacks_is_said(data, tmp_path, other, word):
    config = SMALL.model_copy(
        update={"start": "nuclei", "epochs": 1, "steps_per_epoch": 1, **other}
    )
    try:
        said = " ".join(
            e.text for e in train(data, config, tmp_path / "r") if isinstance(e, Notice)
        )
    except SettingError as error:
        said = str(error)
    assert re.search(word, said)


def test_a_run_that_starts_anew_keeps_no_best_epoch_of_the_run_before(data, tmp_path):
    list(train(data, SMALL, tmp_path / "run"))
    assert (tmp_path / "run" / "best.pt").is_file()
    other = SMALL.model_copy(update={"seed": 5, "held_out": 0.0})
    with closing(train(data, other, tmp_path / "run", resume=False)) as events:
        for event in events:
            if isinstance(event, BatchDone):
                break
    assert load_checkpoint(tmp_path / "run" / "last.pt").config.seed == 5
    assert not (tmp_path / "run" / "best.pt").exists()


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_cut_off_in_the_middle_of_an_epoch_and_resumed_equals_uninterrupted(
    data, tmp_path, average
):
    config = SMALL.model_copy(update={"average": average, "swa_from": 0.0})
    list(train(data, config, tmp_path / "whole"))
    with closing(train(data, config, tmp_path / "parts")) as events:
        for event in events:
            if isinstance(event, BatchDone) and event.step == 4:
                break
    list(train(data, config, tmp_path / "parts"))
    whole, parts = (load_checkpoint(tmp_path / n / "last.pt") for n in ("whole", "parts"))
    assert [r["epoch"] for r in parts.history] == [r["epoch"] for r in whole.history]
    assert same_weights(whole.weights, parts.weights)
    assert same_weights(whole.averaged, parts.averaged)


def test_frozen_layers_stay_as_they_are_and_others_learn(data, tmp_path):
    config = TINY.model_copy(update={"frozen": 0.5, "weight_decay": 0.5})
    before = build_model(config).state_dict()
    list(train(data, config, tmp_path / "run"))
    state = load_checkpoint(tmp_path / "run" / "last.pt")
    frozen = [n for n, p in build_model(config).named_parameters() if not p.requires_grad]
    assert frozen[0] == "stem.0.weight"
    assert "head.weight" not in frozen
    assert all(torch.equal(state.weights[n], before[n]) for n in frozen)
    assert not torch.equal(state.weights["head.weight"], before["head.weight"])
    assert probe_checkpoint(state)


@pytest.mark.parametrize("keep", [False, True])
def test_running_means_of_norms_are_kept_on_request(data, tmp_path, keep):
    config = TINY.model_copy(update={"keep_norms": keep})
    before = build_model(config).state_dict()
    list(train(data, config, tmp_path / "run"))
    after = load_checkpoint(tmp_path / "run" / "last.pt").weights
    means = [n for n in before if n.endswith("running_mean")]
    assert means
    assert all(torch.equal(before[n], after[n]) for n in means) == keep


def test_micrographs_that_are_read_already_train_as_those_of_a_folder(data, tmp_path):
    list(train(data, TINY, tmp_path / "folder"))
    loaded = load_pairs(find_pairs(data)[0], NormaliseConfig())
    images = [i for i in loaded if isinstance(i, TrainingImage)]
    list(train(Material(tuple(images), (), "memory"), TINY, tmp_path / "memory"))
    one, other = (load_checkpoint(tmp_path / n / "last.pt") for n in ("folder", "memory"))
    assert same_weights(one.weights, other.weights)


def test_a_label_image_that_is_ignored_everywhere_is_left_out(data, tmp_path):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(data / "images" / "c.png")
    (data / "masks" / "c.png").unlink(missing_ok=True)
    tifffile.imwrite(data / "masks" / "c.tif", np.full((64, 64), -1, np.int32))
    said = [e.text for e in train(data, TINY, tmp_path / "run") if isinstance(e, LeftOut)]
    assert said == ["c is left out: its label image is ignored everywhere (-1)"]
