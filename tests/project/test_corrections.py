from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import tifffile

from napari_nucleiseg.editing import Change, Emptying, State, delete, nowhere
from napari_nucleiseg.errors import FileError, NucleisegError, TrainingError
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.project import Corrections, Project, training_labels
from napari_nucleiseg.project import corrections as module
from napari_nucleiseg.reviewed import IGNORED, rectangle, whole_image

SHAPE = (20, 30)


@pytest.fixture
def labels():
    made = np.zeros(SHAPE, np.int32)
    made[2:8, 2:8] = 1
    made[10:16, 12:20] = 2
    return made


@pytest.fixture
def begun(tmp_path, labels):
    corrections = Corrections(tmp_path / "project" / "a")
    corrections.save(labels, {1: State.CONFIRMED}, [])
    yield corrections
    corrections.close()


def test_strokes_come_back_in_their_order(begun, labels):
    change = delete(labels, 2)
    begun.record(change, {2: None, 1: State.EDITED})
    begun.record(reviewed=[whole_image(SHAPE)])
    begun.record(states={7: State.CONFIRMED})
    begun.flush()
    found = Corrections(begun.folder, writable=False).load()
    change.apply(labels)
    assert np.array_equal(found.labels, labels)
    assert found.states == {1: State.EDITED, 7: State.CONFIRMED}
    assert found.reviewed == (whole_image(SHAPE),)
    assert (found.strokes, found.notices) == (3, ())
    untouched = begun.load(replay=False)
    assert untouched.strokes == 3
    assert untouched.states == {1: State.CONFIRMED}
    assert (untouched.labels == 2).any()


def test_emptied_places_are_kept_by_strokes_and_by_a_save(begun, labels):
    change = delete(labels, 2)
    step = Emptying.by(change, nowhere())
    begun.record(change, {2: None}, emptied=step)
    begun.flush()
    where = np.flatnonzero(labels == 2)
    assert np.array_equal(begun.load().emptied, where)
    assert begun.load().holds_work
    change.apply(labels)
    begun.save(labels, {}, [], where)
    assert begun.load().strokes == 0
    assert np.array_equal(begun.load().emptied, where)
    assert begun.load().holds_work
    assert not begun.load().is_reviewed
    begun.record(change.reverse(), emptied=step.reverse())
    begun.flush()
    assert not begun.load().emptied.size
    # places beside the image
    text = (begun.folder / "state.json").read_text()
    (begun.folder / "state.json").write_text(text.replace('"emptied": [', '"emptied": [-3, 1, '))
    with pytest.raises(FileError, match="do not fit"):
        begun.load()


def test_a_save_takes_the_strokes_in_and_other_programs_read_it(begun, labels):
    change = delete(labels, 2)
    begun.record(change)
    change.apply(labels)
    begun.save(labels, {}, [])
    begun.close()
    found = begun.load()
    assert found.strokes == 0
    assert np.array_equal(found.labels, labels)
    (image,) = begun.folder.glob("*.tif")
    assert np.array_equal(read_labels(image).image, labels)
    assert sorted(p.suffix for p in begun.folder.iterdir()) == [".json", ".tif"]


def test_strokes_during_a_save_are_kept(begun, labels):
    write = begun.prepare_save(labels, {}, [])
    begun.record(states={2: State.CONFIRMED})
    write()
    begun.close()
    assert begun.load().states == {2: State.CONFIRMED}


def test_after_the_project_was_closed_nothing_is_written(tmp_path, labels):
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, np.zeros(SHAPE, np.uint8))
    with Project(tmp_path / ".nucleiseg") as project:
        corrections = project.corrections(project.add(file))
        corrections.save(labels, {}, [])
        corrections.record(states={1: State.CONFIRMED})
        late = corrections.prepare_save(labels * 0, {}, [])
        assert corrections.is_writable
    assert not corrections.is_writable
    files = {path: path.read_bytes() for path in corrections.folder.iterdir()}
    for write in (
        partial(corrections.record, delete(labels, 2)),
        partial(corrections.save, labels, {}, []),
        late,
    ):
        with pytest.raises(FileError, match="The project was closed"):
            write()
    assert {path: path.read_bytes() for path in corrections.folder.iterdir()} == files
    assert corrections.load().states == {1: State.CONFIRMED}


def test_of_two_saves_the_later_one_counts(begun, labels):
    early = begun.prepare_save(labels, {1: State.EDITED}, [])
    late = begun.prepare_save(labels * 2, {2: State.EDITED}, [])
    late()
    early()
    found = begun.load()
    assert np.array_equal(found.labels, labels * 2)
    assert found.states == {2: State.EDITED}


def test_stacks_are_kept_as_they_are(tmp_path, labels):
    stack = np.stack([labels, labels * 3, labels * 0])
    corrections = Corrections(tmp_path / "p" / "a")
    corrections.save(stack, {}, [])
    change = delete(stack[1], 3).in_stack((1,), stack.shape)
    corrections.record(change)
    corrections.close()
    change.apply(stack)
    assert np.array_equal(corrections.load().labels, stack)


class Killed(BaseException):
    """Stands for the end of the process."""


def test_ended_between_any_two_steps_of_a_save_nothing_is_lost(begun, labels, monkeypatch):
    change = delete(labels, 2)
    begun.record(change, {2: None})
    begun.flush()
    before = {p.name: p.read_bytes() for p in begun.folder.iterdir()}
    change.apply(labels)
    steps = []

    def step(perform):
        def ended(*values, **options):
            if len(steps) == limit:
                raise Killed
            steps.append(perform)
            return perform(*values, **options)

        return ended

    reached = False
    limit = 0
    for limit in range(9):  # noqa: B007 - read by the steps
        shutil.rmtree(begun.folder)
        begun.folder.mkdir()
        for name, content in before.items():
            (begun.folder / name).write_bytes(content)
        steps.clear()
        fresh = Corrections(begun.folder)
        with monkeypatch.context() as patch:
            for place, name in ((os, "replace"), (os, "fsync"), (type(begun.folder), "unlink")):
                patch.setattr(place, name, step(getattr(place, name)))
            try:
                fresh.save(labels, {1: State.EDITED}, [])
                reached = True
            except Killed:
                reached = False
        found = Corrections(begun.folder, writable=False).load()
        assert np.array_equal(found.labels, labels)
        assert found.states in ({1: State.CONFIRMED}, {1: State.EDITED})
        fresh.close()
    assert reached


WRITER = """
import sys
import time
import numpy as np
from pathlib import Path
from napari_nucleiseg.editing import Change, State
from napari_nucleiseg.project import Corrections
labels = np.zeros((60, 60), np.int32)
corrections = Corrections(Path(sys.argv[1]))
corrections.save(labels, {}, [])
for n in range(1, 3600):
    after = labels.copy()
    after.flat[n] = n
    change = Change.between(labels, after)
    corrections.record(change, {n: State.EDITED})
    labels = after
    print(n, time.monotonic(), flush=True)
    if n % 7 == 0:
        corrections.save(labels, {k: State.EDITED for k in range(1, n + 1)}, [])
"""


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.01, 0.03, 0.1, 0.3, 1.5])
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_process_killed_while_it_writes_loses_the_last_second_at_most(tmp_path, wait):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "p" / "a")], stdout=subprocess.PIPE, text=True
    )
    said = [process.stdout.readline() for _ in range(20)]
    time.sleep(wait)
    killed = time.monotonic()
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    found = Corrections(tmp_path / "p" / "a", writable=False).load()
    last = int(found.labels.max())
    told = [line.split() for line in said]
    # what was handed over a moment before the end may still be on its way to the thread
    safe = [int(entry[0]) for entry in told if len(entry) == 2 and float(entry[1]) < killed - 1]
    assert last >= max(safe, default=1)
    assert np.array_equal(found.labels.flat[1 : last + 1], np.arange(1, last + 1))
    assert set(found.states) == set(range(1, last + 1))
    # and it goes on from there
    again = Corrections(tmp_path / "p" / "a")
    again.record(states={9999: State.CONFIRMED})
    again.close()
    assert 9999 in again.load().states


def test_without_the_right_to_write_nothing_is_written(begun, labels):
    reader = Corrections(begun.folder, writable=False)
    with pytest.raises(FileError, match="reading only"):
        reader.record(states={1: None})
    with pytest.raises(FileError, match="reading only"):
        reader.save(labels, {}, [])
    with pytest.raises(FileError, match="label image to begin with"):
        Corrections(begun.folder.parent / "b").record(states={1: None})


def test_damage_is_named(begun):
    (image,) = begun.folder.glob("*.tif")
    whole = image.read_bytes()
    for damage in (b"", whole[:50], whole[:-40], whole[:-60] + bytes(40) + whole[-20:]):
        image.write_bytes(damage)
        with pytest.raises(FileError, match=image.name):
            begun.load()
    image.unlink()
    with pytest.raises(FileError, match=image.name):
        begun.load()
    state = begun.folder / module.STATE
    text = state.read_text()
    state.write_text(text.replace('"version": 1', '"version": 9'))
    with pytest.raises(FileError, match="newer version"):
        begun.load()
    state.write_text(text.replace(image.name, "../../secret.tif"))
    with pytest.raises(FileError, match="outside"):
        begun.load()
    state.write_text("{")
    with pytest.raises(NucleisegError, match=r"state\.json"):
        begun.load()


def test_what_was_not_reviewed_is_not_learned_from(begun, labels):
    learned, notices = training_labels(begun.folder)
    assert set(np.unique(learned)) == {IGNORED, 0, 1}
    assert "1 confirmed" in notices[0]
    begun.save(labels, {}, [rectangle((-0.5, 9.5), (20, 30), SHAPE)])
    learned, notices = training_labels(begun.folder)
    assert set(np.unique(learned)) == {IGNORED, 0, 2}
    assert (learned[:, :10] == IGNORED).all()
    assert notices == ()
    begun.save(labels, {}, [])
    with pytest.raises(TrainingError, match="Nothing in this micrograph was reviewed"):
        training_labels(begun.folder)


def test_a_change_of_another_size_hides_no_other(begun):
    begun.record(Change(np.array([1]), np.array([0]), np.array([4]), (3, 3)))
    begun.record(states={1: State.CONFIRMED})
    begun.close()
    found = begun.load()
    assert found.notices == ("A stroke on a label image of another size is left out",)
    assert found.states[1] == State.CONFIRMED
