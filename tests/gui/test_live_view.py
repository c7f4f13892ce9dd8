"""The button *Live* in its dock: what is visible, and what becomes of the layer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_nucleiseg.events import Segmented
from napari_nucleiseg.gui.aids import nuclei_layers
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.layers import layer_of
from napari_nucleiseg.gui.view import camera_of, seen_of
from napari_nucleiseg.live import Looked, Sized

WAIT = 60_000


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def named(viewer):
    return [x.name for x in viewer.layers]


@pytest.fixture
def asked(dock, monkeypatch):
    """Answers instead of the network: one nucleus, wide as the view is; notes what was asked."""
    calls = []

    def work(function, *args):
        if function.__name__ == "find_size":
            yield Sized(20.0, 1.0)
            return
        _, _, model, config, _, frame, _ = args
        calls.append((model.name, config, frame))
        labels = np.zeros(frame.shape, np.int32)
        labels[frame.view] = 1
        yield Looked(labels, frame.origin, frame.step, 1, 0.0)

    monkeypatch.setattr(dock.live._live, "_work_in", work)
    return calls


@pytest.fixture
def image(viewer):
    pixels = np.random.default_rng(0).integers(0, 255, (600, 800), np.uint8)
    return viewer.add_image(pixels, name="plate1")


def switch_on(dock, qtbot):
    click(qtbot, dock.live.button)
    qtbot.waitUntil(lambda: dock.live.layer is not None, timeout=WAIT)


def wait_for_another(dock, qtbot, change):
    before = dock.live.layer.data
    change()
    qtbot.waitUntil(lambda: dock.live.layer.data is not before, timeout=WAIT)


@pytest.mark.slow
def test_nuclei_of_what_is_visible_follow_the_view(dock, viewer, qtbot, fluorescence):
    data, settings, _ = layer_of(fluorescence[0])
    image = viewer.add_image(data, **settings)
    switch_on(dock, qtbot)
    live = dock.live
    assert "nuclei in view" in live.words.text()
    assert 18 <= len(np.unique(live.layer.data)) - 1 <= 24
    camera = camera_of(viewer)

    def closer():
        camera.center = (0, 60, 60)
        camera.zoom = 8 * camera.zoom

    wait_for_another(dock, qtbot, closer)
    assert max(live.layer.data.shape) < 300
    view = seen_of(viewer, image)
    middle = (sum(view.rows) / 2, sum(view.columns) / 2)
    assert np.allclose(middle, (60.5, 60.5), atol=1)
    click(qtbot, live.button)
    assert named(viewer) == [image.name]
    assert live.words.isHidden()


def test_the_layer_lies_on_what_is_visible_wherever_the_image_lies(
    dock, viewer, image, asked, qtbot
):
    image.scale, image.translate, image.rotate = (0.5, 0.5), (30, -12), 20
    image.affine = np.array([[1.1, 0.1, 5], [0, 0.9, 2], [0, 0, 1]])
    viewer.reset_view()
    camera_of(viewer).zoom *= 3
    switch_on(dock, qtbot)
    # what was asked before the view stood still is dropped
    qtbot.waitUntil(lambda: not dock.live._live.is_at_work and not dock.live._timer.isActive())
    layer, view = dock.live.layer, seen_of(viewer, image)
    places = np.argwhere(layer.data == 1)
    for place in (places[0], places[-1]):
        world = layer.data_to_world(place)
        at = np.asarray(image.world_to_data(world)) + 0.5
        frame = asked[-1][2]
        expected = (np.array(frame.start) + place + 0.5) * frame.step
        np.testing.assert_allclose(at, expected, atol=1e-3)
    for edges, side in ((view.rows, 600), (view.columns, 800)):
        assert edges[0] < side
        assert edges[1] > 0


def test_the_resolution_is_that_of_the_screen(dock, viewer, image, asked, qtbot):
    switch_on(dock, qtbot)

    def out():
        camera_of(viewer).zoom = 0.4

    wait_for_another(dock, qtbot, out)
    assert 0.36 < 1 / asked[-1][2].step[0] <= 0.4


def test_it_is_no_layer_of_nuclei_to_choose_and_cannot_be_edited(dock, viewer, image, asked, qtbot):
    switch_on(dock, qtbot)
    layer = dock.live.layer
    assert layer.name == "plate1 · live"
    assert layer not in nuclei_layers(viewer)
    assert dock.truth.count() == 1
    assert not layer.editable
    assert viewer.layers.selection.active.name == "plate1"
    wait_for_another(dock, qtbot, lambda: setattr(camera_of(viewer), "zoom", 3.0))
    assert not layer.editable
    assert viewer.layers.index(layer) == viewer.layers.index(image) + 1


def test_too_far_out_it_says_so_and_shows_nothing(dock, viewer, image, asked, qtbot):
    switch_on(dock, qtbot)
    camera_of(viewer).zoom = 0.05
    qtbot.waitUntil(lambda: "Zoom in" in dock.live.words.text(), timeout=WAIT)
    assert not dock.live.layer.visible
    camera_of(viewer).zoom = 1.0
    qtbot.waitUntil(lambda: dock.live.layer.visible, timeout=WAIT)


def test_it_goes_on_with_other_settings_and_another_model(
    dock, viewer, image, asked, qtbot, model_folder
):
    switch_on(dock, qtbot)
    session = bridge_of(viewer).session
    wait_for_another(dock, qtbot, lambda: dock.form.changed.emit("probability", 0.7))
    assert asked[-1][1].probability == 0.7
    wait_for_another(dock, qtbot, lambda: setattr(session, "model", "noisy"))
    assert asked[-1][0] == "noisy"


def test_it_goes_on_with_other_pixels_and_another_image(dock, viewer, image, asked, qtbot):
    switch_on(dock, qtbot)
    wait_for_another(dock, qtbot, lambda: setattr(image, "data", image.data[:300, :300].copy()))
    assert dock.live._live._loaded[1].shape == (300, 300)
    other = viewer.add_image(np.eye(90, dtype=np.uint8) * 200, name="plate2")
    assert dock.layer.name == other.name
    qtbot.waitUntil(
        lambda: dock.live.layer is not None and dock.live.layer.name == "plate2 · live",
        timeout=WAIT,
    )
    assert "plate1 · live" not in named(viewer)


def test_the_plane_that_is_shown_is_looked_at(dock, viewer, asked, qtbot):
    planes = np.random.default_rng(0).integers(0, 99, (6, 120, 130), np.uint8)
    viewer.add_image(planes, name="stack", axis_labels=("z", "y", "x"))
    switch_on(dock, qtbot)
    wait_for_another(dock, qtbot, lambda: viewer.dims.set_current_step(0, 4))
    loaded = dock.live._live._loaded[1]
    np.testing.assert_array_equal(loaded.pixels, planes[4])


def test_in_3d_it_says_what_it_needs(dock, viewer, asked, qtbot):
    planes = np.random.default_rng(0).integers(0, 99, (6, 120, 130), np.uint8)
    viewer.add_image(planes, name="stack", axis_labels=("z", "y", "x"))
    switch_on(dock, qtbot)
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: "2-D view" in dock.live.words.text(), timeout=WAIT)
    assert not dock.live.layer.visible


def test_it_waits_while_the_whole_is_segmented(dock, viewer, image, asked, work, qtbot):
    goes_on = threading.Event()

    def segments(micrograph, *rest):
        goes_on.wait(30)
        yield Segmented(np.zeros(micrograph.shape, np.int32), 0, 0.0, 0.1, {})

    work(segments)
    switch_on(dock, qtbot)
    bridge_of(viewer).segment(viewer.__wrapped__.layers["plate1"], "grey")
    qtbot.waitUntil(lambda: "waits for other work" in dock.live.words.text(), timeout=WAIT)
    before = len(asked)
    camera_of(viewer).zoom = 2.0
    qtbot.waitUntil(lambda: not dock.live._timer.isActive(), timeout=WAIT)
    assert len(asked) == before
    wait_for_another(dock, qtbot, goes_on.set)
    assert "in view" in dock.live.words.text()


def test_it_ends_where_the_whole_is_wanted(dock, viewer, image, asked, work, qtbot):
    work(lambda micrograph, *_: iter([Segmented(np.zeros(micrograph.shape, int), 0, 0.0, 0.1, {})]))
    switch_on(dock, qtbot)
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: "plate1 · nuclei" in viewer.layers, timeout=WAIT)
    assert not dock.live.is_on
    assert named(viewer) == ["plate1", "plate1 · nuclei"]


def test_its_layer_is_called_like_the_image_and_hidden_with_it(dock, viewer, image, asked, qtbot):
    switch_on(dock, qtbot)
    layer = viewer.__wrapped__.layers["plate1"]
    layer.name = "mine"
    assert dock.live.layer.name == "mine · live"
    layer.visible = False
    qtbot.waitUntil(lambda: "is hidden" in dock.live.words.text(), timeout=WAIT)
    assert not dock.live.layer.visible
    layer.visible = True
    qtbot.waitUntil(lambda: dock.live.layer.visible, timeout=WAIT)


def test_it_ends_with_its_image(dock, viewer, image, asked, qtbot):
    switch_on(dock, qtbot)
    viewer.layers.remove("plate1")
    assert not dock.live.is_on
    assert named(viewer) == []


def test_it_ends_when_its_layer_is_deleted(dock, viewer, image, asked, qtbot):
    switch_on(dock, qtbot)
    viewer.layers.remove("plate1 · live")
    assert not dock.live.is_on
    camera_of(viewer).zoom = 2.0
    qtbot.waitUntil(lambda: not dock.live._live.is_at_work, timeout=WAIT)
    assert named(viewer) == ["plate1"]


def test_it_ends_with_its_dock(dock, viewer, image, asked, qtbot):
    switch_on(dock, qtbot)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: named(viewer) == ["plate1"], timeout=WAIT)
    assert not dock.live.is_on


def test_what_fails_is_shown_and_ends_it(dock, viewer, image, monkeypatch, qtbot):
    def fails(*_):
        raise RuntimeError("the working process died")
        yield

    monkeypatch.setattr(dock.live._live, "_work_in", fails)
    click(qtbot, dock.live.button)
    qtbot.waitUntil(lambda: not dock.outcome.failure.isHidden(), timeout=WAIT)
    assert "the working process died" in dock.outcome.sentence.text()
    assert not dock.live.is_on
    assert named(viewer) == ["plate1"]


def test_a_viewer_closes_without_a_question_while_a_view_is_looked_at(
    dock, viewer, image, monkeypatch, qtbot
):
    begun, goes_on = threading.Event(), threading.Event()

    def slow(function, *args):
        begun.set()
        goes_on.wait(30)
        yield Sized(20.0, 1.0)

    live = dock.live._live
    monkeypatch.setattr(live, "_work_in", slow)
    click(qtbot, dock.live.button)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    viewer.close()
    goes_on.set()
    qtbot.waitUntil(lambda: not live.is_at_work, timeout=WAIT)


def test_a_pixel_size_that_is_stated_while_it_is_on_counts(dock, viewer, image, asked, qtbot):
    switch_on(dock, qtbot)
    wait_for_another(dock, qtbot, lambda: dock.images.pixel_size.setValue(0.5))
    session = dock._session
    session.config = session.config.model_copy(update={"nucleus_diameter": "8 um"})
    qtbot.waitUntil(lambda: asked[-1][1].nucleus_diameter == "8 um", timeout=WAIT)
    assert dock.live.is_on
    assert dock.outcome.sentence.text() == ""
