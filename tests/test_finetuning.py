"""Fine-tuning, with real small networks on real micrographs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import cache

import numpy as np
import pytest
import tifffile
import torch

from napari_nucleiseg.checkpoint import load_checkpoint
from napari_nucleiseg.config import FinetuneConfig, SegmentConfig, TrainConfig
from napari_nucleiseg.errors import SettingError, TrainingError
from napari_nucleiseg.events import (
    BatchDone,
    Comparing,
    Comparison,
    EpochDone,
    Finetuned,
    Notice,
    RateTried,
    Saved,
)
from napari_nucleiseg.finetuning import choice, finetune, plan, task
from napari_nucleiseg.model_names import next_name
from napari_nucleiseg.publishing import export_model
from napari_nucleiseg.replay import read_replay
from napari_nucleiseg.samples import read_sample
from napari_nucleiseg.segmentation import segment_now
from napari_nucleiseg.store import file_hash, load_network, read_card
from napari_nucleiseg.training import train

TINY = {
    "nuclei_unet": {"widths": [16, 16, 16]},
    "unet": {"channels": [16, 32]},
    "unetr": {"image_px": 128, "hidden": 48, "mlp": 96, "heads": 4},
    "flexible_unet": {"norm": "batch"},
    "mask_rcnn": {"channels": 32, "head_width": 32},
}
LEARNT = {"nuclei_unet": 60}
# a network of one size: with small tiles, a micrograph has very many
PATCH = {"unetr": 128}


def make_parent(folder, architecture):
    """A model that has learned a little of the fluorescence sample."""
    micrograph, labels = read_sample("fluorescence")
    data = folder / "data"
    data.mkdir()
    tifffile.imwrite(data / "a.tif", micrograph.pixels)
    tifffile.imwrite(data / "a_labels.tif", labels)
    config = TrainConfig(
        architecture=architecture,
        architecture_options=TINY[architecture],
        epochs=1,
        steps_per_epoch=LEARNT.get(architecture, 2),
        batch_size=2,
        patch_px=PATCH.get(architecture, 64),
        held_out=0,
        threads=1,
        device="cpu",
        learning_rate=3e-3,
        ema_decay=0.9,
    )
    list(train(data, config, folder / "run"))
    path = folder / f"small_{architecture}.safetensors"
    export_model(folder / "run" / "last.pt", path, f"small_{architecture}", {})
    return path


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return make_parent(tmp_path_factory.mktemp("parent"), "nuclei_unet")


@cache
def read_few(normalise, splits, every):
    return tuple(read_replay(normalise, splits)[::every])


@pytest.fixture(scope="module", autouse=True)
def few_crops():
    """Few crops of the replay set and one share: each crop is looked at once for each share."""

    def few(normalise, splits):
        return list(read_few(normalise, tuple(splits), 12))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "read_replay", few)
        patch.setattr(choice, "SHARES", (1.0,))
        yield


def write_corrections(folder, count=None, shift=0, side=360):
    """The fluorescence sample, of which the first nuclei are corrected and the rest unknown."""
    micrograph, labels = read_sample("fluorescence")
    folder.mkdir(exist_ok=True)
    if shift:
        labels = np.roll(labels, shift, 0)
    if count is not None:
        labels = np.where(labels > count, -1, labels).astype(np.int32)
        rows, columns = np.nonzero(labels > 0)
        near = np.zeros(labels.shape, bool)
        near[max(0, rows.min() - 5) : rows.max() + 5, max(0, columns.min() - 5) :] = True
        labels[~near] = -1
    tifffile.imwrite(folder / "a.tif", micrograph.pixels[:side, :side])
    tifffile.imwrite(folder / "a_labels.tif", labels[:side, :side])
    return folder


@pytest.fixture
def corrections(tmp_path):
    return write_corrections(tmp_path / "corrections")


@pytest.fixture(scope="module")
def whole(parent, few_crops, tmp_path_factory):
    """Corrections, the folder of an uninterrupted run on them, and what came out."""
    folder = tmp_path_factory.mktemp("whole")
    data = write_corrections(folder / "corrections")
    *_, done = finetune(data, settings(parent), folder / "out")
    return data, folder / "out", done


def settings(parent, **changes):
    values = {"steps": 6, "batch_size": 2, "patch_px": 64, "threads": 1, "device": "cpu"}
    return FinetuneConfig(model=str(parent), **{**values, **changes})


def same_weights(one, other):
    return all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.slow
def test_a_better_model_comes_out_with_proof(parent, corrections, tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "SHARES", (1.0, 0.5))
    untouched = file_hash(parent)
    config = settings(parent, steps=80, learning_rate=2e-3, name="mine", may_forget="anything")
    events = list(finetune(corrections, config, tmp_path / "out"))
    done = events[-1]
    assert isinstance(done, Finetuned)
    assert done.recommended, done.reason
    own, replay = done.comparisons
    assert own.where == "held-out corrections"
    assert own.after["ap"] > own.before["ap"]
    assert own.after.keys() == {"dice", "iou", "ap50", "ap", "pq"}
    assert replay.where == "replay set"
    assert replay.images == 3
    epochs = [e for e in events if isinstance(e, EpochDone)]
    assert len(epochs) == 4
    assert epochs[-1].scores.keys() >= {"dice", "iou", "ap", "held_out_loss"}
    progress = [e.progress for e in events if isinstance(e, (BatchDone, EpochDone))]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    # the file was there and could be read before it was called done
    assert any(isinstance(e, Saved) and e.path == done.path for e in events[:-1])
    card = read_card(done.path)
    assert card.name == "mine"
    assert card.card["recommended"] is True
    assert card.card["parents"] == [{"name": "small_nuclei_unet", "sha256": untouched}]
    assert len(card.card["finetuning"]["corrections"]["a"]) == 64
    assert card.card["comparisons"][0]["after"] == own.after
    assert str(tmp_path) not in done.path.with_suffix(".yaml").read_text()
    assert file_hash(parent) == untouched
    assert not list((tmp_path / "out").glob("unproven*"))
    micrograph, _ = read_sample("fluorescence")
    assert segment_now(micrograph, SegmentConfig(model=str(done.path), engine="torch")).count > 0


@pytest.mark.slow
def test_a_child_of_a_child_knows_its_line(whole, corrections, tmp_path):
    _, _, first = whole
    *_, second = finetune(corrections, settings(first.path, steps=1, name="two"), tmp_path / "b")
    line = [p["name"] for p in read_card(second.path).card["parents"]]
    assert line == [first.name, "small_nuclei_unet"]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(TINY))
def test_every_architecture_can_be_fine_tuned(architecture, parent, tmp_path, monkeypatch):
    # one crop: networks that have learned nothing find thousands of nuclei in each
    monkeypatch.setattr(task, "read_replay", lambda n, s: list(read_few(n, tuple(s), 12)[:1]))
    start = parent if architecture == "nuclei_unet" else make_parent(tmp_path, architecture)
    config = settings(start, steps=1, patch_px=PATCH.get(architecture, 64))
    # enough nuclei to hold some out: cross-validation would train three networks
    *_, done = finetune(write_corrections(tmp_path / "few", side=260), config, tmp_path / "out")
    assert isinstance(done, Finetuned)
    child, old = read_card(done.path), read_card(start)
    assert child.architecture == architecture
    assert child.normalise == old.normalise
    before, after = (load_network(card).state_dict() for card in (old, child))
    assert not same_weights(before, after)


def test_all_architectures_are_tried():
    from napari_nucleiseg.models import MODELS

    assert sorted(TINY) == MODELS.names()


@pytest.mark.slow
def test_few_nuclei_are_judged_by_cross_validation(parent, tmp_path):
    data = write_corrections(tmp_path / "few", count=5)
    events = list(finetune(data, settings(parent, steps=2), tmp_path / "out"))
    said = " ".join(e.text for e in events if isinstance(e, Notice))
    assert "5 nuclei in 1 micrograph: too few to hold some out" in said
    assert "cross-validation" in said
    done = events[-1]
    assert done.comparisons[0].where == "held-out corrections, cross-validated"
    assert done.comparisons[0].nuclei == 5
    for fold in ("fold1", "fold2"):
        assert load_checkpoint(tmp_path / "out" / fold / "last.pt").step == 2
    steps = [e.progress for e in events if isinstance(e, BatchDone)]
    assert steps == pytest.approx([n / 6 for n in range(1, 7)])


@pytest.mark.slow
def test_one_nucleus_teaches_but_proves_nothing(parent, tmp_path):
    data = write_corrections(tmp_path / "one", count=1)
    events = list(finetune(data, settings(parent, steps=2), tmp_path / "out"))
    done = events[-1]
    assert not done.recommended
    assert "nothing shows that it is better" in done.reason
    assert [c.where for c in done.comparisons] == ["replay set"]
    assert any("no proof" in e.text for e in events if isinstance(e, Notice))


@pytest.mark.slow
def test_a_worse_model_is_kept_apart_and_named_so(parent, tmp_path):
    wild = settings(parent, steps=20, name="wild", learning_rate=0.1, schedule="constant")
    # the labels lie 20 px off as well
    data = write_corrections(tmp_path / "shifted", shift=20)
    *_, worse = finetune(data, wild, tmp_path / "out")
    assert not worse.recommended
    assert worse.path == tmp_path / "out" / "wild-not-better.safetensors"
    assert not (tmp_path / "out" / "wild.safetensors").exists()
    card = read_card(worse.path)
    assert card.name == "wild-not-better"
    assert "not recommended" in card.title
    assert card.card["recommended"] is False
    assert worse.reason.startswith(("It is worse", "It is hardly better", "It has unlearned"))


@pytest.mark.slow
def test_a_rate_far_too_large_ends_in_words(parent, corrections, tmp_path):
    before = file_hash(parent)
    wild = settings(parent, steps=20, learning_rate=1.0, schedule="constant")
    with pytest.raises(TrainingError, match=r"became infinite.*small_nuclei_unet is untouched"):
        list(finetune(corrections, wild, tmp_path / "out"))
    assert file_hash(parent) == before
    assert not list((tmp_path / "out").glob("*.safetensors"))


def compared(where, before, after):
    return Comparison(where, 1, 9, {"ap": before}, {"ap": after}, "")


@pytest.mark.parametrize(
    ("own", "old", "may_forget", "said"),
    [
        ((0.5, 0.7), (0.600, 0.595), "nothing", "It is better"),
        ((0.5, 0.7), (0.600, 0.580), "nothing", "It has unlearned"),
        ((0.5, 0.7), (0.600, 0.580), "a little", "It is better"),
        ((0.5, 0.7), (0.600, 0.100), "anything", "It is better"),
        ((0.5, 0.509), (0.600, 0.700), "nothing", "It is hardly better"),
        ((0.5, 0.5), (0.600, 0.700), "nothing", "It is hardly better"),
        ((0.7, 0.5), (0.600, 0.600), "anything", "It is worse"),
    ],
)
def test_the_verdict_weighs_new_against_old(own, old, may_forget, said):
    comparisons = [compared("held-out corrections", *own), compared("replay set", *old)]
    config = FinetuneConfig(may_forget=may_forget)
    recommended, reason = choice.verdict(comparisons, has_judges=True, config=config)
    assert reason.startswith(said)
    assert recommended == (said == "It is better")


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 4])
def test_stopped_and_resumed_equals_uninterrupted(parent, whole, tmp_path, stop_after):
    config = settings(parent)
    corrections, uninterrupted, done = whole
    with closing(finetune(corrections, config, tmp_path / "parts")) as events:
        for event in events:
            if isinstance(event, BatchDone) and event.step == stop_after:
                break
    assert load_checkpoint(tmp_path / "parts" / "last.pt").step == stop_after
    torch.rand(5)
    events = list(finetune(corrections, config, tmp_path / "parts"))
    assert next(e for e in events if isinstance(e, BatchDone)).step == stop_after + 1
    one, other = (load_checkpoint(f / "last.pt") for f in (uninterrupted, tmp_path / "parts"))
    assert same_weights(one.weights, other.weights)
    assert same_weights(one.averaged, other.averaged)
    assert file_hash(events[-1].path) == file_hash(done.path)


@pytest.mark.slow
def test_the_length_is_measured_once_and_kept(parent, corrections, tmp_path):
    config = settings(parent, steps=None, minutes=0.02)
    with closing(finetune(corrections, config, tmp_path / "out")) as events:
        seen = []
        for event in events:
            seen.append(event)
            if isinstance(event, BatchDone):
                break
    assert len([e for e in seen if isinstance(e, RateTried)]) == plan.TIMED_STEPS
    kept = json.loads((tmp_path / "out" / plan.STATE).read_text())["plan"]
    events = list(finetune(corrections, config, tmp_path / "out"))
    assert not any(isinstance(e, RateTried) for e in events)
    last = load_checkpoint(tmp_path / "out" / "last.pt")
    assert last.step == kept["epochs"] * kept["steps_per_epoch"]


@pytest.mark.slow
def test_the_rate_is_found_by_a_test_where_there_is_time(
    parent, corrections, tmp_path, monkeypatch
):
    monkeypatch.setattr(plan, "RANGE_TEST_FROM_MINUTES", 0.01)
    config = settings(parent, steps=None, minutes=0.02)
    with closing(finetune(corrections, config, tmp_path / "out")) as events:
        tried = []
        for event in events:
            tried += [event.learning_rate] if isinstance(event, RateTried) else []
            if isinstance(event, BatchDone):
                break
    assert len(tried) > plan.TIMED_STEPS
    kept = json.loads((tmp_path / "out" / plan.STATE).read_text())["plan"]
    assert min(tried) <= kept["learning_rate"] <= max(tried)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["rmsgd", "sam"])
def test_other_optimizers_fine_tune(parent, corrections, tmp_path, optimizer):
    config = settings(parent, steps=None, minutes=0.01, optimizer=optimizer)
    *_, done = finetune(corrections, config, tmp_path / "out")
    assert read_card(done.path).card["finetuning"]["config"]["optimizer"] == optimizer


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_killed_without_warning_it_goes_on(parent, corrections, tmp_path):
    out = tmp_path / "out"
    # many short epochs: the first checkpoint comes soon, and much is left to do then
    config = settings(parent, steps=320, length="thorough")
    (tmp_path / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    code = (
        "import sys; from pathlib import Path\n"
        "from napari_nucleiseg import finetuning\n"
        "from napari_nucleiseg.finetuning import task\n"
        "from napari_nucleiseg.config import FinetuneConfig\n"
        "read = task.read_replay\n"
        "task.read_replay = lambda n, s: read(n, s)[::12]\n"
        "d, c, o = map(Path, sys.argv[1:])\n"
        "config = FinetuneConfig.model_validate_json(c.read_text())\n"
        "[None for _ in finetuning.finetune(d, config, o)]"
    )
    words = [sys.executable, "-c", code, str(corrections), str(tmp_path / "config.json"), str(out)]
    process = subprocess.Popen(words)
    deadline = time.monotonic() + 240
    while not (out / "last.pt").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = load_checkpoint(out / "last.pt")
    assert 1 <= kept.step < 320
    with closing(finetune(corrections, config, out)) as events:
        first = next(e for e in events if isinstance(e, BatchDone))
    assert first.step == kept.step + 1
    assert read_card(parent).sha256 == file_hash(parent)


@pytest.mark.slow
def test_what_was_learned_until_stopped_can_be_kept(parent, corrections, tmp_path):
    config = settings(parent, steps=1000)
    out = tmp_path / "out"
    with pytest.raises(TrainingError, match="Nothing has been learned yet"):
        list(finetune(corrections, config, out, conclude=True))
    with closing(finetune(corrections, config, out)) as events:
        next(e for e in events if isinstance(e, BatchDone))
    events = list(finetune(corrections, config, out, conclude=True))
    assert not any(isinstance(e, BatchDone) for e in events)
    assert read_card(events[-1].path).card["finetuning"]["steps"] == 1


@pytest.mark.slow
def test_comparing_can_be_stopped_too(parent, corrections, tmp_path):
    with closing(finetune(corrections, settings(parent), tmp_path / "out")) as events:
        for event in events:
            if isinstance(event, Comparing):
                break
    assert not (tmp_path / "out" / "last.pt").exists()
    with closing(finetune(corrections, settings(parent, steps=1), tmp_path / "out")) as events:
        learned = False
        for event in events:
            learned |= isinstance(event, EpochDone)
            if learned and isinstance(event, Comparing):
                break
    assert not list((tmp_path / "out").glob("*.safetensors"))


@pytest.mark.slow
def test_another_run_does_not_go_on(parent, corrections, tmp_path):
    out = tmp_path / "out"
    changes = ({"learning_rate": 0.5}, {"seed": 3})
    with closing(finetune(corrections, settings(parent), out)) as events:
        next(e for e in events if isinstance(e, BatchDone))
    for change in changes:
        with pytest.raises(TrainingError, match=r"other settings.*--no-resume"):
            list(finetune(corrections, settings(parent, **change), out))
    write_corrections(corrections, count=15)
    with pytest.raises(TrainingError, match="other corrections"):
        list(finetune(corrections, settings(parent), out))
    for change in changes:
        config = settings(parent, **change)
        with closing(finetune(corrections, config, out, resume=False)) as events:
            assert next(e for e in events if isinstance(e, BatchDone)).step == 1


def test_the_old_model_is_never_replaced(parent, corrections):
    config = settings(parent, name=parent.stem)
    with pytest.raises(SettingError, match="would replace the one it begins with"):
        next(finetune(corrections, config, parent.parent))


def test_no_nucleus_no_training(parent, tmp_path):
    data = write_corrections(tmp_path / "none")
    tifffile.imwrite(data / "a_labels.tif", np.zeros((360, 360), np.int32))
    with pytest.raises(TrainingError, match="Correct some nuclei first"):
        list(finetune(data, settings(parent), tmp_path / "out"))


@pytest.mark.parametrize(
    ("name", "child"),
    [
        ("nuclei", "nuclei-tuned"),
        ("nuclei-tuned", "nuclei-tuned-2"),
        ("nuclei-tuned-9", "nuclei-tuned-10"),
        ("kidney-tuned-not-better", "kidney-tuned-2"),
    ],
)
def test_names_go_on(name, child):
    assert next_name(name) == child
