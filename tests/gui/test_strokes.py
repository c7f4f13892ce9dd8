"""Changes in a real Labels layer, and from it."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_nucleiseg import editing
from napari_nucleiseg.editing import Change
from napari_nucleiseg.gui.strokes import change_of


def test_a_change_is_one_step_of_undo(fluorescence):
    _, labels = fluorescence
    layer = Labels(labels.copy())
    change = editing.delete(layer.data, 3)
    expected = labels.copy()
    change.apply(expected)
    layer.data_setitem(change.places(), change.after)
    assert np.array_equal(layer.data, expected)
    layer.undo()
    assert np.array_equal(layer.data, labels)
    layer.redo()
    assert np.array_equal(layer.data, expected)


def test_a_change_of_a_plane_is_one_step_of_undo_in_a_stack(fluorescence):
    _, labels = fluorescence
    stack = np.stack([labels, labels])
    layer = Labels(stack.copy())
    change = editing.grow(layer.data[1], 5).in_stack((1,), stack.shape)
    layer.data_setitem(change.places(), change.after)
    assert np.array_equal(layer.data[0], labels)
    assert (layer.data[1] == 5).sum() > (labels == 5).sum()
    layer.undo()
    assert np.array_equal(layer.data, stack)


@pytest.mark.parametrize("ndim", [2, 3])
def test_strokes_of_a_layer_become_changes(fluorescence, ndim):
    _, labels = fluorescence
    image = labels if ndim == 2 else np.stack([labels, labels[::-1]])
    layer = Labels(image.copy())
    heard: list[Change] = []
    layer.events.paint.connect(lambda event: heard.append(change_of(event.value, layer.data.shape)))
    layer.brush_size = 9
    plane = () if ndim == 2 else (0,)
    copy = image.copy()
    with layer.block_history():  # as a drag of the mouse
        layer.paint((*plane, 40, 40), 77)
        layer.paint((*plane, 44, 42), 78)
    empty = tuple(int(v) for v in np.argwhere(layer.data == 3)[0])
    layer.fill(empty, 79)
    layer.data_setitem(tuple(np.array([v]) for v in empty), 80)
    assert [change.numbers for change in heard][1:] == [(3, 79), (79, 80)]
    assert {77, 78} <= set(heard[0].numbers)
    for change in heard:
        change.apply(copy)
    assert np.array_equal(copy, layer.data)
    for change in reversed(heard):
        change.reverse().apply(copy)
    assert np.array_equal(copy, image)
