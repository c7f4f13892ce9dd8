"""Exact outlines: valid polygons with just the pixels of the nucleus, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_nucleiseg.export._outlines import outlines
from napari_nucleiseg.parts import Part

IMAGES = arrays(
    np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-1, 3)
)
PICTURES = {
    "one pixel": "1",
    "line": "1111",
    "ring": "111/101/111",
    "ring closed by a corner": "0111/1001/1001/1110",
    "touching corners": "10/01",
    "two holes that meet in a corner": "1111/1011/1101/1111",
    "a hole that meets the outside": "0111/1011/1111",
    "a nucleus in the hole of another": "11111/10001/10201/10001/11111",
    "a piece in the hole of its own nucleus": "11111/10001/10101/10001/11111",
    "two pieces": "1001",
    "nothing": "00",
}


def image(text: str) -> np.ndarray:
    return np.array([list(map(int, row)) for row in text.split("/")])


def shape_of(outline):
    return shapely.MultiPolygon([(rings[0], rings[1:]) for rings in outline.polygons])


def check(labels: np.ndarray) -> None:
    found = list(outlines(Part(labels)))
    assert [o.label for o in found] == np.unique(labels[labels > 0]).tolist()
    y, x = np.indices(labels.shape) + 0.5
    for outline in found:
        shape = shape_of(outline)
        mask = labels == outline.label
        assert shape.is_valid, shapely.is_valid_reason(shape)
        assert shape.area == mask.sum()
        np.testing.assert_array_equal(shapely.contains_xy(shape, x, y), mask)
        for ring in (ring for rings in outline.polygons for ring in rings):
            steps = np.diff([*ring, ring[0], ring[1]], axis=0)
            # only corners: each step turns by a right angle
            assert (np.count_nonzero(steps, axis=1) == 1).all()
            assert (np.sum(steps[1:] * steps[:-1], axis=1) == 0).all()


@pytest.mark.parametrize("name", PICTURES)
def test_shapes_that_are_hard(name):
    check(image(PICTURES[name]))


@given(IMAGES)
@example(np.ones((1, 1), np.int32))
def test_polygons_are_valid_and_hold_just_their_pixels(labels):
    check(labels)


def test_corners_are_those_of_pixels():
    [outline] = outlines(Part(image("000/011/010")))
    [[ring]] = outline.polygons
    first = ring.index((1, 1))
    assert [*ring[first:], *ring[:first]] == [(1, 1), (3, 1), (3, 2), (2, 2), (2, 3), (1, 3)]


def test_real_nuclei(fluorescence):
    check(fluorescence[1])
