"""The dock "Correct nuclei": real keys, buttons and mouse; undo, states, the layer of outlines."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from napari.layers import Labels
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication
from skimage.draw import disk

from napari_nucleiseg.editing import State
from napari_nucleiseg.events import Segmented
from napari_nucleiseg.gui import memory
from napari_nucleiseg.gui.again import Again
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.correct_dock import CorrectDock
from napari_nucleiseg.gui.correct_tools import ACTIONS
from napari_nucleiseg.gui.desk import desk_of
from napari_nucleiseg.gui.reviewed_layer import areas_of
from napari_nucleiseg.gui.states_layer import is_outlines, outlines
from napari_nucleiseg.model_maps import MapsRead
from napari_nucleiseg.reviewed import whole_image

SHAPE = (100, 120)
SHIFT = Qt.KeyboardModifier.ShiftModifier


def nuclei():
    """Six nuclei in two rows; 5 and 6 touch, 4 has a hole, 3 has a waist."""
    labels = np.zeros(SHAPE, np.int32)
    for number, at in enumerate([(20, 20), (20, 50), (20, 80), (60, 20), (60, 50), (60, 66)], 1):
        labels[disk(at, 9, shape=SHAPE)] = number
    labels[disk((20, 94), 9, shape=SHAPE)] = 3
    labels[58:61, 19:22] = 0
    return labels


@pytest.fixture
def shown(make_napari_viewer_proxy, qtbot):
    """A viewer with its window open, an image, and its nuclei."""
    viewer = make_napari_viewer_proxy(show=True)
    pixels = (nuclei() > 0).astype(np.uint8) * 200
    pixels[disk((85, 100), 9, shape=SHAPE)] = 200  # found by nobody yet
    viewer.add_image(pixels, name="cells")
    viewer.add_labels(nuclei(), name="cells · nuclei")
    return viewer


@pytest.fixture
def dock(shown, qtbot):
    widget = CorrectDock(shown)
    shown.window.add_dock_widget(widget, name="Correct nuclei")
    shown.reset_view()
    qtbot.waitUntil(lambda: widget.states.layer is not None)
    qtbot.wait(50)  # one frame, so that the canvas knows its size
    return widget


@pytest.fixture
def labels(shown):
    return shown.__wrapped__.layers["cells · nuclei"]


@pytest.fixture
def canvas(shown):
    return shown.__wrapped__.window._qt_viewer.canvas


@pytest.fixture
def desk(shown):
    return desk_of(shown)


def press(qtbot, canvas, name):
    """Press the key of an action, as it is written in the table of keys."""
    *held, letter = ACTIONS[name].key.split("-")
    modifier = SHIFT if held else Qt.KeyboardModifier.NoModifier
    qtbot.keyClick(canvas.native, getattr(Qt.Key, f"Key_{letter}"), modifier)


def undo(qtbot, canvas, shift=False):
    held = Qt.KeyboardModifier.ControlModifier
    qtbot.keyClick(canvas.native, Qt.Key.Key_Z, held | SHIFT if shift else held)


def point(canvas, y, x):
    """Where a pixel is on the canvas."""
    transform = canvas.view.scene.transform
    at = transform.map([x, y])[:2]
    return QPoint(round(float(at[0])), round(float(at[1])))


def click(qtbot, canvas, y, x):
    qtbot.mouseClick(canvas.native, Qt.MouseButton.LeftButton, pos=point(canvas, y, x))


def drag(qtbot, canvas, *places):
    """Press, move and release as a hand does; QTest's own moves hold no button."""
    points = [point(canvas, *place) for place in places]
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    between = [
        start + (stop - start) * part for start, stop in pairwise(points) for part in (0.3, 0.6, 1)
    ]
    steps = [(QEvent.Type.MouseButtonPress, points[0], left, left)]
    steps += [(QEvent.Type.MouseMove, at, none, left) for at in between]
    steps += [(QEvent.Type.MouseButtonRelease, points[-1], left, none)]
    for kind, at, button, held in steps:
        place, above = QPointF(at), QPointF(canvas.native.mapToGlobal(at))
        no_key = Qt.KeyboardModifier.NoModifier
        event = QMouseEvent(kind, place, above, button, held, no_key)
        QApplication.sendEvent(canvas.native, event)
        qtbot.wait(20)  # vispy leaves out moves that follow each other faster


# --- keys ---------------------------------------------------------------------------------------


def test_no_key_is_one_of_naparis():
    taken = {str(key) for keys in default_shortcuts.values() for key in keys}
    assert "E" in taken
    assert not {action.key.replace("-", "+") for action in ACTIONS.values()} & taken


def test_each_key_stands_on_its_button_and_in_its_tooltip(dock):
    for name, action in ACTIONS.items():
        shown = action.key.replace("Shift-", "⇧")
        assert dock.buttons.of[name].toolTip().endswith(f"({shown})")


def test_keys_are_given_back(dock, shown, qtbot, canvas, labels):
    before = labels.data.copy()
    shown.window.remove_dock_widget(dock)
    dock.deleteLater()
    qtbot.waitUntil(lambda: not shown.__wrapped__.keymap)
    assert not any(is_outlines(x) for x in shown.layers)
    press(qtbot, canvas, "delete")
    assert np.array_equal(labels.data, before)


# --- which nucleus ------------------------------------------------------------------------------


def test_next_and_previous_walk_in_reading_order_and_around(dock, qtbot, canvas, desk):
    seen = []
    for _ in range(7):
        press(qtbot, canvas, "next")
        seen.append(desk.correcting.current)
    assert seen == [1, 2, 3, 4, 5, 6, 1]
    press(qtbot, canvas, "previous")
    assert desk.correcting.current == 6
    assert dock.about.text() == f"Nucleus 6 · {(nuclei() == 6).sum()} px · predicted"


def test_smallest_first(dock, qtbot, canvas, desk):
    dock.order.setCurrentIndex(dock.order.findData("size"))
    press(qtbot, canvas, "next")
    sizes = np.bincount(nuclei().ravel())[1:]
    assert desk.correcting.current == 1 + sizes.argmin()


def test_after_deleting_the_next_is_the_one_that_followed(dock, qtbot, canvas, desk):
    for name in ("next", "next", "delete", "next"):
        press(qtbot, canvas, name)
    assert desk.correcting.current == 3


def test_confirmed_ones_are_skipped_until_none_is_left(dock, qtbot, canvas, desk):
    for _ in range(6):
        press(qtbot, canvas, "next")
        press(qtbot, canvas, "confirm")
    assert set(desk.correcting.states.values()) == {State.CONFIRMED}
    press(qtbot, canvas, "next")
    assert "all in this plane are confirmed" in dock.outcome.sentence.text()


def test_a_click_chooses_a_nucleus(dock, qtbot, canvas, desk):
    click(qtbot, canvas, 60, 50)
    assert desk.correcting.current == 5
    click(qtbot, canvas, 90, 10)
    assert desk.correcting.current == 0


# --- operations ---------------------------------------------------------------------------------

ON_ONE = {"delete": 1, "waist": 3, "holes": 4, "grow": 5, "shrink": 2, "smooth": 3}


@pytest.mark.parametrize("by", ["key", "button"])
def test_each_operation_is_one_step_of_undo_with_its_states(dock, qtbot, canvas, labels, desk, by):
    before = labels.data.copy()
    for name, number in ON_ONE.items():
        desk.correcting.choose(number)
        if by == "key":
            press(qtbot, canvas, name)
        else:
            qtbot.mouseClick(dock.buttons.of[name], Qt.MouseButton.LeftButton)
        after, states = labels.data.copy(), dict(desk.correcting.states)
        changed = before != after
        assert changed.any(), name
        new = set(np.unique(after).tolist()) - set(range(7))
        touched = {number, *new}
        assert {*before[changed].tolist(), *after[changed].tolist()} <= {0, *touched}
        assert states == dict.fromkeys(touched & {*after.ravel().tolist()}, State.EDITED)
        undo(qtbot, canvas)
        assert np.array_equal(labels.data, before)
        assert desk.correcting.states == {}
        undo(qtbot, canvas, shift=True)
        assert np.array_equal(labels.data, after)
        assert desk.correcting.states == states
        undo(qtbot, canvas)


def test_two_clicks_merge(dock, qtbot, canvas, labels, desk):
    press(qtbot, canvas, "merge")
    assert dock.buttons.of["merge"].isChecked()
    click(qtbot, canvas, 60, 48)
    click(qtbot, canvas, 60, 68)
    assert not (labels.data == 6).any()
    assert labels.data[60, 68] == 5
    undo(qtbot, canvas)
    assert np.array_equal(labels.data, nuclei())


def test_nuclei_that_do_not_touch_are_not_merged(dock, qtbot, canvas, labels):
    press(qtbot, canvas, "merge")
    click(qtbot, canvas, 20, 20)
    click(qtbot, canvas, 20, 50)
    assert "do not touch" in dock.outcome.sentence.text()
    assert np.array_equal(labels.data, nuclei())


def test_a_drawn_line_splits(dock, qtbot, canvas, labels, desk):
    press(qtbot, canvas, "line")
    drag(qtbot, canvas, (20, 5), (20, 35))
    assert {1, 7} == set(labels.data[10:31, 10:31].ravel()) - {0}
    assert (labels.data > 0).sum() == (nuclei() > 0).sum()
    undo(qtbot, canvas)
    assert np.array_equal(labels.data, nuclei())


def test_a_line_beside_nuclei_is_told_of(dock, qtbot, canvas, labels):
    press(qtbot, canvas, "line")
    drag(qtbot, canvas, (90, 5), (90, 45))
    assert "crosses no nucleus" in dock.outcome.sentence.text()
    assert np.array_equal(labels.data, nuclei())


def maps(*_):
    """Stands in for the model: it sees all bright discs."""
    seen = np.zeros(SHAPE, np.float32)
    seen[disk((85, 100), 9, shape=SHAPE)] = 0.9
    seen[nuclei() > 0] = 0.9
    seen[nuclei() == 2] = 0.3
    yield MapsRead(("probability",), seen[None], np.zeros(SHAPE, np.uint8), "stand-in")


@pytest.mark.parametrize("box", [False, True])
def test_a_click_or_a_box_adds_a_nucleus(dock, qtbot, canvas, labels, desk, monkeypatch, box):
    asked = []
    session = bridge_of(desk.bridge.viewer).session
    monkeypatch.setattr(session, "_work_in", lambda *args: asked.append(args) or maps())
    press(qtbot, canvas, "add")
    if box:
        drag(qtbot, canvas, (73, 88), (97, 112))
    else:
        click(qtbot, canvas, 85, 100)
    qtbot.waitUntil(lambda: labels.data[85, 100] == 7)
    assert abs((labels.data == 7).sum() - (nuclei() == 1).sum()) < 20
    assert desk.correcting.states == {7: State.EDITED}
    undo(qtbot, canvas)
    assert np.array_equal(labels.data, nuclei())
    click(qtbot, canvas, 85, 100)
    assert labels.data[85, 100] == 8
    assert len(asked) <= 2  # once for the key; a click that came before the answer asks again


def test_the_least_certain_comes_first(dock, qtbot, canvas, desk, monkeypatch):
    session = bridge_of(desk.bridge.viewer).session
    monkeypatch.setattr(session, "_work_in", lambda *args: maps())
    dock.order.setCurrentIndex(dock.order.findData("uncertain"))
    press(qtbot, canvas, "next")
    qtbot.waitUntil(lambda: desk.correcting.current == 2)


def test_a_model_that_fails_is_told_of_and_the_tool_goes_on(dock, qtbot, canvas, desk, monkeypatch):
    def fails(*_):
        raise RuntimeError("no memory")
        yield

    session = bridge_of(desk.bridge.viewer).session
    monkeypatch.setattr(session, "_work_in", fails)
    press(qtbot, canvas, "add")
    qtbot.waitUntil(lambda: "no memory" in dock.outcome.sentence.text())
    assert dock.outcome.state.property("state") == "failed"
    monkeypatch.setattr(session, "_work_in", maps)
    click(qtbot, canvas, 85, 100)
    qtbot.waitUntil(lambda: desk.correcting.current == 7)


def test_without_a_nucleus_it_is_said_what_to_do(dock, qtbot, canvas, labels):
    for name in ("delete", "confirm", "grow"):
        dock.outcome.clear()
        press(qtbot, canvas, name)
        assert "No nucleus is chosen" in dock.outcome.sentence.text()
    assert np.array_equal(labels.data, nuclei())


@pytest.mark.parametrize("name", ["merge", "line", "add"])
@pytest.mark.parametrize("active", ["cells · nuclei", "cells"])
def test_escape_ends_a_mode(dock, qtbot, canvas, labels, desk, shown, monkeypatch, name, active):
    session = bridge_of(desk.bridge.viewer).session
    monkeypatch.setattr(session, "_work_in", maps)
    press(qtbot, canvas, name)
    assert dock.buttons.of[name].isChecked()
    shown.layers.selection.active = shown.layers[active]
    qtbot.keyClick(canvas.native, Qt.Key.Key_Escape)
    assert not dock.buttons.of[name].isChecked()
    qtbot.waitUntil(lambda: not session.is_busy)
    assert labels.mouse_pan
    assert "Esc" not in dock.outcome.state.text()
    # the key is napari's again
    assert not labels.keymap


def test_a_box_without_a_nucleus_is_told_of(dock, qtbot, canvas, labels, desk, monkeypatch):
    session = bridge_of(desk.bridge.viewer).session
    monkeypatch.setattr(session, "_work_in", maps)
    press(qtbot, canvas, "add")
    qtbot.waitUntil(lambda: not session.is_busy)
    drag(qtbot, canvas, (75, 10), (95, 40))
    assert "Draw the box closer around the nucleus" in dock.outcome.sentence.text()
    assert np.array_equal(labels.data, nuclei())


# --- states -------------------------------------------------------------------------------------


def test_confirming_can_be_undone_between_other_steps(dock, qtbot, canvas, labels, desk):
    history = [(labels.data.copy(), {})]
    for name, number in (("confirm", 2), ("grow", 5), ("confirm", 5), ("delete", 2)):
        desk.correcting.choose(number)
        press(qtbot, canvas, name)
        history.append((labels.data.copy(), dict(desk.correcting.states)))
    assert history[-1][1] == {5: State.CONFIRMED}
    for data, states in history[-2::-1]:
        undo(qtbot, canvas)
        assert np.array_equal(labels.data, data)
        assert desk.correcting.states == states
    for data, states in history[1:]:
        undo(qtbot, canvas, shift=True)
        assert np.array_equal(labels.data, data)
        assert desk.correcting.states == states


def test_painting_by_hand_marks_a_nucleus_as_edited(dock, qtbot, canvas, labels, desk, shown):
    shown.layers.selection.active = labels
    labels.selected_label = 2
    labels.brush_size = 5
    labels.mode = "paint"
    drag(qtbot, canvas, (20, 58), (20, 62))
    assert labels.data[20, 62] == 2
    assert desk.correcting.states == {2: State.EDITED}
    undo(qtbot, canvas)
    assert desk.correcting.states == {}
    assert np.array_equal(labels.data, nuclei())


def test_all_in_view_leaves_what_the_view_cuts(dock, qtbot, canvas, desk, shown):
    camera = getattr(shown.__wrapped__, "scene", shown.__wrapped__).camera
    camera.zoom, camera.center = camera.zoom * 2, (0, 20, 20)
    qtbot.waitUntil(lambda: dock.tools.layer.corner_pixels[1, 0] < SHAPE[0] - 1)
    press(qtbot, canvas, "confirm view")
    assert desk.correcting.state_of(1) == State.CONFIRMED
    assert 0 < len(desk.correcting.states) < 6


def test_outlines_follow_every_step(dock, qtbot, canvas, labels, desk):
    for name, number in (("grow", 1), ("confirm", 4), ("delete", 5), ("waist", 3)):
        desk.correcting.choose(number)
        press(qtbot, canvas, name)
        expected = outlines(labels.data, desk.correcting.states, desk.correcting.current)
        qtbot.waitUntil(lambda expected=expected: np.array_equal(dock.states.layer.data, expected))
    assert set(np.unique(dock.states.layer.data)) == {0, 1, 2, 3, 4}
    assert "edited&nbsp;3" in dock.legend.text()
    undo(qtbot, canvas)
    expected = outlines(labels.data, desk.correcting.states, desk.correcting.current)
    qtbot.waitUntil(lambda: np.array_equal(dock.states.layer.data, expected))


# --- stacks -------------------------------------------------------------------------------------


def test_a_plane_of_a_stack(shown, qtbot, canvas):
    shown.layers.clear()
    stack = np.stack([nuclei(), nuclei()[::-1], nuclei()])
    shown.add_image((stack > 0).astype(np.uint8) * 200, name="stack")
    layer = shown.add_labels(stack.copy(), name="stack · nuclei")
    dock = CorrectDock(shown)
    shown.window.add_dock_widget(dock, name="Correct nuclei")
    shown.dims.set_current_step(0, 1)
    correcting = desk_of(shown).correcting
    qtbot.waitUntil(lambda: dock.states.layer is not None)
    assert np.array_equal(dock.states.layer.data > 0, outlines(stack[1], {}, 0) > 0)
    history = [layer.data.copy()]
    for name, number in (("grow", 5), ("waist", 3), ("delete", 1)):
        correcting.choose(number)
        press(qtbot, canvas, name)
        history.append(layer.data.copy())
    assert np.array_equal(layer.data[[0, 2]], stack[[0, 2]])
    assert not (layer.data[1] == 1).any()
    # it is there in other planes still
    assert correcting.states == {1: State.EDITED, 3: State.EDITED, 5: State.EDITED, 7: State.EDITED}
    for data in history[-2::-1]:
        undo(qtbot, canvas)
        assert np.array_equal(layer.data, data)
    for data in history[1:]:
        undo(qtbot, canvas, shift=True)
        assert np.array_equal(layer.data, data)


# --- reviewed areas -----------------------------------------------------------------------------


def test_reviewed_areas_become_shapes_and_shapes_areas(dock, qtbot, desk, shown):
    dock.reviewed.open(True)
    qtbot.mouseClick(dock.review_buttons["image"], Qt.MouseButton.LeftButton)
    assert desk.correcting.areas == (whole_image(SHAPE),)
    layer = shown.layers["cells · reviewed"]
    assert areas_of(layer) == desk.correcting.areas
    layer.add_rectangles(np.array([[10, 10], [10, 40], [30, 40], [30, 10]]))
    assert len(desk.correcting.areas) == 2
    qtbot.mouseClick(dock.review_buttons["clear"], Qt.MouseButton.LeftButton)
    assert desk.correcting.areas == ()
    assert len(layer.data) == 0
    desk.correcting.confirm([1, 2])
    qtbot.mouseClick(dock.review_buttons["around"], Qt.MouseButton.LeftButton)
    assert len(desk.correcting.areas) == 2
    qtbot.mouseClick(dock.review_buttons["view"], Qt.MouseButton.LeftButton)
    assert len(desk.correcting.areas) == 3
    assert len(layer.data) == 3


def done(desk, shown):
    """What a person sees of all that was done."""
    correcting = desk.correcting
    layer = next((x for x in shown.layers if x.name == "cells · reviewed"), None)
    areas = () if layer is None else areas_of(layer)
    assert areas == correcting.areas
    return correcting.layer.data.tobytes(), dict(correcting.states), areas


@pytest.mark.parametrize("by", ["key", "button"])
def test_nuclei_states_and_areas_have_one_history(dock, qtbot, canvas, desk, shown, by):
    dock.reviewed.open(True)
    box = np.array([[10, 10], [10, 40], [30, 40], [30, 10]], float)

    def draw():
        shown.layers["cells · reviewed"].add_rectangles(box)

    def delete_shape():
        shapes = shown.layers["cells · reviewed"]
        shapes.selected_data = {0}
        shapes.remove_selected()

    def move_shape():
        shapes = shown.layers["cells · reviewed"]
        shapes.data = [corners + 5 for corners in shapes.data]

    acts = [
        lambda: press(qtbot, canvas, "next"),
        lambda: press(qtbot, canvas, "grow"),
        lambda: qtbot.mouseClick(dock.review_buttons["view"], Qt.MouseButton.LeftButton),
        lambda: press(qtbot, canvas, "confirm"),
        draw,
        lambda: qtbot.mouseClick(dock.review_buttons["around"], Qt.MouseButton.LeftButton),
        lambda: press(qtbot, canvas, "delete"),
        delete_shape,
        move_shape,
        lambda: qtbot.mouseClick(dock.review_buttons["clear"], Qt.MouseButton.LeftButton),
    ]
    history = [done(desk, shown)]
    for act in acts:
        act()
        if done(desk, shown) != history[-1]:
            history.append(done(desk, shown))
    assert len(history) == len(acts)  # to look at the next one is no step
    # wherever the last click in the layer list was
    shown.layers.selection.active = shown.layers["cells · reviewed"]

    def step(name):
        if by == "key":
            undo(qtbot, canvas, shift=name == "redo")
        else:
            qtbot.mouseClick(dock.history[name], Qt.MouseButton.LeftButton)

    for expected in history[-2::-1]:
        step("undo")
        assert done(desk, shown) == expected
    step("undo")
    assert "nothing to undo" in dock.outcome.sentence.text()
    for expected in history[1:]:
        step("redo")
        assert done(desk, shown) == expected


def test_areas_whose_layer_is_deleted_count_no_more_and_undo_brings_them_back(
    dock, qtbot, canvas, desk, shown
):
    dock.act("review image")
    shown.layers.remove("cells · reviewed")
    qtbot.waitUntil(lambda: desk.correcting.areas == ())
    assert "Undo (Ctrl+Z) brings them back" in dock.outcome.notices.text()
    undo(qtbot, canvas)
    assert desk.correcting.areas == (whole_image(SHAPE),)
    assert areas_of(shown.layers["cells · reviewed"]) == desk.correcting.areas


def test_areas_that_go_with_their_image_are_not_taken_for_deleted(dock, qtbot, desk, shown):
    dock.act("review image")
    correcting = desk.correcting
    shown.layers.clear()
    qtbot.wait(50)
    assert correcting.areas == (whole_image(SHAPE),)


# --- a new segmentation -------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [True, False])
def test_a_new_segmentation_fills_only_the_rest(dock, qtbot, canvas, labels, desk, shown, keep):
    dock.keep.setChecked(keep)
    desk.correcting.choose(1)
    press(qtbot, canvas, "grow")
    desk.correcting.confirm([2])
    before, states = labels.data.copy(), dict(desk.correcting.states)
    found = np.zeros(SHAPE, np.int32)
    found[disk((85, 100), 9, shape=SHAPE)] = 1
    found[disk((20, 21), 5, shape=SHAPE)] = 2
    found[disk((60, 20), 8, shape=SHAPE)] = 3
    bridge, image = desk.bridge, shown.__wrapped__.layers["cells"]
    bridge.adopt(image, labels)
    heard = []
    bridge.session.event.connect(heard.append)
    bridge.session._work_in = lambda *args: iter([Segmented(found, 3, 10.0, 0.1, {})])
    bridge.segment(image, "grey")
    qtbot.waitUntil(lambda: not bridge.session.is_busy)
    if not keep:
        assert np.array_equal(labels.data, before)
        assert "cells · nuclei 2" in [x.name for x in shown.layers]
        return
    for number in (1, 2):
        assert np.array_equal(labels.data == number, before == number)
    assert not np.isin(labels.data, [5, 6]).any()
    assert labels.data[60, 13] == 4  # the same nucleus keeps its number
    assert labels.data[85, 100] > 0
    assert desk.correcting.states == states
    assert any("2 edited or confirmed nuclei were kept" in getattr(e, "text", "") for e in heard)
    undo(qtbot, canvas)
    assert np.array_equal(labels.data, before)
    assert desk.correcting.states == states


def test_a_new_segmentation_of_a_plane_goes_into_the_corrected_stack(shown, qtbot, canvas):
    shown.layers.clear()
    stack = np.stack([nuclei(), np.zeros_like(nuclei()), nuclei()])
    shown.add_image(np.full(stack.shape, 9, np.uint8), name="stack")
    layer = shown.add_labels(stack.copy(), name="stack · nuclei")
    shown.window.add_dock_widget(CorrectDock(shown), name="Correct nuclei")
    shown.dims.set_current_step(0, 2)
    desk = desk_of(shown)
    desk.correcting.choose(1)
    press(qtbot, canvas, "grow")
    before, states = layer.data.copy(), dict(desk.correcting.states)
    found = np.zeros(SHAPE, np.int32)
    found[disk((85, 100), 9, shape=SHAPE)] = 1
    bridge, image = desk.bridge, shown.__wrapped__.layers["stack"]
    bridge.session._work_in = lambda *args: iter([Segmented(found, 1, 18.0, 0.1, {})])
    heard = []
    bridge.session.event.connect(heard.append)
    assert Again(bridge, shown.__wrapped__.window._qt_window, heard.append).images() == [image]
    bridge.segment(image, "stack")
    qtbot.waitUntil(lambda: not bridge.session.is_busy)
    said = "1 edited or confirmed nucleus was kept in plane 3 of stack · nuclei"
    assert any(said in getattr(e, "text", "") for e in heard)
    assert np.array_equal(layer.data[:2], before[:2])
    assert np.array_equal(layer.data[2] == 1, before[2] == 1)
    new = layer.data[2][85, 100]
    assert new > before.max()
    assert set(np.unique(layer.data[2])) == {0, 1, new}
    assert desk.correcting.states == states
    undo(qtbot, canvas)
    assert np.array_equal(layer.data, before)
    assert desk.correcting.states == states


def test_corrected_nuclei_that_no_model_has_found_are_merged_into_as_well(
    dock, qtbot, canvas, labels, desk, shown
):
    desk.correcting.choose(1)
    press(qtbot, canvas, "grow")
    before = labels.data.copy()
    found = np.zeros(SHAPE, np.int32)
    found[disk((85, 100), 9, shape=SHAPE)] = 1
    bridge, image = desk.bridge, shown.__wrapped__.layers["cells"]
    bridge.session._work_in = lambda *args: iter([Segmented(found, 1, 18.0, 0.1, {})])
    again = Again(bridge, dock, pytest.fail)
    assert again.images() == [image]
    again.start()
    qtbot.waitUntil(lambda: not bridge.session.is_busy and labels.data[85, 100] > 0)
    assert np.array_equal(labels.data == 1, before == 1)
    assert len(np.unique(labels.data)) == 3
    assert [x.name for x in shown.layers if x.name.startswith("cells · nuclei")] == [
        "cells · nuclei",
        "cells · nuclei · states",
    ]
    undo(qtbot, canvas)
    assert np.array_equal(labels.data, before)


def test_a_deleted_nucleus_stays_deleted_at_the_next_segmentation(
    dock, qtbot, canvas, labels, desk, shown
):
    desk.correcting.choose(5)
    press(qtbot, canvas, "delete")
    bridge, image = desk.bridge, shown.__wrapped__.layers["cells"]
    bridge.adopt(image, labels)
    heard = []
    bridge.session.event.connect(heard.append)
    bridge.session._work_in = lambda *args: iter([Segmented(nuclei(), 6, 10.0, 0.1, {})])
    bridge.segment(image, "grey")
    qtbot.waitUntil(lambda: not bridge.session.is_busy)
    assert np.array_equal(labels.data > 0, (nuclei() > 0) & (nuclei() != 5))
    said = [getattr(event, "text", "") for event in heard]
    assert any("what you deleted stays deleted" in text for text in said)
    undo(qtbot, canvas)  # of the deleting: the prediction changed nothing
    assert np.array_equal(labels.data, nuclei())


# --- layers come and go -------------------------------------------------------------------------


def test_labels_of_another_size_are_told_of(dock, shown):
    shown.add_labels(np.ones((10, 10), np.int32), name="other")
    assert dock.labels_layer.name == "other"
    assert "differ in size" in dock.outcome.sentence.text()
    assert not dock.buttons.isEnabled()


def test_small_numbers_make_room(dock, qtbot, canvas, shown, desk):
    layer = shown.add_labels(nuclei().astype(np.uint8) * 40, name="cells · own")
    assert layer.data.dtype == np.int32
    desk.correcting.choose(120)
    press(qtbot, canvas, "waist")
    assert 241 in layer.data


def test_a_deleted_layer_can_be_brought_back(dock, qtbot, canvas, labels, desk, shown):
    desk.correcting.choose(3)
    press(qtbot, canvas, "waist")
    kept, states = labels.data.copy(), dict(desk.correcting.states)
    shown.layers.remove("cells · nuclei")
    assert "was deleted with its corrections" in dock.keeping.sentence.text()
    assert dock.keeping.bar.isVisible()
    qtbot.mouseClick(dock.keeping.restore_button, Qt.MouseButton.LeftButton)
    back = shown.layers["cells · nuclei"]
    assert np.array_equal(back.data, kept)
    assert desk.correcting.states == states
    assert not dock.keeping.bar.isVisible()


def test_everything_deleted_and_another_image_of_another_size(
    dock, qtbot, canvas, labels, desk, shown
):
    desk.correcting.choose(1)
    press(qtbot, canvas, "grow")
    shown.layers.clear()
    assert not dock.buttons.isEnabled()
    press(qtbot, canvas, "grow")
    # no project holds what was done
    assert "was deleted with its corrections" in dock.keeping.sentence.text()
    qtbot.mouseClick(dock.keeping.restore_button, Qt.MouseButton.LeftButton)
    assert (shown.layers["cells · nuclei"].data == 1).sum() > (nuclei() == 1).sum()
    shown.layers.clear()
    shown.add_image(np.zeros((40, 50), np.uint8), name="next")
    small = np.zeros((40, 50), np.int32)
    small[disk((20, 20), 6)] = 1
    layer = shown.add_labels(small.copy(), name="next · nuclei")
    for name in ("next", "grow", "confirm"):
        press(qtbot, canvas, name)
    assert (layer.data > 0).sum() > (small > 0).sum()
    qtbot.waitUntil(lambda: dock.states.layer is not None and 4 in dock.states.layer.data)
    assert dock.states.layer.data.shape == (40, 50)


def test_an_image_that_is_opened_leaves_the_corrected_one(dock, qtbot, canvas, desk, shown):
    press(qtbot, canvas, "next")
    press(qtbot, canvas, "grow")
    shown.add_image(np.zeros((40, 50), np.uint8), name="next")
    assert desk.correcting.image.name == dock.image_layer.name == "cells"
    assert "next was opened; cells is corrected still" in dock.outcome.notices.text()
    shown.add_labels(np.ones((40, 50), np.int32), name="next · nuclei")
    assert dock.labels_layer.name == "cells · nuclei"
    qtbot.wait(20)
    # whoever chooses it gets it
    shown.layers.selection.active = shown.layers["next"]
    assert (dock.image_layer.name, dock.labels_layer.name) == ("next", "next · nuclei")


def test_outlines_that_were_deleted_come_back_with_the_next_nucleus(
    dock, qtbot, canvas, desk, shown
):
    press(qtbot, canvas, "next")
    qtbot.waitUntil(lambda: 4 in dock.states.layer.data)
    shown.layers.remove(dock.states.layer)
    for number in (2, 3):
        press(qtbot, canvas, "next")
        assert desk.correcting.current == number
        press(qtbot, canvas, "grow")
    expected = outlines(desk.correcting.layer.data, desk.correcting.states, 3)
    qtbot.waitUntil(lambda: dock.states.layer is not None)
    qtbot.waitUntil(lambda: np.array_equal(dock.states.layer.data, expected))


def test_choices_are_remembered(dock, shown, qtbot):
    dock.order.setCurrentIndex(dock.order.findData("size"))
    dock.order.activated.emit(dock.order.currentIndex())
    dock.skip.setChecked(False)
    dock.keep.setChecked(False)
    again = CorrectDock(shown)
    qtbot.addWidget(again)
    assert again.order.currentData() == "size"
    assert not again.skip.isChecked()
    assert not again.keep.isChecked()
    assert memory.recall()["correct"]["order"] == "size"


def test_outlines_are_no_labels_to_compare_with(dock, shown):
    names = [x.name for x in desk_of(shown).bridge.truth_layers()]
    assert names == ["cells · nuclei"]
    assert sum(isinstance(x, Labels) for x in shown.__wrapped__.layers) == 2


def test_the_order_follows_what_comes_and_goes(dock, qtbot, canvas, desk):
    def walk(count):
        seen = []
        for _ in range(count):
            press(qtbot, canvas, "next")
            seen.append(desk.correcting.current)
        return seen

    press(qtbot, canvas, "next")
    press(qtbot, canvas, "delete")
    assert walk(2) == [2, 3]
    press(qtbot, canvas, "waist")
    assert sorted(walk(6)) == [2, 3, 4, 5, 6, 7]
    undo(qtbot, canvas)
    undo(qtbot, canvas)
    assert sorted(walk(6)) == [1, 2, 3, 4, 5, 6]


def test_states_follow_undo_beyond_what_was_heard(viewer):
    data = np.zeros((64, 64), np.int32)
    data[5:15, 5:15], data[30:40, 30:40] = 1, 2
    image = viewer.add_image(np.zeros((64, 64), np.uint8), name="cells")
    layer = viewer.add_labels(data, name="cells · nuclei")
    image, layer = (getattr(x, "__wrapped__", x) for x in (image, layer))
    # before anybody listens
    layer.data_setitem((np.array([16]), np.array([6])), 1)
    desk = desk_of(viewer)
    desk.choose(image, layer)
    desk.correcting.confirm([2])
    layer.undo()
    layer.undo()
    layer.redo()
    assert desk.correcting.state_of(2) == State.PREDICTED
    layer.redo()
    assert desk.correcting.state_of(2) == State.CONFIRMED


def test_a_prediction_that_comes_during_a_stroke_waits_for_its_end(viewer, qtbot):
    data = np.zeros((64, 64), np.int32)
    data[5:15, 5:15] = 1
    image = viewer.add_image(np.zeros((64, 64), np.uint8), name="cells")
    layer = viewer.add_labels(data.copy(), name="cells · nuclei")
    image, layer = (getattr(x, "__wrapped__", x) for x in (image, layer))
    desk = desk_of(viewer)
    desk.choose(image, layer)
    desk.correcting.confirm([1])
    found = data.copy()
    found[40:50, 40:50] = 2
    with layer.block_history():
        layer.paint((50, 10), 5)
        desk.correcting.take_prediction(found)
        layer.paint((50, 14), 5)
    painted = layer.data == 5
    assert painted.sum() > 50
    qtbot.waitUntil(lambda: layer.data[45, 45] > 0)
    assert (layer.data[painted] == 5).all()
    assert desk.correcting.state_of(5) == State.EDITED
    layer.undo()
    assert layer.data[45, 45] == 0
    assert (layer.data[painted] == 5).all()
