"""The dock "Check training data": real folders, buttons, threads and layers."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
from napari.layers import Image, Labels
from PIL import Image as Picture
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_nucleiseg.config import FinetuneConfig
from napari_nucleiseg.diagnosis import Finding
from napari_nucleiseg.doctor import ImageChecked, check_for
from napari_nucleiseg.errors import NucleisegError
from napari_nucleiseg.gui import memory
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.check_dock import CheckDock
from napari_nucleiseg.gui.check_view import CheckView
from napari_nucleiseg.gui.layers import path_of
from napari_nucleiseg.gui.segment_dock import SegmentDock
from napari_nucleiseg.io import read_labels, write_labels
from napari_nucleiseg.preview import BatchDrawn, draw_batch
from napari_nucleiseg.samples import SAMPLES

WAIT = 120_000


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def state(view):
    return view.outcome.state.property("state")


def lines(view):
    """Image and sentence of every row."""
    table = view.table
    return [(table.item(i, 0).text(), table.item(i, 1).text()) for i in range(table.rowCount())]


def row_of(view, name, words):
    (at,) = [i for i, (image, said) in enumerate(lines(view)) if image == name and words in said]
    return at


@pytest.fixture
def data(tmp_path):
    """A training folder of the three samples; the label image of "stained" has a hole."""
    place = tmp_path / "mine"
    for name, sample in SAMPLES.items():
        for kind, source in (("images", sample.micrograph), ("masks", sample.labels)):
            path = place / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
    labels = read_labels(place / "masks" / "stained.png").image.copy()
    rows, columns = np.nonzero(labels == 7)
    y, x = int(rows.mean()), int(columns.mean())
    labels[y - 1 : y + 2, x - 1 : x + 2] = 0
    write_labels(place / "masks" / "stained.png", labels)
    return place


@pytest.fixture
def dock(viewer, qtbot):
    widget = CheckDock(viewer)
    viewer.window.add_dock_widget(widget, name="Check training data")
    yield widget
    session = bridge_of(viewer).session
    session.cancel()
    qtbot.waitUntil(lambda: not session.is_busy, timeout=60_000)


@pytest.fixture
def view(dock):
    return dock.view


@pytest.fixture
def work(monkeypatch, viewer):
    """Lets a function of the test take the place of the child process and its work."""

    def replace(runs):
        monkeypatch.setattr(bridge_of(viewer).session, "_work_in", runs)

    return replace


def here(function, *args):
    """Let the work of the dock run on the job's thread, without a process of its own."""
    return function(*args)


def check(view, folder, qtbot):
    view.look(folder)
    qtbot.waitUntil(lambda: state(view) in ("done", "failed"), timeout=WAIT)


# --- what is found ------------------------------------------------------------------------------


def test_every_image_has_a_row_and_problems_stand_first(view, dock, data, work, qtbot):
    work(here)
    assert not view.check_button.isEnabled()
    dock.folder.setText(str(data))
    dock.folder.editingFinished.emit()
    click(qtbot, view.check_button)
    qtbot.waitUntil(lambda: state(view) == "done", timeout=WAIT)
    assert view.outcome.result.text() == "1 of 3 images with problems"
    assert lines(view) == [
        ("stained", "1 nucleus has holes (number 7). Fill them."),
        (
            "fluorescence",
            "Nuclei are 50 px wide, the model knows 19 px. Scale the micrographs, or correct more "
            "nuclei than usual.",
        ),
        ("brightfield", "20 nuclei, 19 px wide"),
    ]
    assert view.table.remedy(0).text() == "Fill"
    assert [view.table.remedy(i) for i in (1, 2)] == [None, None]
    assert [view.table.item(i, 2).text() for i in range(3)] == ["", "", "good"]


def test_case_5_a_mixed_folder_is_told_apart(view, data, work, qtbot):
    work(here)
    images, masks = data / "images", data / "masks"
    (images / "Thumbs.db").write_bytes(b"thumbs")
    (images / "notes.txt").write_text("notes")
    shutil.copyfile(images / "stained.png", images / "alone.png")
    (images / "brightfield.png").write_bytes((images / "brightfield.png").read_bytes()[:900])
    write_labels(masks / "fluorescence.png", np.eye(40, dtype=np.int32))
    check(view, data, qtbot)
    said = dict(reversed(lines(view)))
    assert "brightfield.png" in said["brightfield"]
    assert "360×360, its label image 40×40" in said["fluorescence"]
    about_folder = [words for name, words in lines(view) if name == "folder"]
    assert ["alone.png has no label image" in about_folder[0], len(about_folder)] == [True, 3]
    assert any("Thumbs.db is no image" in words for words in about_folder)
    assert view.outcome.result.text() == "3 of 3 images with problems, 1 about the folder"
    # what cannot be opened is said when its row is clicked, and the others can be
    view.table.cellClicked.emit(row_of(view, "brightfield", "brightfield.png"), 0)
    qtbot.waitUntil(lambda: view.outcome.failure.isVisibleTo(view))
    assert "brightfield.png" in view.outcome.sentence.text()


@pytest.mark.slow
@pytest.mark.parametrize("colours", [False, True])
def test_case_17_a_mask_is_told_and_split_in_a_copy(view, data, work, qtbot, colours):
    work(here)
    path = data / "masks" / "fluorescence.png"
    labels = read_labels(path).image
    if colours:
        table = np.random.default_rng(0).integers(50, 256, (labels.max() + 1, 3))
        table[0] = 0
        Picture.fromarray(table[labels].astype(np.uint8)).save(path)
    else:
        Picture.fromarray(np.where(labels > 0, 255, 0).astype(np.uint8)).save(path)
    content = path.read_bytes()
    check(view, data, qtbot)
    row = row_of(view, "fluorescence", "became")
    count = read_labels(path).image.max()
    assert f"became {count} nuclei" in lines(view)[row][1]
    assert "--fix" not in lines(view)[row][1]
    assert not view.repair_button.isEnabled()
    click(qtbot, view.table.remedy(row))
    assert view.repair_button.text() == "Write repaired copy (1)"
    with qtbot.waitSignal(view.repaired, timeout=WAIT) as told:
        click(qtbot, view.repair_button)
    copy = data.parent / "mine-repaired"
    assert told.args == [copy]
    assert view.folder == copy
    assert path.read_bytes() == content
    split = read_labels(copy / "masks" / "fluorescence.tif")
    assert split.notices == ()
    assert len(np.unique(split.image)) - 1 == count
    # the copy is looked at
    qtbot.waitUntil(lambda: state(view) == "done", timeout=WAIT)
    assert not any("became" in words for _, words in lines(view))
    assert f"3 pairs are in {copy}" in view.outcome.notices.text()


@pytest.mark.slow
def test_leave_takes_a_remedy_back_and_all_of_them_can_be_chosen(view, data, work, qtbot):
    work(here)
    path = data / "masks" / "fluorescence.png"
    labels = read_labels(path).image.copy()
    labels[3:5, 3:5] = labels.max() + 1
    write_labels(path, labels)
    check(view, data, qtbot)
    fill = view.table.remedy(row_of(view, "stained", "holes"))
    click(qtbot, fill)
    assert view.table.chosen_fixes() == {"stained": ("holes",)}
    (leave,) = [b for b in fill.parent().findChildren(QPushButton) if b is not fill]
    assert leave.text() == "Leave"
    click(qtbot, leave)
    assert view.table.chosen_fixes() == {}
    assert not view.repair_button.isEnabled()
    click(qtbot, view.all_button)
    assert view.table.chosen_fixes() == {"stained": ("holes",), "fluorescence": ("tiny",)}
    (data.parent / "mine-repaired").mkdir()
    with qtbot.waitSignal(view.repaired, timeout=WAIT) as told:
        click(qtbot, view.repair_button)
    # a folder that is there is not written to
    assert told.args == [data.parent / "mine-repaired-2"]
    qtbot.waitUntil(lambda: state(view) == "done", timeout=WAIT)
    assert view.outcome.result.text() == "3 images checked, no problems"


# --- a row in the viewer ------------------------------------------------------------------------


def test_a_row_opens_its_image_and_goes_to_the_nucleus(view, viewer, data, work, qtbot):
    work(here)
    check(view, data, qtbot)
    view.table.cellClicked.emit(row_of(view, "stained", "holes"), 1)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    image, labels = viewer.layers
    assert isinstance(image, Image)
    assert isinstance(labels, Labels)
    assert path_of(image) == data / "images" / "stained.png"
    assert labels.name == "stained · labels"
    assert labels.selected_label == 7
    assert viewer.layers.selection.active.name == labels.name
    rows, columns = np.nonzero(np.asarray(labels.data) == 7)
    middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    assert np.allclose(viewer.scene.camera.center[-2:], middle, atol=1)
    zoom = viewer.scene.camera.zoom
    # another image: its own layers, all of it in view, the first one hidden
    view.table.cellClicked.emit(row_of(view, "brightfield", "20 nuclei"), 1)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4)
    assert viewer.scene.camera.zoom < zoom
    assert [layer.visible for layer in viewer.layers] == [False, False, True, True]
    # once more: no more layers
    view.table.cellClicked.emit(row_of(view, "stained", "holes"), 0)
    qtbot.waitUntil(lambda: viewer.layers[0].visible)
    assert [layer.visible for layer in viewer.layers] == [True, True, False, False]


def test_places_that_were_not_reviewed_are_shown_as_background(view, viewer, data, work, qtbot):
    work(here)
    labels = read_labels(data / "masks" / "stained.png").image.copy()
    labels[-9:] = -1
    (data / "masks" / "stained.png").unlink()
    write_labels(data / "masks" / "stained.tif", labels)
    check(view, data, qtbot)
    view.table.cellClicked.emit(row_of(view, "stained", "holes"), 1)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    assert np.array_equal(viewer.layers[1].data, np.maximum(labels, 0))


# --- what the network sees ----------------------------------------------------------------------


@pytest.mark.slow
def test_the_preview_shows_the_patches_that_the_training_draws(viewer, data, work, qtbot):
    work(here)
    config = FinetuneConfig(batch_size=2, patch_px=64, threads=1, device="cpu", seed=3)
    view = CheckView(bridge_of(viewer), lambda: config)
    viewer.window.add_dock_widget(view, name="view")
    view.folder = data
    heard = []
    view._session.event.connect(heard.append)
    assert view.preview.isHidden()
    click(qtbot, view.preview_button)
    qtbot.waitUntil(lambda: state(view) == "done", timeout=WAIT)
    (shown,) = [e for e in heard if isinstance(e, BatchDrawn)]
    (drawn,) = draw_batch(data, config)
    assert np.array_equal(shown.images, drawn.images)
    assert not view.preview.isHidden()
    assert view.preview.picture.pixmap().width() > 100
    assert view.preview.said.text().startswith("Batch 1: 2 patches of 64 px")
    assert "About 50 % are crops that come with the program" in view.preview.said.text()
    click(qtbot, view.another_button)
    qtbot.waitUntil(lambda: "Batch 2" in view.preview.said.text(), timeout=WAIT)
    qtbot.waitUntil(lambda: not view._session.is_busy)
    assert not np.array_equal(heard[-1].images, drawn.images)


# --- the four ends of a job ---------------------------------------------------------------------


def checked(data, done, total=3):
    from napari_nucleiseg.data.pairs import find_pairs

    pair = find_pairs(data)[0][done - 1]
    return ImageChecked(pair.name, pair.micrograph, 5, 9.0, (), (), done, total, pair)


def test_cancelled_in_the_middle(view, data, work, qtbot):
    go_on, closed = threading.Event(), []

    def waits(function, folder, *args):
        try:
            yield checked(folder, 1)
            go_on.wait(30)
            yield checked(folder, 2)
        finally:
            closed.append(threading.current_thread() is not threading.main_thread())

    work(waits)
    view.look(data)
    qtbot.waitUntil(lambda: view.table.rowCount() == 1)
    assert view.outcome.state.text() == "Running · image 1 of 3"
    assert not view.check_button.isEnabled()
    click(qtbot, view.cancel_button)
    assert view.outcome.state.text() == "Stopping · after this image"
    go_on.set()
    qtbot.waitUntil(lambda: state(view) == "cancelled")
    assert closed == [True]
    assert view.outcome.state.text() == "Cancelled · after image 1 of 3; what was found stays"
    assert view.table.rowCount() == 1
    work(here)
    check(view, data, qtbot)
    assert view.table.rowCount() == 3


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NucleisegError("No pairs found", "mine", "Choose another"), "No pairs found: mine"),
        (RuntimeError("broken"), "Something went wrong inside the program (broken"),
    ],
)
def test_failed_in_the_middle(view, viewer, data, work, qtbot, error, sentence):
    other = SegmentDock(viewer)
    viewer.window.add_dock_widget(other, name="Segment nuclei")

    def fails(function, folder, *args):
        yield checked(folder, 1)
        raise error

    work(fails)
    check(view, data, qtbot)
    assert state(view) == "failed"
    assert view.outcome.sentence.text().startswith(sentence)
    assert view.check_button.isEnabled()
    assert other.outcome.failure.isHidden()
    work(here)
    check(view, data, qtbot)
    assert view.outcome.failure.isHidden()


def test_viewer_closed_while_it_runs(make_napari_viewer_proxy, data, monkeypatch, qtbot):
    viewer = make_napari_viewer_proxy()
    dock = CheckDock(viewer)
    viewer.window.add_dock_widget(dock, name="Check training data")
    go_on, closed = threading.Event(), threading.Event()

    def waits(function, folder, *args):
        try:
            yield checked(folder, 1)
            go_on.wait(30)
            yield checked(folder, 2)
        finally:
            closed.set()

    session = bridge_of(viewer).session
    monkeypatch.setattr(session, "_work_in", waits)
    dock.view.look(data)
    qtbot.waitUntil(lambda: dock.view.table.rowCount() == 1)
    tasks = viewer.__wrapped__.window._task_status_manager.get_status()
    assert any("Checking mine" in task for task in tasks)
    viewer.close()
    go_on.set()
    qtbot.waitUntil(closed.is_set)
    qtbot.waitUntil(lambda: not session.is_busy)


def test_another_folder_ends_what_runs_and_its_rows_do_not_come(view, data, work, qtbot):
    go_on = threading.Event()

    def waits(function, folder, *args):
        yield checked(folder, 1)
        go_on.wait(30)
        yield checked(folder, 2)

    work(waits)
    view.look(data)
    qtbot.waitUntil(lambda: view.table.rowCount() == 1)
    view.folder = data.parent
    go_on.set()
    qtbot.waitUntil(lambda: not view._session.is_busy)
    assert view.table.rowCount() == 0
    assert view.check_button.isEnabled()


def test_other_docks_say_what_runs_and_are_not_disturbed(view, viewer, data, work, qtbot):
    other = SegmentDock(viewer)
    viewer.window.add_dock_widget(other, name="Segment nuclei")
    other.outcome.say_result("312 nuclei")
    go_on = threading.Event()

    def waits(function, folder, *args):
        yield checked(folder, 1)
        go_on.wait(30)

    work(waits)
    view.look(data)
    qtbot.waitUntil(lambda: view.table.rowCount() == 1)
    assert other.outcome.state.text() == "Running · Checking mine"
    assert other._running.isHidden()
    assert not other.segment_button.isEnabled()
    go_on.set()
    qtbot.waitUntil(lambda: state(view) == "done")
    assert other.outcome.result.text() == "312 nuclei"


@pytest.mark.slow
def test_with_the_real_child_process(view, data, qtbot):
    check(view, data, qtbot)
    assert view.outcome.result.text() == "1 of 3 images with problems"
    click(qtbot, view.preview_button)
    qtbot.waitUntil(lambda: "Batch 1" in view.preview.said.text(), timeout=WAIT)
    assert view.outcome.result.text() == "1 of 3 images with problems"


# --- the dock -----------------------------------------------------------------------------------


def test_the_folder_is_remembered(viewer, dock, data, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(data))
    dock.browse.click()
    assert dock.view.folder == data
    assert memory.recall()["check"] == str(data)
    again = CheckDock(viewer)
    assert again.view.folder == data
    assert again.view.table.rowCount() == 0
    again.deleteLater()


def test_a_long_name_and_many_findings_fit_into_300_px(dock, data, qtbot):
    pair = checked(data, 1).pair
    findings = tuple(Finding("holes", "words " * 30, "Fill them", "holes") for _ in range(3))
    image = ImageChecked(
        "a_rather_long_name" * 4, pair.micrograph, 1, 9.0, findings, (), 1, 1, pair
    )
    dock.view.table.add_image(image)
    dock.view._found.show()
    dock.resize(300, 700)
    table = dock.view.table
    assert sum(table.columnWidth(i) for i in range(3)) <= table.viewport().width()
    assert table.rowHeight(0) > 40


@pytest.mark.slow
def test_opening_the_dock_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from napari_nucleiseg.gui.check_dock import CheckDock; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'openvino')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_check_for_takes_a_model_by_its_name(data):
    *_, last = check_for(data, "nuclei", {}, None)
    assert last.problems == 1
