"""The dock "Batch": real buttons, files and layers."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog
from typer.testing import CliRunner

from napari_nucleiseg import cli
from napari_nucleiseg.batch_events import BatchEnded, FileBegun, FileFailed, FileFinished
from napari_nucleiseg.batch_run import run_batch
from napari_nucleiseg.events import TileDone
from napari_nucleiseg.gui import memory
from napari_nucleiseg.gui.batch_dock import BatchDock
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.layers import RESULT
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import SAMPLES
from napari_nucleiseg.session_work import ResultOpened

WAIT = 120_000
STAINED = SAMPLES["stained"].micrograph


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def state(dock):
    return dock.outcome.state.property("state")


def statuses(dock):
    return [dock.table.status(i) for i in range(dock.table.rowCount())]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two images and a damaged one between them."""
    place = tmp_path / "plate"
    place.mkdir()
    for name in ("a.png", "c.png"):
        shutil.copy(STAINED, place / name)
    (place / "b.png").write_bytes(STAINED.read_bytes()[:900])
    return place


@pytest.fixture
def dock(viewer, qtbot, folder):
    """The dock in its window, with the folder named."""
    widget = BatchDock(viewer)
    viewer.window.add_dock_widget(widget, name="Batch")
    session = bridge_of(viewer).session
    session.config = session.config.model_copy(update={"engine": "torch", "device": "cpu"})
    name_folder(widget, folder)
    yield widget
    session.cancel()
    qtbot.waitUntil(lambda: not session.is_busy, timeout=WAIT)


def name_folder(dock, folder):
    dock.form.folder.setText(str(folder))
    dock.form.folder.editingFinished.emit()


@pytest.fixture
def runs(viewer, monkeypatch):
    """Replaces the segmentation of files; they are looked for as always."""

    def replace(generator):
        session = bridge_of(viewer).session
        monkeypatch.setattr(session, "_work_in", lambda function, *args: generator(*args))

    return replace


def finds_two(files, config, settings):
    """Stands in for the core: the second file is damaged."""
    place = Path(config.out)
    for number, file in enumerate(files):
        yield FileBegun(number)
        if number == 1:
            yield FileFailed(1, "The file is damaged")
            continue
        yield TileDone(1, 2)
        labels = file.item.result(place, "_labels.tif")
        yield FileFinished(number, labels, labels, 10 + number, 1.0, False, ("A note",))
    yield BatchEnded(len(files), 2, 0, 1, 22, 3.0)


class Steps:
    """Stands in for the core: goes on only when the test says so."""

    def __init__(self) -> None:
        self.go_on = threading.Semaphore(0)
        self.asked = self.reached = 0
        self.closed = threading.Event()

    def __call__(self, files, config, settings):
        try:
            yield FileBegun(0)
            for number in range(1, 9):
                self.asked = number
                assert self.go_on.acquire(timeout=30)
                self.reached = number
                yield TileDone(number, 8)
        finally:
            self.closed.set()


# --- choices ------------------------------------------------------------------------------------


def test_a_dry_run_lists_files_and_time(dock, folder, qtbot):
    click(qtbot, dock.look_button)
    qtbot.waitUntil(lambda: dock.table.rowCount() == 3)
    assert statuses(dock) == ["waiting"] * 3
    assert dock.table.item(1, 0).text() == "b.png"
    assert dock.outcome.result.text() == "3 files · 0.25 MPix · roughly 0.2 s"
    assert state(dock) == "idle"
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png", "c.png"]


def test_a_pattern_chooses_files(dock, qtbot):
    dock.form.pattern.setText("[ac].png")
    click(qtbot, dock.look_button)
    qtbot.waitUntil(lambda: dock.table.rowCount() == 2)
    dock.form.pattern.setText("*.czi")
    click(qtbot, dock.look_button)
    qtbot.waitUntil(lambda: state(dock) == "failed")
    assert dock.outcome.sentence.text().startswith("No micrograph has a name like this")
    assert dock.run_button.isEnabled()


def test_what_is_missing_is_said(dock, tmp_path, qtbot):
    name_folder(dock, "")
    click(qtbot, dock.run_button)
    assert dock.outcome.sentence.text() == "No folder is chosen. Name the folder of the images."
    name_folder(dock, tmp_path / "nowhere")
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: "nowhere" in dock.outcome.sentence.text())
    assert state(dock) == "failed"


def test_folders_are_chosen_by_a_window(dock, tmp_path, qtbot, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(tmp_path / "out"))
    assert dock.form.config.out == tmp_path / "plate" / "nuclei"
    assert dock.form.out.placeholderText() == str(Path("plate") / "nuclei")
    click(qtbot, dock.form.out.parentWidget().layout().itemAt(1).widget())
    assert dock.form.config.out == tmp_path / "out"


def test_channel_and_model_are_those_of_the_session(dock, viewer):
    session = bridge_of(viewer).session
    dock.channel.setText("DAPI")
    dock.channel.editingFinished.emit()
    assert session.config.channel == "DAPI"
    session.config = session.config.model_copy(update={"channel": None})
    assert dock.channel.text() == ""


def test_choices_are_remembered(dock, viewer, folder):
    dock.form.overlay.click()
    dock.form.resume.click()
    dock.form.exports["imagej_roi"].click()
    dock.form.pattern.setText("a*")
    dock.form.pattern.editingFinished.emit()
    again = BatchDock(viewer)
    assert again.form.config.overlay
    assert again.form.config.exports == ("imagej_roi",)
    assert not again.form.config.resume
    assert not again.form.config.table
    assert again.form.config.folder == folder
    assert again.form.config.pattern == ""
    again.deleteLater()
    for nonsense in ({"overlay": "nonsense"}, {"exports": ["of another version"]}):
        memory.remember(batch=nonsense)
        damaged = BatchDock(viewer)
        assert not damaged.form.has_folder
        damaged.deleteLater()


def test_exports_say_what_they_are(dock):
    boxes = dock.form.exports
    assert {name: box.text() for name, box in boxes.items()} == {
        "coco": "COCO",
        "geojson": "QuPath",
        "imagej_roi": "Fiji",
    }
    assert boxes["geojson"].toolTip().startswith("Write NAME.geojson: QuPath: every nucleus")
    assert dock.form.config.exports == ()
    boxes["geojson"].click()
    assert dock.form.config.exports == ("geojson",)


# --- the ends of a job --------------------------------------------------------------------------


@pytest.mark.slow
def test_results_are_those_of_the_command_line(dock, viewer, folder, tmp_path, qtbot):
    dock.form.overlay.click()
    dock.form.table.click()
    dock.form.exports["geojson"].click()
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: state(dock) == "done", timeout=WAIT)
    assert statuses(dock) == ["done", "failed", "done"]
    words = ["segment", folder, "--out", tmp_path / "shell", "--overlay", "--table"]
    words += ["--export", "geojson"]
    words += ["--engine", "torch", "--device", "cpu"]
    result = CliRunner().invoke(cli.app, [str(w) for w in words])
    assert result.exit_code == 1, result.output
    for name in ("a", "c"):
        for ending in ("_labels.tif", "_labels.json", "_overlay.png", ".geojson"):
            ours, theirs = (x / f"{name}{ending}" for x in (folder / "nuclei", tmp_path / "shell"))
            assert ours.read_bytes() == theirs.read_bytes()
    assert (folder / "nuclei" / "a_nuclei.csv").is_file()
    labels = read_labels(folder / "nuclei" / "a_labels.tif").image
    count = len(np.unique(labels)) - 1
    assert dock.table.item(0, 2).text() == str(count)
    summary = dock.outcome.result.text()
    assert summary.startswith(f"2 of 3 files done · {2 * count} nuclei · 1 failed · ")
    assert "b.png: " in dock.outcome.notices.text()
    assert f"Results are in {folder / 'nuclei'}" in dock.outcome.notices.text()
    # nothing of it became a layer by itself
    assert len(viewer.layers) == 0

    # a finished file with its nuclei; again: the same layers
    real = viewer.__wrapped__
    for _ in range(2):
        dock.table.cellDoubleClicked.emit(0, 0)
        qtbot.waitUntil(lambda: len(real.layers) == 2)
        qtbot.waitUntil(lambda: not dock._session._newest)
    image, nuclei = real.layers
    assert isinstance(image, Image)
    assert isinstance(nuclei, Labels)
    assert (image.name, nuclei.name) == ("a", "a · nuclei")
    assert np.array_equal(nuclei.data, labels)
    assert nuclei.metadata[RESULT]["model"]["name"] == "nuclei"

    # again: what is done is left out, also where the dock did not do it
    before = (folder / "nuclei" / "a_labels.tif").stat().st_mtime_ns
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: "2 done before" in dock.outcome.result.text(), timeout=WAIT)
    assert statuses(dock) == ["done already", "failed", "done already"]
    assert (folder / "nuclei" / "a_labels.tif").stat().st_mtime_ns == before


def test_a_run_to_the_end(dock, runs, qtbot):
    runs(finds_two)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert statuses(dock) == ["done (see note)", "failed", "done (see note)"]
    assert dock.table.item(0, 1).toolTip().startswith("A note")
    assert dock.table.item(1, 1).toolTip().startswith("The file is damaged\n")
    assert [dock.table.item(i, 2).text() for i in range(3)] == ["10", "", "12"]
    assert dock.outcome.result.text() == "2 of 3 files done · 22 nuclei · 1 failed · 3.0 s"
    assert "b.png: The file is damaged" in dock.outcome.notices.text()
    assert dock._running.isHidden()
    assert dock.run_button.isEnabled()


def test_of_many_failed_files_the_table_tells_and_not_a_wall_of_words(dock, runs, qtbot):
    def fails(files, config, settings):
        for number in range(3):
            yield FileBegun(number)
            yield FileFailed(number, "The file is damaged")
        yield BatchEnded(3, 0, 0, 3, 0, 3.0)

    runs(fails)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert "3 files failed. Double-click one" in dock.outcome.notices.text()
    assert "damaged" not in dock.outcome.notices.text()


def contents(dock):
    """What a person sees of a run."""
    table = dock.table
    cells = [[table.item(i, k).text() for k in range(3)] for i in range(table.rowCount())]
    texts = (dock.outcome.result.text(), dock.outcome.notices.text(), dock.outcome.state.text())
    shown = [w.isVisibleTo(dock) for w in (table, dock.gallery_button, dock._running)]
    return cells, texts, shown, dock.bar.value()


def opened_anew(dock, viewer):
    """Close a dock by its X and open another one."""
    dock.parent().close()
    other = BatchDock(viewer)
    viewer.window.add_dock_widget(other, name="Batch")
    return other


@pytest.mark.parametrize("other", [finds_two, None], ids=["run", "list"])
def test_a_dock_that_is_opened_later_shows_the_last_run(dock, viewer, runs, qtbot, other):
    if other is not None:
        runs(other)
        click(qtbot, dock.run_button)
        qtbot.waitUntil(lambda: state(dock) == "done")
    else:
        click(qtbot, dock.look_button)
        qtbot.waitUntil(lambda: dock.table.rowCount() == 3)
    before = contents(dock)
    assert contents(opened_anew(dock, viewer)) == before


def test_a_dock_that_is_opened_while_it_runs_goes_on(dock, viewer, runs, qtbot, folder):
    steps = Steps()
    runs(steps)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: steps.asked == 1)
    steps.go_on.release()
    qtbot.waitUntil(lambda: dock.table.status(0) == "tile 1 of 8")
    later = opened_anew(dock, viewer)
    assert later.table.rowCount() == 3
    assert later.table.status(0) == "running"
    assert later._running.isVisibleTo(later)
    steps.go_on.release()
    qtbot.waitUntil(lambda: later.table.status(0) == "tile 2 of 8")
    click(qtbot, later.cancel_button)
    steps.go_on.release(8)
    qtbot.waitUntil(lambda: state(later) == "cancelled")
    assert later.outcome.result.text() == "0 of 3 files done. Run goes on with the rest."


def test_a_failed_file_says_why_and_shows_its_image(dock, viewer, folder, runs, qtbot):
    shutil.copy(STAINED, folder / "b.png")
    runs(finds_two)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    dock.table.cellDoubleClicked.emit(1, 0)
    assert dock.outcome.failure.isVisibleTo(dock)
    assert dock.outcome.sentence.text() == "The file is damaged."
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == ["b"])


def test_a_result_is_opened_from_where_it_is_with_its_own_picture(
    dock, viewer, folder, runs, qtbot, monkeypatch, tmp_path
):
    """Of a slide it is an OME-Zarr; of a plate, fields of the same file are not mixed up."""

    def by_blocks(files, config, settings):
        labels = tmp_path / "a_labels.ome.zarr"
        yield FileFinished(0, labels, tmp_path / "a_labels.json", 1, 1.0, False, ())
        yield BatchEnded(1, 1, 0, 0, 1, 1.0)

    runs(by_blocks)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    asked = []
    monkeypatch.setattr(dock._session, "open_result", lambda *args: asked.append(args))
    batch = dock._session.batch
    file = batch.files[0]
    of_series = (replace(file, item=replace(file.item, series="A/2")),)
    batch.plan = replace(batch.plan, files=of_series)
    dock.table.cellDoubleClicked.emit(0, 0)
    labels, manifest = tmp_path / "a_labels.ome.zarr", folder / "nuclei" / "a_labels.json"
    assert asked == [(file.item.path, labels, manifest, "A/2")]
    # done by another run, and its record deleted since
    dock._finished, dock._files = {}, (replace(file, is_done=True),)
    dock.table.cellDoubleClicked.emit(0, 0)
    assert asked[1][2] == manifest
    for series in ("A/1", "A/2", "A/1"):
        pixels = np.zeros((20, 30), np.uint8)
        micrograph = Micrograph(pixels, "YX", name="a", path=file.item.path, series=series)
        event = ResultOpened(micrograph, np.ones((20, 30), np.int32), {})
        dock._session.event.emit(event)
    assert [x.name for x in viewer.layers if type(x) is Image] == ["a · A/1", "a · A/2"]


def test_the_gallery_is_opened_where_there_is_one(dock, folder, runs, qtbot, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    click(qtbot, dock.look_button)
    qtbot.waitUntil(lambda: dock.table.rowCount() == 3)
    assert dock.gallery_button.isHidden()

    def leaves_a_page(files, config, settings):
        yield from finds_two(files, config, settings)
        config.out.mkdir()
        (config.out / "gallery.html").write_text("")

    runs(leaves_a_page)
    for _ in range(2):
        click(qtbot, dock.run_button)
        qtbot.waitUntil(lambda: state(dock) == "done")
        runs(finds_two)
    assert not dock.gallery_button.isHidden()
    click(qtbot, dock.gallery_button)
    assert [Path(url.toLocalFile()) for url in opened] == [folder / "nuclei" / "gallery.html"]


def test_a_file_that_is_not_done_cannot_be_opened(dock, viewer, qtbot):
    click(qtbot, dock.look_button)
    qtbot.waitUntil(lambda: dock.table.rowCount() == 3)
    dock.table.cellDoubleClicked.emit(2, 0)
    assert dock.outcome.notices.text() == "c.png is not segmented yet."


def test_a_result_that_is_gone_is_said(dock, runs, qtbot):
    runs(finds_two)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    dock.table.cellDoubleClicked.emit(0, 0)
    qtbot.waitUntil(lambda: "a_labels.json" in dock.outcome.sentence.text())


def test_paused_and_gone_on(dock, runs, qtbot):
    steps = Steps()
    runs(steps)
    click(qtbot, dock.run_button)
    steps.go_on.release()
    qtbot.waitUntil(lambda: statuses(dock)[:1] == ["tile 1 of 8"] and steps.asked == 2)
    assert not dock.run_button.isEnabled()
    click(qtbot, dock.pause_button)
    assert dock.pause_button.text() == "Go on"
    assert state(dock) == "paused"
    # the step under way ends, and no other one begins
    steps.go_on.release(3)
    qtbot.waitUntil(lambda: statuses(dock)[0] == "tile 2 of 8")
    assert dock.outcome.state.text().startswith("Paused · file 1 of 3")
    assert steps.reached == 2
    click(qtbot, dock.pause_button)
    qtbot.waitUntil(lambda: statuses(dock)[0] == "tile 4 of 8")
    assert state(dock) == "running"
    steps.go_on.release(9)
    qtbot.waitUntil(lambda: state(dock) == "done")


def test_cancelled_while_it_is_paused(dock, runs, qtbot):
    steps = Steps()
    runs(steps)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: statuses(dock)[:1] == ["running"])
    click(qtbot, dock.pause_button)
    steps.go_on.release(2)
    click(qtbot, dock.cancel_button)
    qtbot.waitUntil(lambda: state(dock) == "cancelled")
    assert steps.closed.is_set()
    assert dock.outcome.result.text() == "0 of 3 files done. Run goes on with the rest."
    assert statuses(dock) == ["waiting"] * 3
    assert dock.pause_button.text() == "Pause"
    runs(finds_two)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: state(dock) == "done")


@pytest.mark.slow
def test_cancelled_in_the_middle_and_gone_on_with_the_rest(dock, viewer, folder, runs, qtbot):
    go_on = threading.Event()

    def waits(files, config, settings):
        for event in run_batch(files, config, settings):
            yield event
            if isinstance(event, FileFinished):
                assert go_on.wait(60)

    runs(waits)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: statuses(dock)[:1] == ["done"], timeout=WAIT)
    # while others are segmented, a finished one can be opened
    dock.table.cellDoubleClicked.emit(0, 0)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    click(qtbot, dock.cancel_button)
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "cancelled", timeout=WAIT)
    assert dock.outcome.result.text() == "1 of 3 files done. Run goes on with the rest."
    assert sorted(path.name for path in (folder / "nuclei").iterdir()) == [
        ".thumbnails",
        "a_labels.json",
        "a_labels.tif",
        "gallery.html",
        "summary.csv",
    ]
    runs(run_batch)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: state(dock) == "done", timeout=WAIT)
    assert statuses(dock) == ["done already", "failed", "done"]


def test_failed_in_the_middle(dock, runs, qtbot):
    def fails(files, config, settings):
        yield FileBegun(0)
        raise RuntimeError("CUDA out of memory")

    runs(fails)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: state(dock) == "failed")
    assert "CUDA out of memory" in dock.outcome.sentence.text()
    assert dock.run_button.isEnabled()
    runs(finds_two)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert dock.outcome.failure.isHidden()


def test_viewer_closed_while_it_is_paused(make_napari_viewer_proxy, folder, monkeypatch, qtbot):
    viewer = make_napari_viewer_proxy()
    dock = BatchDock(viewer)
    viewer.window.add_dock_widget(dock, name="Batch")
    name_folder(dock, folder)
    session, steps = bridge_of(viewer).session, Steps()
    monkeypatch.setattr(session, "_work_in", lambda function, *args: steps(*args))
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: statuses(dock)[:1] == ["running"])
    click(qtbot, dock.pause_button)
    steps.go_on.release(2)
    viewer.close()
    qtbot.waitUntil(steps.closed.is_set)
    qtbot.waitUntil(lambda: not session.is_busy)
    assert session.state == "cancelled"


def test_the_dock_of_segmentation_says_what_runs(dock, viewer, runs, qtbot):
    from napari_nucleiseg.gui.segment_dock import SegmentDock

    other = SegmentDock(viewer)
    viewer.window.add_dock_widget(other, name="Segment nuclei")
    steps = Steps()
    runs(steps)
    click(qtbot, dock.run_button)
    qtbot.waitUntil(lambda: statuses(dock)[:1] == ["running"])
    assert other.outcome.state.text() == "Running · Working through a folder"
    assert not other.segment_button.isEnabled()
    assert other._running.isHidden()
    steps.go_on.release(9)
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert state(other) == "idle"
