"""The dock as a person uses it: real buttons, and what is then in the window."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QPushButton

from napari_nucleiseg import SegmentConfig, engine
from napari_nucleiseg.errors import NucleisegError
from napari_nucleiseg.events import Decoding, DeviceChosen, Notice, Segmented, TileDone
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.layers import RESULT
from napari_nucleiseg.gui.segment_dock import SegmentDock
from napari_nucleiseg.gui.widgets import TextWindow
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import SAMPLES, read_sample
from napari_nucleiseg.segmentation import segment_now
from napari_nucleiseg.session_work import ChannelProposed, Opened, Scored
from napari_nucleiseg.store import BUNDLED

WAIT = 60_000


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def state(dock):
    return dock.outcome.state.property("state")


def squares(micrograph, side=8):
    """Label image with two squares; made up, so that the answer is known."""
    labels = np.zeros(micrograph.shape, np.int32)
    labels[2 : 2 + side, 2 : 2 + side] = 1
    labels[20 : 20 + side, 20 : 20 + side] = 2
    return labels


def finds_squares(micrograph, config, truth=None, earlier=None):
    yield DeviceChosen("cpu", "a fake", "for a test")
    yield Notice("A sentence to be shown")
    for i in range(4):
        yield TileDone(i + 1, 4)
    yield Segmented(squares(micrograph), 2, 9.03, 3.14, {"device": "cpu", "nuclei": 2})


def fails_at_once(micrograph, *rest):
    raise NucleisegError("Too dark", "plate2")
    yield


def run(dock, qtbot):
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done")


@pytest.fixture
def image(viewer):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    return viewer.add_image(pixels, name="plate1")


def results(viewer):
    return [x for x in viewer.layers if isinstance(x, Labels) and RESULT in x.metadata]


# --- first run and choices ---------------------------------------------------------------------


def test_without_an_image_there_are_a_sentence_and_two_buttons(dock, viewer, qtbot):
    assert not dock._welcome.isHidden()
    assert dock._body.isHidden()
    assert dock.open_button.text() == "Open image..."
    click(qtbot, dock.sample_button)
    assert dock._welcome.isHidden()
    assert dock.images.image.currentText() == SAMPLES["fluorescence"].title
    assert dock.truth.currentText() == f"{SAMPLES['fluorescence'].title} · truth"


def test_open_image_reads_a_file_in_the_job(dock, viewer, qtbot, monkeypatch):
    path = SAMPLES["stained"].micrograph
    monkeypatch.setattr(
        "napari_nucleiseg.gui.segment_dock.QFileDialog.getOpenFileName", lambda *a: (str(path), "")
    )
    click(qtbot, dock.open_button)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=WAIT)
    assert viewer.layers[0].rgb
    assert dock.layer.name == path.stem


def test_a_file_that_is_no_picture_is_said_in_words(dock, qtbot, tmp_path):
    (tmp_path / "notes.tif").write_text("not a picture")
    dock._session.open(tmp_path / "notes.tif")
    qtbot.waitUntil(lambda: state(dock) == "failed", timeout=WAIT)
    assert "notes.tif" in dock.outcome.sentence.text()


def test_the_choices_follow_the_layer_list(dock, viewer, image):
    assert [dock.images.image.itemText(i) for i in range(dock.images.image.count())] == ["plate1"]
    image.name = "plate2"
    assert dock.images.image.currentText() == "plate2"
    other = viewer.add_image(np.zeros((8, 8), np.uint8), name="other")
    assert dock.layer.name == other.name
    viewer.layers.selection.active = image
    assert dock.images.image.currentText() == "plate2"
    viewer.layers.remove("plate2")
    assert dock.images.image.currentText() == "other"
    viewer.layers.clear()
    assert not dock._welcome.isHidden()


def test_channels_are_offered_and_one_is_proposed(dock, viewer, work, qtbot):
    work(lambda micrograph: iter([ChannelProposed(2, "2", "It is named for a test.")]))
    viewer.add_image(np.random.default_rng(0).integers(0, 9, (3, 40, 50), np.uint16), name="c")
    assert not dock.images.channel.isHidden()
    assert dock.images.channel.count() == 6
    qtbot.waitUntil(lambda: dock.images.why.text() == "It is named for a test.")
    assert dock.images.settings == {"colour": "auto", "channel": None, "merge": "none"}
    dock.images.channel.setCurrentIndex(3)
    assert dock.images.settings == {"colour": "auto", "channel": "3", "merge": "none"}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["max", "mean"])
def test_channels_are_put_together_as_in_the_library(dock, viewer, fluorescence, qtbot, way):
    grey = fluorescence[0].pixels[:160, :200].astype(np.uint16)
    left, right = grey.copy(), grey.copy()
    left[:, 100:], right[:, :100] = 5, 5
    pixels = np.stack([left, right])
    viewer.add_image(pixels, name="c")
    session = dock._session
    session.config = SegmentConfig(device="cpu", engine="torch")
    dock.images.channel.setCurrentIndex(dock.images.channel.findData(way))
    dock.images.channel.activated.emit(dock.images.channel.currentIndex())
    assert dock.images.why.isHidden()
    click(qtbot, dock.command_button)
    assert f"--merge {way}" in QGuiApplication.clipboard().text()
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "c · nuclei" in viewer.layers, timeout=60_000)
    config = session.config.model_copy(update={"merge": way})
    expected = segment_now(Micrograph(pixels, "CYX"), config).labels
    np.testing.assert_array_equal(viewer.layers["c · nuclei"].data, expected)
    assert expected.max() > 2


def test_one_visible_switch_between_colour_and_channels(dock, viewer, work):
    work(lambda *a: iter(()))
    viewer.add_image(np.zeros((40, 50, 3), np.uint8), name="he")
    assert not dock.images.colour.isHidden()
    assert dock.images.channel.isHidden()
    assert dock.images.settings == {"colour": "auto", "channel": None, "merge": "none"}
    dock.images.colour.setCurrentIndex(1)
    dock.images.colour.activated.emit(1)
    assert not dock.images.channel.isHidden()
    assert dock.images.channel.itemText(1) == "1 · red"
    dock.images.channel.setCurrentIndex(3)
    assert dock.images.settings == {"colour": "channels", "channel": "3", "merge": "none"}


def test_of_a_stack_the_plane_shown_is_segmented(dock, viewer, work, qtbot):
    seen = []

    def remembers(micrograph, *rest):
        seen.append(micrograph)
        yield from finds_squares(micrograph, *rest)

    work(remembers)
    stack = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((1, 40, 50), np.uint8)
    viewer.add_image(stack, name="stack", scale=(0.5, 0.2, 0.2), units=("um",) * 3)
    viewer.dims.set_current_step(0, 4)
    assert dock.segment_button.text() == "Segment the plane shown"
    assert "plane 5" in dock.images.why.text()
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert seen[0].axes == "YX"
    assert (seen[0].pixels == 4).all()
    (result,) = results(viewer)
    assert result.name == "stack · nuclei (plane 5)"
    assert tuple(result.scale) == (0.2, 0.2)


# --- the four ends of a job --------------------------------------------------------------------


def test_a_run_to_the_end(dock, viewer, image, work, qtbot):
    work(finds_squares)
    threads = set()
    bridge_of(viewer).session.event.connect(lambda event: threads.add(threading.current_thread()))
    image.scale, image.units = (0.2, 0.2), ("um", "um")
    click(qtbot, dock.segment_button)
    assert state(dock) == "running"
    assert not dock.segment_button.isEnabled()
    qtbot.waitUntil(lambda: state(dock) == "done")
    (result,) = results(viewer)
    assert result.name == "plate1 · nuclei"
    assert result.metadata[RESULT] == {"device": "cpu", "nuclei": 2}
    assert viewer.layers.index(result) == viewer.layers.index(image) + 1
    assert dock.outcome.result.text() == "2 nuclei · median diameter 9.0 px (1.8 µm) · 3.1 s on CPU"
    assert dock.device.text() == "CPU · a fake · for a test"
    assert dock.outcome.notices.text() == "A sentence to be shown"
    assert dock.segment_button.isEnabled()
    assert dock._running.isHidden()
    assert threads == {threading.main_thread()}


def test_cancelled_in_the_middle(dock, viewer, image, work, qtbot):
    closed, go_on = [], threading.Event()

    def waits(micrograph, *rest):
        try:
            yield TileDone(1, 3)
            go_on.wait(30)
            yield TileDone(2, 3)
            yield from finds_squares(micrograph, *rest)
        finally:
            closed.append(threading.current_thread() is not threading.main_thread())

    work(waits)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: "tile 1 of 3" in dock.outcome.state.text())
    click(qtbot, dock.cancel_button)
    assert dock.outcome.state.text() == "Stopping · after this tile"
    assert not dock.cancel_button.isEnabled()
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "cancelled")
    assert closed == [True]
    assert results(viewer) == []
    assert dock.outcome.state.text() == "Cancelled · after tile 1 of 3"
    work(finds_squares)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert len(results(viewer)) == 1


def test_nuclei_are_separated_visibly_and_that_can_be_cancelled(dock, viewer, image, work, qtbot):
    go_on = threading.Event()

    def waits(micrograph, *rest):
        yield TileDone(1, 1)
        yield Decoding()
        go_on.wait(30)
        yield from finds_squares(micrograph, *rest)

    work(waits)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: "separating nuclei" in dock.outcome.state.text())
    assert (dock.bar.minimum(), dock.bar.maximum()) == (0, 0)
    click(qtbot, dock.cancel_button)
    assert dock.outcome.state.text() == "Stopping · in a moment"
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "cancelled")
    assert dock.outcome.state.text() == "Cancelled · while nuclei were separated"
    assert results(viewer) == []


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NucleisegError("Too dark", "plate1", "Use a brighter lamp"), "Too dark: plate1. Use"),
        (RuntimeError("CUDA out of memory"), "Something went wrong inside the program (CUDA out"),
    ],
)
def test_failed_in_the_middle(dock, viewer, image, work, qtbot, error, sentence):
    def fails(micrograph, *rest):
        yield TileDone(1, 3)
        raise error

    work(fails)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "failed")
    assert dock.outcome.sentence.text().startswith(sentence)
    assert not dock.outcome.failure.isHidden()
    click(qtbot, dock.outcome.copy_error_button)
    assert "in fails" in QGuiApplication.clipboard().text()
    click(qtbot, dock.outcome.traceback_button)
    (window,) = dock.findChildren(TextWindow)
    assert "in fails" in window.text.toPlainText()
    window.close()
    work(finds_squares)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert dock.outcome.failure.isHidden()


def test_viewer_closed_while_it_runs(make_napari_viewer_proxy, monkeypatch, qtbot):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.zeros((40, 50), np.uint8), name="plate1")
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment nuclei")
    go_on, closed = threading.Event(), threading.Event()

    def waits(micrograph, *rest):
        try:
            yield TileDone(1, 3)
            go_on.wait(30)
            yield from finds_squares(micrograph, *rest)
        finally:
            closed.set()

    session = bridge_of(viewer).session
    monkeypatch.setattr(session, "_work_in", lambda function, *args: waits(*args))
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: "tile 1 of 3" in dock.outcome.state.text())
    # what napari says in its question before it closes on a running job
    tasks = viewer.__wrapped__.window._task_status_manager.get_status()
    assert any("Segmenting plate1" in task for task in tasks)
    viewer.close()
    go_on.set()
    qtbot.waitUntil(closed.is_set)
    qtbot.waitUntil(lambda: not session.is_busy)
    assert session.state == "cancelled"


# --- layers that change meanwhile --------------------------------------------------------------


def test_image_deleted_while_it_runs_and_another_opened(dock, viewer, image, work, qtbot):
    go_on = threading.Event()

    def waits(micrograph, *rest):
        yield TileDone(1, 2)
        go_on.wait(30)
        yield from finds_squares(micrograph, *rest)

    work(waits)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: "tile 1 of 2" in dock.outcome.state.text())
    viewer.layers.clear()
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "cancelled")
    assert len(viewer.layers) == 0
    work(finds_squares)
    viewer.add_image(np.zeros((64, 90), np.uint8), name="next")
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert [x.name for x in results(viewer)] == ["next · nuclei"]
    assert results(viewer)[0].data.shape == (64, 90)


def test_image_replaced_by_one_of_another_size_while_it_runs(dock, viewer, image, work, qtbot):
    go_on = threading.Event()

    def waits(micrograph, *rest):
        yield TileDone(1, 2)
        go_on.wait(30)
        yield from finds_squares(micrograph, *rest)

    work(waits)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: "tile 1 of 2" in dock.outcome.state.text())
    image.data = np.zeros((64, 90), np.uint8)
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert results(viewer) == []
    assert "replaced" in dock.outcome.notices.text()


def test_running_again_replaces_its_own_layer(dock, viewer, image, work, qtbot):
    work(finds_squares)
    for _ in range(2):
        click(qtbot, dock.segment_button)
        qtbot.waitUntil(lambda: state(dock) == "done")
    assert [x.name for x in results(viewer)] == ["plate1 · nuclei"]


def paint(layer):
    layer.paint((30, 40), 7)


def set_items(layer):
    layer.data_setitem((np.array([30]), np.array([40])), 7)


def write_into_the_array(layer):
    layer.data[30, 40] = 7


def replace_the_array(layer):
    layer.data = np.where(layer.data == 1, 5, layer.data)


@pytest.mark.parametrize("edit", [paint, set_items, write_into_the_array, replace_the_array])
def test_an_edited_result_is_never_overwritten(dock, viewer, image, work, qtbot, edit):
    work(finds_squares)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    (first,) = results(viewer)
    edit(first)
    edited = first.data.copy()
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert np.array_equal(first.data, edited)
    assert [x.name for x in viewer.layers] == ["plate1", "plate1 · nuclei", "plate1 · nuclei 2"]
    assert [x.visible for x in viewer.layers] == [True, False, True]
    said = "Your edited labels are kept, hidden below: plate1 · nuclei."
    assert said in dock.outcome.notices.text()
    # the same again: now the second one is the program's own
    run(dock, qtbot)
    assert len(results(viewer)) == 2
    assert said not in dock.outcome.notices.text()


def test_edits_of_a_layer_that_is_kept_can_be_undone_and_done_again(
    dock, viewer, image, work, qtbot
):
    work(finds_squares)
    run(dock, qtbot)
    (first,) = results(viewer)
    paint(first)
    run(dock, qtbot)
    assert first.data[30, 40] == 7
    first.undo()
    assert first.data[30, 40] == 0
    first.redo()
    assert first.data[30, 40] == 7


def test_a_renamed_result_is_never_overwritten(dock, viewer, image, work, qtbot):
    work(finds_squares)
    run(dock, qtbot)
    (first,) = results(viewer)
    first.name = "before the wash"
    run(dock, qtbot)
    assert [x.name for x in viewer.layers] == ["plate1", "before the wash", "plate1 · nuclei"]
    assert "renamed labels are kept, hidden below: before the" in dock.outcome.notices.text()


def test_a_renamed_result_can_be_the_truth(dock, viewer, image, work, qtbot):
    work(finds_squares)
    run(dock, qtbot)
    (result,) = results(viewer)
    assert [dock.truth.itemText(i) for i in range(dock.truth.count())] == ["none"]
    result.name = "my corrected"
    assert dock.truth.findText("my corrected") == 1
    run(dock, qtbot)
    dock.truth.setCurrentIndex(1)
    assert dock.truth_layer is result
    assert dock.truth.count() == 2


def test_a_new_result_lies_on_an_edited_one_wherever_that_was_moved(
    dock, viewer, image, work, qtbot
):
    work(finds_squares)
    run(dock, qtbot)
    viewer.add_points(name="marks")
    viewer.layers.move(1, 3)
    paint(results(viewer)[0])
    run(dock, qtbot)
    names = ["plate1", "marks", "plate1 · nuclei", "plate1 · nuclei 2"]
    assert [x.name for x in viewer.layers] == names


def test_an_edit_that_was_undone_is_none(dock, viewer, image, work, qtbot):
    work(finds_squares)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    (first,) = results(viewer)
    paint(first)
    first.undo()
    first.mode = "paint"
    run(dock, qtbot)
    assert len(results(viewer)) == 1
    assert first.mode == "paint"
    assert first.editable
    # it was made on nuclei that are not there any more
    first.redo()
    assert first.data[30, 40] == 0


# --- several images ----------------------------------------------------------------------------


def test_numbers_of_one_image_are_not_shown_for_another(dock, viewer, image, work, qtbot):
    def finds_and_scores(micrograph, *rest):
        yield from finds_squares(micrograph, *rest)
        yield Scored(0.5, 0.25, 0.125, 4)

    work(finds_and_scores)
    run(dock, qtbot)
    lines = (dock.outcome.result, dock.outcome.scores, dock.outcome.notices)
    first = [line.text() for line in lines]
    assert all(first)
    other = viewer.add_image(np.zeros((30, 40), np.uint8), name="plate2")
    assert dock.layer.name == "plate2"
    assert all(line.isHidden() and not line.text() for line in lines)
    assert state(dock) == "idle"
    dock.images.image.setCurrentText("plate1")
    assert [line.text() for line in lines] == first
    assert not any(line.isHidden() for line in lines)
    assert state(dock) == "done"
    work(fails_at_once)
    dock.images.image.setCurrentText("plate2")
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "failed")
    dock.images.image.setCurrentText("plate1")
    assert dock.outcome.failure.isHidden()
    dock.images.image.setCurrentText("plate2")
    assert not dock.outcome.failure.isHidden()
    assert state(dock) == "failed"
    viewer.layers.remove(other.name)
    assert [line.text() for line in lines] == first


def test_a_score_that_comes_late_is_not_shown_for_another_image(dock, viewer, image, work, qtbot):
    work(finds_squares)
    run(dock, qtbot)
    go_on, sent = threading.Event(), []

    def waits(labels, truth):
        go_on.wait(30)
        yield Scored(0.5, 0.25, 0.125, 4)

    work(waits)
    viewer.add_labels(results(viewer)[0].data.copy(), name="by hand")
    dock.truth.setCurrentIndex(1)
    dock.truth.activated.emit(1)
    viewer.add_image(np.zeros((30, 40), np.uint8), name="plate2")
    bridge_of(viewer).session.event.connect(sent.append)
    go_on.set()
    qtbot.waitUntil(lambda: bool(sent))
    assert dock.outcome.scores.text() == ""


def test_a_file_opened_from_the_dock_is_chosen_and_the_first_image_keeps_its_result(
    dock, viewer, image, work, qtbot
):
    work(finds_squares)
    run(dock, qtbot)
    said = dock.outcome.result.text()
    assert said
    micrograph = read_sample("stained")[0]
    work(lambda *args: (event for event in [Opened(micrograph)]))
    dock._session.open(SAMPLES["stained"].micrograph)
    qtbot.waitUntil(lambda: state(dock) == "idle")
    assert dock.layer.name == micrograph.name
    assert dock.outcome.result.text() == ""
    dock.images.image.setCurrentText("plate1")
    assert dock.outcome.result.text() == said


# --- the channel in which nuclei were found ----------------------------------------------------


def finds_in_the_second_channel(micrograph, *rest):
    *events, last = finds_squares(micrograph, *rest)
    yield from events
    given = {"channel": ["2"], "channel_number": 2}
    yield replace(last, manifest={**last.manifest, "input": given})


@pytest.mark.parametrize("scale", [1, 0.5])
def test_the_slider_goes_to_the_channel_that_was_segmented(dock, viewer, work, qtbot, scale):
    work(lambda *a: iter(()))
    channels = np.random.default_rng(0).integers(0, 9, (3, 40, 50), np.uint16)
    viewer.add_image(channels, name="c", scale=(scale, 0.5, 0.5), translate=(5, 0, 0))
    viewer.dims.set_current_step(0, 0)
    work(finds_in_the_second_channel)
    run(dock, qtbot)
    assert viewer.dims.current_step[0] == 1
    assert dock.outcome.result.text().startswith("2 nuclei in channel 2 · ")


def test_a_slider_that_was_moved_meanwhile_stays(dock, viewer, work, qtbot):
    work(lambda *a: iter(()))
    viewer.add_image(np.random.default_rng(0).integers(0, 9, (3, 40, 50), np.uint16), name="c")
    viewer.dims.set_current_step(0, 0)
    go_on = threading.Event()

    def waits(micrograph, *rest):
        yield TileDone(1, 2)
        go_on.wait(30)
        yield from finds_in_the_second_channel(micrograph, *rest)

    work(waits)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: "tile 1 of 2" in dock.outcome.state.text())
    viewer.dims.set_current_step(0, 2)
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert viewer.dims.current_step[0] == 2


# --- truth, settings, command ------------------------------------------------------------------


def test_truth_chosen_after_the_run_is_compared_at_once(dock, viewer, image, work, qtbot):
    work(finds_squares)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    viewer.add_labels(results(viewer)[0].data.copy(), name="by hand")
    work(lambda labels, truth: iter([Scored(0.987, 0.95, 0.5, int(truth.max()))]))
    dock.truth.setCurrentIndex(1)
    dock.truth.activated.emit(1)
    qtbot.waitUntil(lambda: dock.outcome.scores.text() != "")
    assert dock.outcome.scores.text() == "Dice 0.99 · IoU 0.95 · AP@0.5 0.50 (2 true nuclei)"


def test_settings_are_remembered_and_reset(dock, viewer, image, work, qtbot, own_memory):
    work(finds_squares)
    dock.form.field("probability").setValue(0.7)
    dock.more.open(True)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done")
    kept = json.loads(own_memory.read_text())
    assert kept == {"open_folds": ["more"], "segment": {"probability": 0.7}}
    assert bridge_of(viewer).session.config.probability == 0.7
    click(qtbot, dock.reset_button)
    assert bridge_of(viewer).session.config == SegmentConfig()
    assert dock.form.field("probability").value() == 0.5


def test_copy_as_command(dock, viewer, qtbot):
    click(qtbot, dock.sample_button)
    dock.form.field("min_area_px").setValue(30)
    click(qtbot, dock.command_button)
    command = QGuiApplication.clipboard().text()
    assert command.startswith("nucleiseg segment")
    assert "fluorescence.png" in command
    assert command.endswith("--min-area-px 30")


def test_what_the_copied_command_promises(dock, viewer, image, qtbot, tmp_path):
    click(qtbot, dock.command_button)
    assert "put its name in the place of IMAGE" in dock.outcome.notices.text()
    (layer,) = viewer.open(SAMPLES["stained"].micrograph, plugin="napari")
    click(qtbot, dock.command_button)
    assert "the command gives this label image" in dock.outcome.notices.text()
    dock.outcome.clear()
    layer._source = layer.source.model_copy(update={"reader_plugin": "another"})
    click(qtbot, dock.command_button)
    assert "may see other pixels" in dock.outcome.notices.text()
    assert "gives this label image" not in dock.outcome.notices.text()


def test_the_card_of_the_model_can_be_read(dock, viewer, image, qtbot):
    click(qtbot, dock.models.details)
    (window,) = dock.findChildren(TextWindow)
    words = window.text.toPlainText()
    assert words.index("How well it does") < words.index("The whole card")
    assert "architecture: nuclei_unet" in words
    click(qtbot, next(b for b in window.findChildren(QPushButton) if b.text() == "Copy"))
    assert QGuiApplication.clipboard().text() == words
    window.close()


def test_the_menu_of_models_shows_score_and_speed_and_what_they_were_measured_on(
    dock, viewer, image
):
    card = bridge_of(viewer).session.card()
    score, speed = card.card["scores"]["all"]["mean_ap"], card.speed
    assert dock.models.model.currentText() == f"{card.title} · AP {score:.2f} · {speed:.1f} MPix/s"
    texts = [dock.models.model.itemText(n) for n in range(dock.models.model.count())]
    assert len(texts) == 10
    assert any(text.startswith("UNETR, SGD · AP 0.5") for text in texts)
    assert "MPix/s" in dock.models.model.toolTip()
    assert card.card["scores"]["split"] in dock.models.model.toolTip()


def test_models_that_cannot_be_chosen_are_told_of(viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path))
    (tmp_path / "mine.safetensors").write_bytes(b"")
    (tmp_path / "mine.yaml").write_text("not: [a card")
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment nuclei")
    assert "mine.yaml" in dock.outcome.notices.text()
    assert not dock.outcome.notices.isHidden()
    assert dock.models.model.count() == len(list(BUNDLED.glob("*.yaml")))


def test_everything_is_explained_and_reached_by_the_keyboard(dock, viewer, image):
    for widget in (
        dock.images.image,
        dock.models.model,
        dock.segment_button,
        dock.cancel_button,
        dock.truth,
    ):
        assert widget.toolTip()
        assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus
    for form, names in (
        (dock.form, ("probability", "min_area_px", "device")),
        (dock.expert_form, ("engine", "tile_px", "batch_size")),
    ):
        for name in names:
            assert form.field(name).toolTip()


def test_where_it_will_run_is_said_before_the_first_run(dock, viewer, image, monkeypatch):
    monkeypatch.setattr(engine, "may_have_gpu", lambda: False)
    monkeypatch.setattr(engine, "has_openvino", lambda: True)
    dock._show_config()
    assert dock.device.text() == "CPU · OpenVINO"
    dock.expert_form.field("engine").setCurrentText("torch")
    assert dock.device.text() == "CPU · PyTorch"
    monkeypatch.setattr(engine, "may_have_gpu", lambda: True)
    dock._show_config()
    assert "GPU" in dock.device.text()


def test_it_fits_300_by_700_pixels_with_all_folds_open(dock, viewer, image, qtbot):
    dock.more.open(True)
    dock.expert.open(True)
    dock.truth_fold.open(True)
    column = dock._column.sizeHint()
    assert column.width() <= 300
    assert column.height() <= 700


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_colours_come_from_the_theme(dock, viewer, image, theme):
    viewer.theme = theme
    from napari.utils.theme import get_theme

    assert get_theme(theme).error.as_hex() in dock.outcome.failure.styleSheet()


@pytest.mark.slow
def test_opening_the_dock_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from napari_nucleiseg.gui.segment_dock import SegmentDock; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'openvino')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_closed_while_it_segments_the_result_comes_and_another_dock_says_it(viewer, work, qtbot):
    go_on = threading.Event()
    labels = np.zeros((40, 50), np.int32)
    labels[4:12, 4:12] = 1

    def waits(*_):
        yield TileDone(1, 2)
        go_on.wait(30)
        yield TileDone(2, 2)
        yield Segmented(labels, 1, 8.0, 0.5, {})

    work(waits)
    where = {"scale": (0.5, 0.5), "units": ("um", "um")}
    viewer.add_image(np.zeros((40, 50), np.uint8), name="cells", **where)
    dock = SegmentDock(viewer)
    frame = viewer.window.add_dock_widget(dock, name="Segment nuclei")
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: dock.bar.maximum() == 2)
    gone = []
    dock.destroyed.connect(lambda *_: gone.append(True))
    frame.title.close_button.click()
    qtbot.waitUntil(lambda: bool(gone))
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment nuclei")
    assert dock.outcome.state.property("state") == "running"
    assert not dock.segment_button.isEnabled()
    go_on.set()
    qtbot.waitUntil(lambda: dock.outcome.state.property("state") == "done")
    assert dock.outcome.result.text().startswith("1 nucleus · median diameter 8.0 px (4.0 µm)")
    assert [x.name for x in viewer.layers] == ["cells", "cells · nuclei"]
