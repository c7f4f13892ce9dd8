from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleiseg.editing import Change
from napari_nucleiseg.errors import ShapeError

SHAPE = (2, 5, 6)
places = st.tuples(*(st.integers(0, n - 1) for n in SHAPE))


@settings(deadline=None)
@given(
    start=st.integers(0, 99),
    dabs=st.lists(st.tuples(st.sets(places, max_size=9), st.integers(0, 5)), max_size=6),
)
def test_a_brush_stroke_is_what_it_painted_and_can_be_taken_back(start, dabs):
    original = np.random.default_rng(start).integers(0, 4, SHAPE).astype(np.int32)
    labels, atoms = original.copy(), []
    for dab, number in dabs:
        index = tuple(np.array(sorted(dab), int).reshape(-1, 3).T)
        atoms.append((index, labels[index], number))
        labels[index] = number
    change = Change.from_painting(atoms, SHAPE)
    again = original.copy()
    change.apply(again)
    assert np.array_equal(again, labels)
    assert (change.before != change.after).all()
    assert (np.diff(change.indices) > 0).all()
    change.reverse().apply(again)
    assert np.array_equal(again, original)


def test_what_belongs_to_another_image_is_refused():
    change = Change.between(np.zeros((2, 3), int), np.ones((2, 3), int))
    assert (len(change), change.numbers) == (6, (1,))
    with pytest.raises(ShapeError, match="another size"):
        change.apply(np.zeros((3, 3), int))
    with pytest.raises(ShapeError, match="no part of this stack"):
        change.in_stack((1,), (4, 3, 3))
    with pytest.raises(ShapeError, match="keeps the size"):
        Change.between(np.zeros((2, 3), int), np.zeros((3, 3), int))
