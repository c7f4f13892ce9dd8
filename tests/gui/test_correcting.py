"""One history for pixels, states, reviewed areas and emptied places; without a window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels

from napari_nucleiseg import editing
from napari_nucleiseg.editing import State
from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.gui.correcting import Correcting
from napari_nucleiseg.reviewed import rectangle, whole_image

SHAPE = (40, 60)


def nuclei():
    """Four nuclei of 10 x 10 pixels; 3 and 4 touch."""
    labels = np.zeros(SHAPE, np.int32)
    for number, (y, x) in enumerate([(4, 4), (4, 24), (24, 4), (24, 14)], 1):
        labels[y : y + 10, x : x + 10] = number
    return labels


def correcting_of(ndim):
    data = nuclei() if ndim == 2 else np.stack([nuclei(), nuclei()[::-1]])
    return Correcting(Image(np.zeros(data.shape, np.uint8)), Labels(data))


def seen(correcting):
    """All that a person has done, as plain values."""
    data = correcting.layer.data
    return data.tobytes(), dict(correcting.states), correcting.areas, correcting.emptied.tolist()


def delete(correcting, number, at):
    correcting.choose(number)
    correcting.edit(editing.delete, at)


def grow(correcting, number, at):
    correcting.choose(number)
    correcting.edit(editing.grow, at)


def confirm(correcting, number, at):
    correcting.confirm([number])


def paint(correcting, number, at):
    correcting.layer.brush_size = 5
    with correcting.layer.block_history():
        correcting.layer.paint((*at, 12 + number, 30), number)
        correcting.layer.paint((*at, 12 + number, 33), 0)


def review(correcting, number, at):
    area = rectangle((number, 0), (number + 9, 9), SHAPE, at)
    correcting.review([*correcting.areas, area])


def clear(correcting, number, at):
    correcting.review([])


def predict(correcting, number, at):
    data = correcting_of(correcting.layer.ndim).layer.data
    correcting.take_prediction(np.where(data == number, 0, data))


def undo(correcting, number, at):
    correcting.undo()


def redo(correcting, number, at):
    correcting.redo()


ACTS = (delete, grow, confirm, paint, review, clear, predict)


@pytest.mark.parametrize("ndim", [2, 3])
@settings(max_examples=12, deadline=None)
@given(
    acts=st.lists(
        st.tuples(st.sampled_from((*ACTS, undo, redo)), st.integers(1, 4), st.integers(0, 1)),
        max_size=9,
    )
)
def test_undo_all_is_the_beginning_and_redo_all_the_end(ndim, acts):
    correcting = correcting_of(ndim)
    # what undo gives back and what redo gives again
    past, future = [], []
    for act, number, plane in acts:
        before, steps = seen(correcting), len(correcting.layer._undo_history)
        try:
            act(correcting, number, (plane,) if ndim == 3 else ())
        except SettingError:
            assert seen(correcting) == before
            continue
        if act is undo:
            future.append(before)
            assert seen(correcting) == past.pop()
        elif act is redo:
            past.append(before)
            assert seen(correcting) == future.pop()
        elif len(correcting.layer._undo_history) > steps:
            past.append(before)
            future.clear()
    end = seen(correcting)
    for expected in reversed(past):
        correcting.undo()
        assert seen(correcting) == expected
    with pytest.raises(SettingError, match="nothing to undo"):
        correcting.undo()
    for expected in [*past[1:], end] if past else []:
        correcting.redo()
        assert seen(correcting) == expected


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_deleted_nucleus_stays_away_until_the_deleting_is_undone(ndim):
    correcting = correcting_of(ndim)
    found = correcting.layer.data.copy()
    delete(correcting, 2, (1,) if ndim == 3 else ())
    after = correcting.layer.data.copy()
    assert correcting.is_touched
    correcting.take_prediction(found)
    assert np.array_equal(correcting.layer.data > 0, after > 0)
    correcting.undo()
    correcting.take_prediction(found)
    if ndim == 2:
        assert np.array_equal(correcting.layer.data, found)
    assert not correcting.emptied.size


def test_a_nucleus_that_was_erased_with_the_brush_stays_away():
    correcting = correcting_of(2)
    correcting.layer.brush_size = 9
    for x in (26, 31):
        with correcting.layer.block_history():
            correcting.layer.paint((6, x), 0)
            correcting.layer.paint((11, x), 0)
    assert 2 not in correcting.sizes or correcting.sizes[2] < 10
    correcting.take_prediction(nuclei())
    if 2 in correcting.sizes:
        # what is left is edited, and stays what it is
        assert correcting.state_of(2) == State.EDITED
    assert (correcting.layer.data[4:14, 24:34] > 0).sum() < 10


def test_what_a_model_took_away_may_come_back():
    correcting = correcting_of(2)
    correcting.take_prediction(np.where(nuclei() == 1, 0, nuclei()))
    assert 1 not in correcting.sizes
    correcting.take_prediction(nuclei())
    assert np.array_equal(correcting.layer.data > 0, nuclei() > 0)


def test_a_plan_is_not_for_the_step_after_the_next(monkeypatch):
    correcting = correcting_of(2)
    # a layer that tells of nothing
    monkeypatch.setattr(correcting.layer, "data_setitem", lambda *_: None)
    correcting.take_prediction(np.zeros(SHAPE, np.int32))
    monkeypatch.undo()
    grow(correcting, 3, ())
    assert correcting.states == {3: State.EDITED}


def test_other_data_in_the_layer_ends_the_history_and_keeps_areas():
    correcting = correcting_of(2)
    correcting.review([whole_image(SHAPE)])
    delete(correcting, 1, ())
    delete(correcting, 2, ())
    correcting.layer.data = np.where(nuclei() == 2, 0, nuclei())
    correcting.restart()
    with pytest.raises(SettingError, match="nothing to undo"):
        correcting.undo()
    assert correcting.areas == (whole_image(SHAPE),)
    assert np.array_equal(correcting.emptied, np.flatnonzero(nuclei() == 2))


def test_a_prediction_during_a_stroke_that_changes_nothing_is_taken(qtbot):
    correcting = correcting_of(2)
    confirm(correcting, 1, ())
    with correcting.layer.block_history():
        correcting.layer.paint((38, 58), 0)  # background on background
        correcting.take_prediction(np.where(nuclei() == 4, 0, nuclei()))
        assert 4 in correcting.sizes
    qtbot.waitUntil(lambda: 4 not in correcting.sizes)
    assert correcting.state_of(1) == State.CONFIRMED
