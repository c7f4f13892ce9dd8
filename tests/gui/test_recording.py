"""What is corrected in a window is in the project: journal, recovery, a second window."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from skimage.draw import disk

from napari_nucleiseg.editing import State
from napari_nucleiseg.gui.correct_dock import CorrectDock
from napari_nucleiseg.gui.desk import desk_of
from napari_nucleiseg.gui.projects import Projects
from napari_nucleiseg.gui.recording import Recording
from napari_nucleiseg.project import NAME, Project

SHAPE = (100, 120)
WAIT = 20_000


def nuclei():
    """Three nuclei; made up, so that it is known what is done to them."""
    labels = np.zeros(SHAPE, np.int32)
    for number, at in enumerate([(20, 20), (20, 50), (60, 80)], 1):
        labels[disk(at, 9, shape=SHAPE)] = number
    return labels


@pytest.fixture
def file(tmp_path):
    """A micrograph on the disk."""
    path = tmp_path / "images" / "cells.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, (nuclei() > 0).astype(np.uint8) * 200)
    return path


def opened(viewer, file, labels=None):
    """Open the file as napari does, its nuclei above it, and the dock; give dock and desk."""
    image = viewer.open(file, plugin="napari-nucleiseg")[0]
    if labels is not None:
        viewer.add_labels(labels.copy(), name=f"{image.name} · nuclei")
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock, name="Correct nuclei")
    return dock, desk_of(viewer)


def until(qtbot, desk, stage):
    qtbot.waitUntil(lambda: desk.recording.stage == stage, timeout=WAIT)


def saved(qtbot, desk):
    """Wait until the dock says that all is saved."""
    until(qtbot, desk, "recording")
    qtbot.waitUntil(lambda: not desk.recording.is_saving, timeout=WAIT)


def kept(file, folder=None):
    """What the project holds, as another program reads it."""
    project = Project(file.parent / NAME if folder is None else folder, writable=False)
    reference, notice = project.find(file)
    assert not notice
    return project.corrections(reference).load()


def test_nothing_is_made_before_the_first_correction(viewer, qtbot, file):
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "ready")
    dock.act("next")
    assert not (file.parent / NAME).exists()
    assert "will be kept in .nucleiseg" in dock.keeping.status.text()


def test_every_step_undo_and_area_is_in_the_project(viewer, qtbot, file):
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "ready")
    layer = desk.correcting.layer
    for name in ("next", "grow", "next", "delete", "next", "confirm", "next"):
        dock.act(name)
    saved(qtbot, desk)
    layer.undo()
    layer.undo()  # the confirmation, then the deleting
    layer.paint((60, 94), 9)
    dock.act("review image")
    qtbot.waitUntil(lambda: kept(file).strokes == 7, timeout=WAIT)
    found = kept(file)
    assert np.array_equal(found.labels, layer.data)
    assert found.states == desk.correcting.states == {1: State.EDITED, 9: State.EDITED}
    assert found.reviewed == desk.correcting.areas
    saved(qtbot, desk)
    assert "Corrections are kept in .nucleiseg · saved " in dock.keeping.status.text()


def test_what_is_done_in_another_layer_of_the_image_does_not_reach_the_project(viewer, qtbot, file):
    _, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "ready")
    image, first = desk.correcting.image, desk.correcting.layer
    desk.correcting.confirm([1])
    saved(qtbot, desk)
    said = []
    desk.said.connect(said.append)
    other = viewer.add_labels(nuclei()[::-1].copy(), name="another")
    other = getattr(other, "__wrapped__", other)
    desk.choose(image, other)
    other.paint((50, 50), 5)
    assert "those of another are not kept" in said[-1]
    saved(qtbot, desk)
    assert np.array_equal(kept(file).labels, first.data)
    assert kept(file).states == {1: State.CONFIRMED}
    # the first one goes on
    desk.choose(image, first)
    first.paint((80, 20), 4)
    saved(qtbot, desk)
    qtbot.waitUntil(lambda: np.array_equal(kept(file).labels, first.data), timeout=WAIT)


def test_a_new_label_image_in_the_layer_is_saved_whole(viewer, qtbot, file):
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "ready")
    dock.act("next")
    dock.act("grow")
    saved(qtbot, desk)
    desk.correcting.layer.data = nuclei()[::-1].copy()
    saved(qtbot, desk)
    qtbot.waitUntil(lambda: np.array_equal(kept(file).labels, nuclei()[::-1]), timeout=WAIT)


def test_what_was_deleted_stays_deleted_when_the_image_is_opened_again(viewer, qtbot, file):
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "ready")
    dock.act("next")
    dock.act("delete")  # what the project begins with
    dock.act("next")
    dock.act("delete")
    dock.act("next")
    dock.act("delete")
    dock.act("undo")
    saved(qtbot, desk)
    viewer.layers.clear()
    viewer.open(file, plugin="napari-nucleiseg")
    qtbot.waitUntil(lambda: desk.recording is not None, timeout=WAIT)
    until(qtbot, desk, "found")
    qtbot.mouseClick(dock.keeping.restore_button, Qt.MouseButton.LeftButton)
    desk.correcting.take_prediction(nuclei())
    assert np.array_equal(desk.correcting.layer.data > 0, nuclei() == 3)


def corrected(file, stack=False):
    """Leave corrections in a project, as a window that was closed does."""
    labels = nuclei()
    with Project(file.parent / NAME) as project:
        corrections = project.corrections(project.add(file))
        corrections.save(labels, {}, ())
        from napari_nucleiseg import editing

        change = editing.grow(labels, 2, pixels=2)
        corrections.record(change, {2: State.EDITED})
        corrections.record(None, {1: State.CONFIRMED})
        change.apply(labels)
    return labels


def test_earlier_corrections_are_offered_and_restored(viewer, qtbot, file):
    expected = corrected(file)
    dock, desk = opened(viewer, file)
    until(qtbot, desk, "found")
    assert dock.keeping.sentence.text().endswith("found (2 strokes)")
    assert not dock.keeping.bar.isHidden()
    qtbot.mouseClick(dock.keeping.restore_button, Qt.MouseButton.LeftButton)
    assert dock.keeping.bar.isHidden()
    assert np.array_equal(viewer.layers["cells · nuclei"].data, expected)
    assert desk.correcting.states == {1: State.CONFIRMED, 2: State.EDITED}
    # and they go on
    dock.act("next")
    dock.act("next")
    dock.act("delete")
    qtbot.waitUntil(lambda: kept(file).strokes == 3, timeout=WAIT)
    assert np.array_equal(kept(file).labels, desk.correcting.layer.data)


def test_corrections_of_another_size_can_still_be_discarded(viewer, qtbot, file):
    corrected(file)
    tifffile.imwrite(file, np.full((60, 70), 100, np.uint8))
    _, desk = opened(viewer, file)
    until(qtbot, desk, "found")
    failed = []
    desk.failed.connect(failed.append)
    desk.recording.restore()
    assert "another size" in str(failed[-1])
    assert desk.recording.stage == "found"
    desk.recording.discard()
    qtbot.waitUntil(lambda: desk.recording.stage in ("ready", "recording"), timeout=WAIT)


def test_discarded_ones_are_not_offered_again_and_stay_as_a_copy(viewer, qtbot, file):
    corrected(file)
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "found")
    qtbot.mouseClick(dock.keeping.discard_button, Qt.MouseButton.LeftButton)
    until(qtbot, desk, "ready")
    assert kept(file).strokes == 0
    assert "A copy of the corrections stays in" in dock.outcome.notices.text()
    copies = list((file.parent / NAME / "corrections").glob("*-discarded-*"))
    assert len(copies) == 1
    assert list(copies[0].glob("journal-*.bin"))
    dock.act("next")
    dock.act("grow")
    qtbot.waitUntil(lambda: kept(file).strokes == 1, timeout=WAIT)
    assert np.array_equal(kept(file).labels, desk.correcting.layer.data)


def test_what_was_done_before_restoring_stays_in_a_layer_of_its_own(viewer, qtbot, file):
    expected = corrected(file)
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "found")
    dock.act("next")
    dock.act("shrink")
    before = viewer.layers["cells · nuclei"].data.copy()
    assert "(1 stroke not kept)" in dock.keeping.status.text()
    qtbot.mouseClick(dock.keeping.restore_button, Qt.MouseButton.LeftButton)
    assert np.array_equal(viewer.layers["cells · nuclei"].data, before)
    assert np.array_equal(desk.correcting.layer.data, expected)
    assert "hidden" in dock.outcome.notices.text()


def test_an_image_without_a_file_is_kept_in_a_folder_that_is_chosen(
    viewer, qtbot, tmp_path, monkeypatch
):
    pixels = (nuclei() > 0).astype(np.uint8) * 200
    viewer.add_image(pixels, name="made up")
    viewer.add_labels(nuclei(), name="made up · nuclei")
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock, name="Correct nuclei")
    desk = desk_of(viewer)
    assert "choose a folder" in dock.keeping.status.text()
    dock.act("next")
    dock.act("grow")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(tmp_path))
    status = viewer.__wrapped__.window._task_status_manager
    assert any("corrections of made up are not kept" in line for line in status.get_status())
    qtbot.mouseClick(dock.keeping.folder_button, Qt.MouseButton.LeftButton)
    until(qtbot, desk, "recording")
    file = tmp_path / "made_up.tif"
    assert np.array_equal(tifffile.imread(file), pixels)
    # what was done before there was a folder is in it
    assert np.array_equal(kept(file).labels, desk.correcting.layer.data)
    assert kept(file).states == {1: State.EDITED}
    assert not any("not kept" in line for line in status.get_status())
    dock.act("confirm")
    qtbot.waitUntil(lambda: kept(file).states == {1: State.CONFIRMED}, timeout=WAIT)


def test_a_project_is_free_as_soon_as_its_images_are_closed(viewer, qtbot, file):
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "ready")
    dock.act("next")
    dock.act("grow")
    saved(qtbot, desk)
    shown = desk.correcting.layer.data.copy()
    with Project(file.parent / NAME) as project:
        assert not project.is_writable
    viewer.layers.clear()

    def is_free():
        with Project(file.parent / NAME) as project:
            return project.is_writable

    qtbot.waitUntil(is_free, timeout=WAIT)
    assert np.array_equal(kept(file).labels, shown)


HOLDS = """
import sys
from pathlib import Path
from napari_nucleiseg.gui.projects import Projects
from napari_nucleiseg.gui.recording import Recording
from napari_nucleiseg.project import Project
project = Project(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_window_reads_only_and_says_so(viewer, qtbot, file):
    corrected(file)
    command = [sys.executable, "-c", HOLDS, str(file.parent / NAME)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        dock, desk = opened(viewer, file, nuclei())
        until(qtbot, desk, "reading")
        assert "is open in another window" in dock.outcome.notices.text()
        dock.act("next")
        dock.act("delete")
        assert "reading only: corrections are not kept (1 stroke" in dock.keeping.status.text()
        assert not (desk.correcting.layer.data == 1).any()
        other.communicate(b"")
    assert kept(file).strokes == 2


def test_a_place_that_cannot_be_written_to_is_told_of(viewer, qtbot, file):
    (file.parent / NAME).write_text("not a folder")
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "ready")
    dock.act("next")
    dock.act("grow")
    until(qtbot, desk, "failed")
    assert "cannot be made" in dock.outcome.sentence.text()
    assert "Not saved" in dock.keeping.status.text()
    assert (desk.correcting.layer.data == 1).sum() > (nuclei() == 1).sum()


def test_a_stack_is_kept_voxel_for_voxel(viewer, qtbot, tmp_path):
    stack = np.stack([np.zeros_like(nuclei())] * 2 + [nuclei()] + [np.zeros_like(nuclei())] * 2)
    file = tmp_path / "stack.tif"
    tifffile.imwrite(file, (stack > 0).astype(np.uint8) * 200, metadata={"axes": "ZYX"})
    viewer.open(file, plugin="napari")
    layer = viewer.add_labels(stack.copy(), name="stack · nuclei")
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock, name="Correct nuclei")
    desk = desk_of(viewer)
    until(qtbot, desk, "ready")
    layer.brush_size = 7
    # two planes above the nucleus, and less of it in its own
    for plane in (3, 4):
        viewer.dims.set_current_step(0, plane)
        with layer.block_history():
            layer.paint((plane, 20, 20), 1)
            layer.paint((plane, 22, 24), 1)
    viewer.dims.set_current_step(0, 2)
    layer.paint((2, 28, 20), 0)
    saved(qtbot, desk)
    qtbot.waitUntil(lambda: kept(file).strokes == 3, timeout=WAIT)
    assert (layer.data[3:] == 1).any()
    found = kept(file)
    assert np.array_equal(found.labels, layer.data)
    assert found.states == {1: State.EDITED}
    # opened again
    shown = layer.data.copy()
    viewer.layers.clear()
    viewer.open(file, plugin="napari")
    until(qtbot, desk, "found")
    qtbot.mouseClick(dock.keeping.restore_button, Qt.MouseButton.LeftButton)
    assert np.array_equal(desk.correcting.layer.data, shown)


def test_images_go_and_come_and_nothing_is_lost(viewer, qtbot, file):
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "ready")
    dock.act("next")
    dock.act("grow")
    # while the project is being made
    expected = desk.correcting.layer.data.copy()
    viewer.layers.clear()
    viewer.add_image(np.zeros((30, 40), np.uint8), name="other")
    viewer.open(file, plugin="napari-nucleiseg")
    qtbot.waitUntil(lambda: desk.recording is not None, timeout=WAIT)
    until(qtbot, desk, "found")
    qtbot.mouseClick(dock.keeping.restore_button, Qt.MouseButton.LeftButton)
    assert np.array_equal(desk.correcting.layer.data, expected)


def test_two_images_of_one_folder_share_its_project(viewer, qtbot, file):
    other = file.with_name("more.tif")
    tifffile.imwrite(other, (nuclei()[::-1] > 0).astype(np.uint8) * 200)
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "ready")
    dock.act("next")
    dock.act("grow")
    first = desk.correcting.layer
    viewer.open(other, plugin="napari-nucleiseg")
    second = viewer.add_labels(nuclei()[::-1].copy(), name="more · nuclei")
    qtbot.wait(20)  # nobody is as fast as to choose a layer while it comes
    viewer.layers.selection.active = viewer.layers["more"]
    assert desk.correcting.layer is second.__wrapped__
    until(qtbot, desk, "ready")
    dock.act("next")
    dock.act("grow")
    saved(qtbot, desk)
    # painted in the other one meanwhile
    first.paint((60, 94), 5)
    qtbot.waitUntil(lambda: kept(file).strokes == 2, timeout=WAIT)
    assert np.array_equal(kept(file).labels, first.data)
    qtbot.waitUntil(lambda: np.array_equal(kept(other).labels, second.data), timeout=WAIT)


CLOSES = """
import os, sys
os.environ["NAPARI_CONFIG"] = sys.argv[2]
from pathlib import Path
import numpy as np
import napari
from napari_nucleiseg.gui import memory
memory.memory_file = lambda: Path(sys.argv[2]).with_suffix(".json")
from napari_nucleiseg.gui.desk import desk_of
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=False)
image = viewer.open(sys.argv[1], plugin="napari-nucleiseg")[0]
layer = viewer.add_labels(np.load(sys.argv[3]), name=image.name + " · nuclei")
_, dock = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Correct nuclei")
desk = desk_of(viewer)
def edit():
    if desk.recording.stage == "ready":
        timer.stop()
        for action in ("next", "grow", "next", "delete"):
            dock.act(action)
        np.save(sys.argv[4], layer.data)
        viewer.close()
        # a window that was never shown does not end the program
        QApplication.instance().quit()
timer = QTimer()
timer.timeout.connect(edit)
timer.start(30)
napari.run()
"""


@pytest.mark.slow
def test_napari_closed_right_after_an_edit_loses_nothing(file, tmp_path):
    np.save(tmp_path / "nuclei.npy", nuclei())
    arguments = [file, tmp_path / "napari.yaml", tmp_path / "nuclei.npy", tmp_path / "left.npy"]
    command = [sys.executable, "-c", CLOSES, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    found = kept(file)
    assert found.strokes == 2
    assert np.array_equal(found.labels, np.load(tmp_path / "left.npy"))


class Turns:
    """Runs tasks of a recording step by step, as slow threads do."""

    def __init__(self):
        self.tasks = []
        self.events = []

    def __call__(self, task):
        self.tasks.append(task)

    def work(self, at=-1):
        """The thread of a task does its work; nobody has heard of it yet."""
        task = self.tasks[at]
        self.events += [(task, event) for event in task.events]

    def hear(self):
        """All that was done is told of."""
        told, self.events = self.events, []
        for task, event in told:
            task.on_event(event)


def confirmed(corrections):
    return sorted(n for n, s in corrections.states.items() if s == State.CONFIRMED)


@pytest.fixture
def turns(file):
    """A recording of the file that is ready to begin, and who runs its tasks."""
    turns, projects = Turns(), Projects()
    recording = Recording(projects, turns)
    recording.look(file)
    turns.work()
    turns.hear()
    assert recording.stage == "ready"
    yield recording, turns, projects
    projects.close()


def strokes(recording, *numbers):
    for number in numbers:
        recording.record(states={number: State.CONFIRMED})


@pytest.mark.parametrize("worked", ["before", "between", "after"])
def test_a_save_takes_the_strokes_of_its_own_place_and_all_of_them(turns, file, tmp_path, worked):
    recording, turns, projects = turns
    other = tmp_path / "elsewhere"
    recording.begin(nuclei(), {}, ())
    if worked == "before":
        turns.work()
    strokes(recording, 1)
    if worked == "between":
        turns.work()
    strokes(recording, 2)
    # another folder is chosen while the first save is under way
    recording.look(file, other)
    strokes(recording, 3)
    if worked == "after":
        turns.work(1)
    turns.work()
    turns.hear()
    assert recording.wants_begin
    assert recording.has_waiting
    recording.begin(nuclei(), dict.fromkeys([1, 2, 3], State.CONFIRMED), ())
    strokes(recording, 4)
    turns.work()
    turns.hear()
    strokes(recording, 5)
    assert recording.keeps_all
    projects.close()
    assert confirmed(kept(file, other / NAME)) == [1, 2, 3, 4, 5]
    assert confirmed(kept(file)) == [1, 2]


def test_a_second_save_of_the_same_image_takes_no_stroke_from_the_first(turns, file):
    recording, turns, projects = turns
    recording.begin(nuclei(), {}, ())
    strokes(recording, 1)
    recording.begin(nuclei(), {1: State.CONFIRMED}, ())
    strokes(recording, 2)
    turns.work(1)
    turns.work(2)
    turns.hear()
    strokes(recording, 3)
    projects.close()
    assert confirmed(kept(file)) == [1, 2, 3]


def test_strokes_between_the_save_and_the_end_of_napari_are_kept(turns, file):
    recording, turns, projects = turns
    recording.begin(nuclei(), {}, ())
    turns.work()
    strokes(recording, 1, 2)
    projects.close()  # nobody hears of the save any more
    assert confirmed(kept(file)) == [1, 2]


def test_strokes_after_the_project_was_closed_are_said_not_to_be_kept(turns, file):
    recording, turns, projects = turns
    recording.begin(nuclei(), {}, ())
    turns.work()
    turns.hear()
    strokes(recording, 1)
    projects.close()
    failed = []
    recording.failed.connect(failed.append)
    strokes(recording, 2)
    assert "The project was closed" in str(failed[0])
    assert (recording.stage, recording.unkept) == ("failed", 1)
    assert not recording.keeps_all
    assert confirmed(kept(file)) == [1]


def test_what_is_painted_after_the_dock_was_closed_is_kept_and_marked(viewer, qtbot, file):
    dock, desk = opened(viewer, file, nuclei())
    until(qtbot, desk, "ready")
    viewer.window.remove_dock_widget(dock)
    desk.correcting.layer.paint((60, 94), 9)
    qtbot.waitUntil(lambda: desk.recording.stage == "recording", timeout=WAIT)
    qtbot.waitUntil(lambda: kept(file).states == {9: State.EDITED}, timeout=WAIT)
    assert np.array_equal(kept(file).labels, desk.correcting.layer.data)


PAINTS = """
import os, sys
os.environ["NAPARI_CONFIG"] = sys.argv[2]
from pathlib import Path
import numpy as np
import napari
from napari_nucleiseg.gui import memory
memory.memory_file = lambda: Path(sys.argv[2]).with_suffix(".json")
from napari_nucleiseg.gui.desk import desk_of
from qtpy.QtCore import QTimer
viewer = napari.Viewer(show=False)
image = viewer.open(sys.argv[1], plugin="napari-nucleiseg")[0]
layer = viewer.add_labels(np.load(sys.argv[3]), name=image.name + " · nuclei")
_, dock = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Correct nuclei")
desk = desk_of(viewer)
layer.brush_size = 3
count = 0
def paint():
    global count
    if desk.recording.stage not in ("ready", "beginning", "recording"):
        return
    if desk.recording.stage == "beginning" and count:
        return
    count += 1
    layer.paint((5 + count % 90, 5 + 3 * (count // 90)), 100 + count)
    np.save(sys.argv[4] + ".part.npy", layer.data)
    os.replace(sys.argv[4] + ".part.npy", sys.argv[4] + f"-{count}.npy")
    print(count, flush=True)
timer = QTimer()
timer.timeout.connect(paint)
timer.start(30)
napari.run()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is for Unix")
def test_napari_killed_while_painting_loses_the_stroke_under_way_at_most(
    viewer, qtbot, file, tmp_path
):
    np.save(tmp_path / "nuclei.npy", nuclei())
    arguments = [file, tmp_path / "napari.yaml", tmp_path / "nuclei.npy", tmp_path / "painted"]
    command = [sys.executable, "-c", PAINTS, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as napari:
        count = 0
        while count < 20:
            line = napari.stdout.readline()
            assert line, napari.stderr.read().decode()
            count = int(line)
        os.kill(napari.pid, signal.SIGKILL)
    painted = {
        int(path.stem.split("-")[1]): np.load(path) for path in tmp_path.glob("painted-*.npy")
    }
    last = max(painted)
    assert last >= 20

    dock, desk = opened(viewer, file)
    until(qtbot, desk, "found")
    strokes = desk.recording.found.corrected.strokes
    assert last - 1 <= strokes <= last + 1
    assert dock.keeping.sentence.text().endswith(f"({strokes} strokes)")
    qtbot.mouseClick(dock.keeping.restore_button, Qt.MouseButton.LeftButton)
    if strokes in painted:
        assert np.array_equal(desk.correcting.layer.data, painted[strokes])
    else:  # the last one was written and its picture was not
        differ = desk.correcting.layer.data != painted[last]
        assert np.unique(desk.correcting.layer.data[differ]).tolist() == [100 + strokes]
