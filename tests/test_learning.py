"""Around a fine-tuning in a window: its record, its progress in words, how models differ."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from napari_nucleiseg import wording
from napari_nucleiseg.before_after import LOST, MOVED, NEW, differ
from napari_nucleiseg.config import FinetuneConfig
from napari_nucleiseg.data.pairs import find_pairs
from napari_nucleiseg.errors import FileError, ModelError, ShapeError, TrainingError
from napari_nucleiseg.events import (
    BatchDone,
    Comparing,
    DeviceChosen,
    EpochDone,
    Finetuned,
    Planned,
)
from napari_nucleiseg.io import read_labels, read_micrograph
from napari_nucleiseg.learning import Learning
from napari_nucleiseg.learning_progress import Progress
from napari_nucleiseg.lessons import (
    CORRECTIONS,
    RECORD,
    Lesson,
    adopt,
    all_unfinished,
    check_name,
    free_name,
    lessons_folder,
    unfinished,
    write_corrections,
)
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.reviewed import Area
from napari_nucleiseg.store import BUNDLED, file_hash, find_model


def square(*places, number=1):
    labels = np.zeros((40, 40), np.int32)
    for n, (y, x) in enumerate(places, number):
        labels[y : y + 8, x : x + 8] = n
    return labels


def test_nuclei_that_differ_are_told_apart():
    before = square((2, 2), (2, 20), (20, 2))
    # the first stays, the second is gone, the third is moved a little, another is new
    after = square((2, 2), (22, 2), (20, 20))
    found = differ(before, after)
    assert (found.lost, found.new, found.moved) == (1, 1, 1)
    assert found.changed[3, 21] == LOST
    assert found.changed[21, 21] == NEW
    assert found.changed[24, 4] == MOVED
    assert not found.changed[2:10, 2:10].any()


def test_the_same_result_differs_in_nothing():
    labels = square((2, 2), (20, 20))
    found = differ(labels, labels)
    assert not found.changed.any()
    assert (found.lost, found.new, found.moved) == (0, 0, 0)


# --- files --------------------------------------------------------------------------------------


@pytest.fixture
def lesson(tmp_path, model_folder):
    config = FinetuneConfig(model="nuclei", name="kidney", length="normal", may_forget="a little")
    return Lesson(tmp_path / "data", config, lessons_folder() / "kidney")


def test_a_stopped_lesson_is_found_again(lesson):
    lesson.keep()
    # nothing was learned yet
    assert unfinished(lesson.out) is None
    (lesson.out / "last.pt").write_bytes(b"weights")
    assert unfinished(lesson.out) == lesson
    assert all_unfinished() == ([lesson], [])
    lesson.end(discard=True)
    assert all_unfinished() == ([], [])
    assert not lesson.out.exists()


def test_what_is_not_ours_in_the_folder_stays(lesson):
    lesson.keep()
    (lesson.out / "last.pt").write_bytes(b"weights")
    (lesson.out / CORRECTIONS).mkdir()
    (lesson.out / "fold1").mkdir()
    (lesson.out / "notes.txt").write_text("mine")
    lesson.end(discard=True)
    assert sorted(p.name for p in lesson.out.iterdir()) == ["fold1", "notes.txt"]


def test_a_damaged_record_is_named(lesson):
    lesson.keep()
    (lesson.out / "last.pt").write_bytes(b"weights")
    (lesson.out / RECORD).write_text("{")
    other = replace(lesson, out=lessons_folder() / "liver")
    other.keep()
    (other.out / "last.pt").write_bytes(b"weights")
    with pytest.raises(FileError, match=RECORD):
        unfinished(lesson.out)
    # the others can go on all the same
    found, [damaged] = all_unfinished()
    assert found == [other]
    assert str(lesson.out / RECORD) in str(damaged)
    # nobody knows whose files these are
    with pytest.raises(FileError, match="nothing of it is used or removed"):
        lesson.end(discard=True)
    assert (lesson.out / "last.pt").is_file()


def test_what_was_stopped_is_told_in_words(lesson):
    stopped = replace(lesson, source="plate1", learned=0.4)
    stopped.keep()
    (lesson.out / "last.pt").write_bytes(b"weights")
    at = datetime(2026, 3, 4, 15, 6)
    os.utime(lesson.out / "last.pt", (at.timestamp(),) * 2)
    assert wording.unfinished(unfinished(lesson.out)) == (
        "kidney has not learned to the end · stopped 2026-03-04 15:06 · 40 % learned · from nuclei "
        "on plate1."
    )


def test_how_far_it_was_is_written_down(lesson, monkeypatch):
    def steps(*_):
        for step in range(1, 5):
            yield BatchDone(1, step, 0.5, step / 8)
        yield EpochDone(1, 0.5, 1e-3, 1.0, 0.5, None)
        yield BatchDone(2, 5, 0.5, 5 / 8)
        yield BatchDone(2, 6, 0.5, 6 / 8)

    learning, learned = Learning(), []
    monkeypatch.setattr("napari_nucleiseg.learning.learn", steps)

    def on_event(event):
        (lesson.out / "last.pt").write_bytes(b"weights")
        learned.append(unfinished(lesson.out).learned)
        if event.progress == 5 / 8:
            learning.cancel()

    learning.event.connect(on_event)
    learning.start(lesson, own_process=False)
    # a kill would lose what came after the checkpoint of the round
    assert learned == [0, 0, 0, 0, 0.5, 0.5]
    assert unfinished(lesson.out).learned == 5 / 8
    assert learning.curve.steps == [1, 2, 3, 4, 5]


def test_names_are_free(model_folder):
    assert free_name("nuclei") == "nuclei-tuned"
    for file in BUNDLED.glob("nuclei.*"):
        text = file.read_bytes().replace(b"name: nuclei\n", b"name: nuclei-tuned\n")
        (model_folder / file.name.replace("nuclei", "nuclei-tuned")).write_bytes(text)
    assert free_name("nuclei") == "nuclei-tuned-2"


def test_an_adopted_model_can_be_chosen_by_its_name(model_folder, tmp_path):
    place = tmp_path / "out"
    place.mkdir()
    for suffix in (".safetensors", ".yaml"):
        shutil.copy(model_folder / f"noisy{suffix}", place / f"kidney{suffix}")
    card = place / "kidney.yaml"
    card.write_text(card.read_text().replace("name: noisy", "name: kidney"))
    assert adopt(place / "kidney.safetensors").path.parent == model_folder
    assert file_hash(find_model("kidney").path) == file_hash(place / "kidney.safetensors")
    with pytest.raises(ModelError, match="kidney"):
        adopt(place / "kidney.safetensors")


def test_open_corrections_become_a_pair_that_is_found(tmp_path):
    pixels = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    labels = square((2, 2), (20, 20))
    area = Area(vertices=((0, 0), (0, 15), (15, 15), (15, 0)))
    write_corrections(tmp_path, Micrograph(pixels, "YX"), labels, [area])
    [pair], _ = find_pairs(tmp_path)
    assert np.array_equal(read_micrograph(pair.micrograph).pixels, pixels)
    written, _ = read_labels(pair.labels)
    assert set(np.unique(written)) == {-1, 0, 1}
    assert written[24, 24] == -1
    assert written[12, 12] == 0


def test_of_channels_the_chosen_one_is_learned(tmp_path):
    pixels = np.stack([np.full((40, 40), n, np.uint8) for n in (1, 2, 3, 4)])
    write_corrections(tmp_path, Micrograph(pixels, "CYX"), square((2, 2)), None, "3")
    assert set(np.unique(read_micrograph(tmp_path / "image.tif").pixels)) == {3}


def test_what_cannot_be_learned_from_is_said(tmp_path):
    micrograph = Micrograph(np.zeros((40, 40), np.uint8), "YX")
    with pytest.raises(ShapeError, match="40×41 px, not 40×40"):
        write_corrections(tmp_path, micrograph, np.zeros((40, 41), np.int32), None)
    with pytest.raises(TrainingError, match="Nothing was reviewed"):
        write_corrections(tmp_path, micrograph, square((2, 2)), [])


# --- progress -----------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_progress_in_words():
    clock = Clock()
    progress = Progress(clock)
    assert progress.words == "getting ready"
    assert progress.share is None
    progress.hear(Comparing(1, 4))
    clock.now = 4
    progress.hear(Comparing(4, 4))
    assert progress.words == "seeing how good the old model is · image 4 of 4"
    progress.hear(DeviceChosen("cpu", "torch", "no GPU found"))
    assert progress.device == "CPU · no GPU found"
    progress.hear(Planned("", 2, 10, 1))
    progress.hear(BatchDone(1, 1, 0.5, 0.05))
    assert progress.words == "learning · round 1 of 2, step 1 of 10"
    clock.now = 13
    progress.hear(BatchDone(2, 11, 0.5, 0.5))
    # nine seconds for 45 %, and the comparing after it
    assert progress.words == "learning · round 2 of 2, step 1 of 10 · 26 s left"
    assert progress.is_learning
    progress.hear(Comparing(0, 4))
    assert progress.words == "comparing the old model with the new one · image 0 of 4"
    assert not progress.is_learning
    progress.hear(Finetuned(None, "", True, "", (), 1.0))
    assert (progress.share, progress.words) == (1.0, "")


def test_a_pause_takes_no_time():
    clock = Clock()
    progress = Progress(clock)
    progress.hear(BatchDone(1, 1, 0.5, 0.0))
    clock.now = 1
    progress.pause()
    clock.now = 1000
    progress.go_on()
    clock.now = 1001
    progress.hear(BatchDone(1, 2, 0.5, 0.5))
    assert progress.words == "learning · 2 s left"


def test_parts_of_a_cross_validation_are_counted():
    progress = Progress(Clock())
    progress.hear(Planned("", 1, 2, 3))
    said = []
    for n, step in enumerate((1, 2, 1, 2, 1, 2), 1):
        progress.hear(BatchDone(1, step, 0.5, n / 6))
        said.append(progress.words.split(" · ")[1])
    assert said == ["part 1 of 3"] * 2 + ["part 2 of 3"] * 2 + ["part 3 of 3"] * 2


def test_what_cannot_begin_fails_in_words(lesson):
    learning, errors, states = Learning(), [], []
    learning.failed.connect(errors.append)
    learning.state_changed.connect(states.append)
    learning.start(lesson, own_process=False)
    assert states == ["running", "failed"]
    assert str(lesson.data) in str(errors[0])


def test_a_folder_that_is_no_lesson_is_left_alone(lesson):
    (lesson.out / "corrections").mkdir(parents=True)
    (lesson.out / "corrections" / "mine.tif").write_bytes(b"x")
    (lesson.out / "best.pt").write_bytes(b"of another training")
    lesson.end(discard=True)
    lesson.keep()
    lesson.end(discard=True)
    assert (lesson.out / "corrections" / "mine.tif").is_file()


def test_a_model_that_is_not_used_yet_keeps_its_name(lesson):
    lesson.out.mkdir(parents=True)
    (lesson.out / "kidney.safetensors").write_bytes(b"weights")
    with pytest.raises(ModelError, match="kidney"):
        check_name("kidney", lesson.out.parent / "other")
    with pytest.raises(ModelError, match="kidney"):
        check_name("kidney", lesson.out)
    check_name("kidney-2", lesson.out)
    (lesson.out / "last.pt").write_bytes(b"of a training in the shell")
    with pytest.raises(FileError, match="another training"):
        check_name("kidney-2", lesson.out)
