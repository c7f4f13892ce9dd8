"""Where to correct next: the real list, key and view."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt

from napari_nucleiseg.disagreement import Region
from napari_nucleiseg.events import TileDone
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.next_place import KEY, NextPlace
from napari_nucleiseg.next_places import ImageRanked, Place, rank_places
from napari_nucleiseg.samples import read_sample

WAIT = 120_000


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def state(widget):
    return widget.outcome.state.property("state")


def ranks(function, number, name, micrograph, config, reviewed):
    """Stands in for the core: two places in every image, the second image the less certain."""
    yield TileDone(1, 1)
    picture = np.full((16, 16, 3), 90, np.uint8)
    doubt = 0.2 + 0.4 * number
    regions = (Region(0, 16, 16, 16, doubt, 4), Region(16, 0, 16, 16, doubt / 2, 1))
    places = tuple(Place(number, name, region, picture) for region in regions)
    yield ImageRanked(name, doubt, False, places)


def agrees(function, number, name, micrograph, config, reviewed):
    yield ImageRanked(name, 0.04, True, ())


@pytest.fixture
def runs(monkeypatch, viewer):
    def replace(function):
        monkeypatch.setattr(bridge_of(viewer).session, "_work_in", function)

    return replace


@pytest.fixture
def images(viewer):
    """Two images, the upper one with pixels of half a µm, away from the origin."""
    pixels = np.random.default_rng(0).integers(0, 255, (32, 40), np.uint8)
    viewer.add_image(pixels, name="b", scale=(0.5, 0.5), translate=(3, 4))
    viewer.add_image(pixels, name="a")
    return viewer


@pytest.fixture
def widget(viewer, qtbot):
    made = NextPlace(bridge_of(viewer))
    viewer.window.add_dock_widget(made, name="Next")
    yield made
    session = bridge_of(viewer).session
    session.cancel()
    qtbot.waitUntil(lambda: not session.is_busy, timeout=60_000)


def find(widget, qtbot):
    click(qtbot, widget.find_button)
    qtbot.waitUntil(lambda: state(widget) in ("done", "failed"), timeout=WAIT)


def words(widget):
    return [widget.list.item(i).text() for i in range(widget.list.count())]


def test_the_key_is_not_one_of_naparis():
    taken = {str(key) for keys in default_shortcuts.values() for key in keys}
    assert "P" in taken
    assert KEY not in taken


def test_places_are_listed_and_the_key_goes_from_one_to_the_next(images, widget, runs, qtbot):
    runs(ranks)
    assert widget.next_button.isHidden()
    find(widget, qtbot)
    assert words(widget) == [
        "1 · b\n4 nuclei · views differ by 60 %",
        "2 · b\n1 nucleus · views differ by 30 %",
        "3 · a\n4 nuclei · views differ by 20 %",
        "4 · a\n1 nucleus · views differ by 10 %",
    ]
    assert not widget.list.item(0).icon().isNull()
    assert "differ by 60 % in b" in widget.outcome.result.text()
    canvas = images.__wrapped__.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_N)
    assert widget.list.currentRow() == 0
    assert widget.where.text() == "Place 1 of 4: b"
    # rows 0 to 16, columns 16 to 32, each half a µm, seen from (3, 4)
    assert np.allclose(images.scene.camera.center[-2:], (3 + 0.5 * 7.5, 4 + 0.5 * 23.5))
    qtbot.keyClick(canvas, Qt.Key.Key_N)
    click(qtbot, widget.next_button)
    assert widget.where.text() == "Place 3 of 4: a"
    assert np.allclose(images.scene.camera.center[-2:], (7.5, 23.5))
    widget.list.itemClicked.emit(widget.list.item(3))
    qtbot.keyClick(canvas, Qt.Key.Key_N)
    assert widget.where.text() == "Place 1 of 4: b"


def test_hidden_images_do_not_count_and_none_is_said(images, widget, runs, qtbot):
    runs(ranks)
    images.layers["a"].visible = False
    find(widget, qtbot)
    assert {text.split("\n")[0][4:] for text in words(widget)} == {"b"}
    images.layers["b"].visible = False
    find(widget, qtbot)
    assert state(widget) == "failed"
    assert widget.outcome.sentence.text().startswith("No image is shown")
    images.layers["b"].visible = True
    find(widget, qtbot)
    assert widget.list.count() == 2
    images.layers.remove("b")
    widget.go_next()
    assert widget.where.text() == "b is not open any more."


def test_the_plane_of_a_stack_is_looked_at_and_found_again(viewer, widget, runs, qtbot):
    runs(ranks)
    viewer.add_image(np.zeros((5, 32, 40), np.uint8), name="stack")
    viewer.layers["stack"].axis_labels = ("z", "y", "x")
    viewer.dims.set_current_step(0, 3)
    find(widget, qtbot)
    viewer.dims.set_current_step(0, 0)
    widget.go_next()
    assert viewer.dims.current_step[0] == 3


def test_the_sign_to_stop_is_in_words(images, widget, runs, qtbot):
    runs(agrees)
    find(widget, qtbot)
    assert widget.outcome.result.text().startswith("Little is left to gain")
    assert widget.list.isHidden()
    widget.go_next()
    assert widget.where.isHidden()


def test_what_was_reviewed_is_handed_on(images, runs, qtbot):
    given = {}

    def notes(function, number, name, micrograph, config, reviewed):
        given[name] = reviewed
        yield from agrees(function, number, name, micrograph, config, reviewed)

    runs(notes)
    seen = np.ones((32, 40), bool)
    widget = NextPlace(bridge_of(images), lambda layer: seen if layer.name == "a" else None)
    images.window.add_dock_widget(widget, name="Next")
    find(widget, qtbot)
    assert given == {"a": seen, "b": None}


def test_cancelled_in_the_middle(images, widget, runs, qtbot):
    go_on, closed = threading.Event(), []

    def waits(*args):
        try:
            yield TileDone(1, 2)
            go_on.wait(30)
            yield TileDone(2, 2)
        finally:
            closed.append(threading.current_thread() is not threading.main_thread())

    runs(waits)
    click(qtbot, widget.find_button)
    qtbot.waitUntil(lambda: widget.bar.value() == 250)
    assert not widget.find_button.isEnabled()
    click(qtbot, widget.cancel_button)
    assert widget.outcome.state.text() == "Stopping · after this tile"
    go_on.set()
    qtbot.waitUntil(lambda: state(widget) == "cancelled")
    assert closed == [True]
    assert widget.outcome.state.text() == "Cancelled · at image 1 of 2"
    runs(ranks)
    find(widget, qtbot)
    assert widget.list.count() == 4


def test_failed_in_the_middle(images, widget, runs, qtbot):
    def fails(*args):
        yield TileDone(1, 2)
        raise RuntimeError("CUDA out of memory")

    runs(fails)
    find(widget, qtbot)
    assert state(widget) == "failed"
    assert "CUDA out of memory" in widget.outcome.sentence.text()
    assert widget.find_button.isEnabled()


def test_viewer_closed_while_it_runs(make_napari_viewer_proxy, monkeypatch, qtbot):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.zeros((32, 40), np.uint8))
    widget = NextPlace(bridge_of(viewer))
    viewer.window.add_dock_widget(widget, name="Next")
    go_on, closed = threading.Event(), threading.Event()

    def waits(*args):
        try:
            yield TileDone(1, 2)
            go_on.wait(30)
            yield TileDone(2, 2)
        finally:
            closed.set()

    session = bridge_of(viewer).session
    monkeypatch.setattr(session, "_work_in", waits)
    click(qtbot, widget.find_button)
    qtbot.waitUntil(lambda: widget.bar.value() == 500)
    viewer.close()
    go_on.set()
    qtbot.waitUntil(closed.is_set)
    qtbot.waitUntil(lambda: not session.is_busy)


def test_of_two_widgets_the_one_that_asked_has_the_places(images, widget, runs, qtbot):
    runs(ranks)
    other = NextPlace(bridge_of(images))
    images.window.add_dock_widget(other, name="Other")
    find(widget, qtbot)
    assert (widget.list.count(), other.list.count()) == (4, 0)
    assert state(other) == "idle"
    find(other, qtbot)
    assert (widget.list.count(), other.list.count()) == (4, 4)
    assert state(widget) == "done"


def test_one_that_is_hidden_does_not_take_the_key_from_one_that_is_seen(
    images, widget, runs, qtbot
):
    runs(ranks)
    find(widget, qtbot)
    hidden = NextPlace(bridge_of(images))
    qtbot.addWidget(hidden)
    find(hidden, qtbot)
    canvas = images.__wrapped__.window._qt_viewer.canvas.native
    # seen without its window, which no test shows
    widget.setParent(None)
    widget.show()
    qtbot.keyClick(canvas, Qt.Key.Key_N)
    assert (widget.list.currentRow(), hidden.list.currentRow()) == (0, -1)
    widget.hide()
    hidden.show()
    qtbot.keyClick(canvas, Qt.Key.Key_N)
    assert (widget.list.currentRow(), hidden.list.currentRow()) == (0, 0)


def test_a_dock_that_needs_the_key_hands_in_another(images, widget, runs, qtbot):
    runs(ranks)
    other = NextPlace(bridge_of(images), key="Shift-N")
    images.window.add_dock_widget(other, name="Other")
    find(other, qtbot)
    assert other.next_button.text() == "Next place (Shift-N)"
    canvas = images.__wrapped__.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_N)
    assert other.list.currentRow() == -1
    qtbot.keyClick(canvas, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert other.list.currentRow() == 0


@pytest.mark.slow
def test_a_real_image_in_the_real_child_process(viewer, widget, qtbot):
    micrograph, _ = read_sample("fluorescence")
    viewer.add_image(micrograph.pixels, name="fluorescence")
    session = bridge_of(viewer).session
    session.config = session.config.model_copy(update={"engine": "torch", "device": "cpu"})
    find(widget, qtbot)
    *_, expected = rank_places(0, "fluorescence", micrograph, session.config)
    assert [p.region for p in widget.places] == [p.region for p in expected.places]
    assert widget.list.count() > 0
