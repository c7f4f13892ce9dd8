from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleiseg.detections import EDGE_PX, Detection, from_tile, join, paste
from napari_nucleiseg.tiling import Grid, tile_places

SIDE = 160


def disk(y, x, radius, score, class_id=1):
    """A disk, cut off by the border of the image."""
    yy, xx = np.mgrid[:SIDE, :SIDE]
    mask = (yy - y) ** 2 + (xx - x) ** 2 <= radius**2
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    top, left = int(rows[0]), int(columns[0])
    cut = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    return Detection((top, left), cut, score, class_id)


def disks(largest):
    place = st.integers(0, SIDE - 1)
    score = st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9])
    one = st.builds(disk, place, place, st.integers(1, largest), score, st.integers(1, 3))
    return st.lists(one, max_size=15)


@given(disks(20), st.randoms())
def test_the_order_of_detections_does_not_matter(detections, random):
    shuffled = random.sample(detections, len(detections))
    labels, classes = join(detections, (SIDE, SIDE))
    again, same = join(shuffled, (SIDE, SIDE))
    assert np.array_equal(labels, again)
    assert classes == same


@given(disks(20), st.integers(0, 60))
def test_numbers_have_no_gaps_and_each_nucleus_keeps_most_of_itself(detections, least):
    labels, classes = join(detections, (SIDE, SIDE), least)
    numbers, areas = np.unique(labels[labels > 0], return_counts=True)
    assert numbers.tolist() == list(range(1, len(classes) + 1))
    assert (areas >= least).all()
    for number, area in zip(numbers, areas, strict=True):
        assert any(
            2 * area > d.mask.sum() and np.isin(np.flatnonzero(labels == number), flat(d)).all()
            for d in detections
        )


def flat(detection):
    """Pixels of a detection in the whole image."""
    whole = np.zeros((SIDE, SIDE), bool)
    whole[detection.window] = detection.mask
    return np.flatnonzero(whole)


def seen_by(tile, detections):
    """What a tile shows of detections in the whole image."""
    rows, columns = tile
    for d in detections:
        whole = np.zeros((SIDE, SIDE), bool)
        whole[d.window] = d.mask
        part = whole[rows, columns]
        if part.any():
            yield Detection((0, 0), part, d.score, d.class_id)


def trimmed(detection):
    rows, columns = (np.nonzero(detection.mask.any(axis))[0] for axis in (1, 0))
    (top, left), mask = detection.origin, detection.mask
    return Detection(
        (top + int(rows[0]), left + int(columns[0])),
        mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1],
        detection.score,
        detection.class_id,
    )


# the overlap of the tiles below is 40 px
@given(disks((40 - 2 * EDGE_PX) // 2 - 1))
def test_tiles_joined_are_the_whole(detections):
    shape = (SIDE, SIDE)
    found = []
    for tile in tile_places(shape, Grid(tile=96, overlap=40, multiple=8)):
        moved = (from_tile(trimmed(d), tile, shape) for d in seen_by(tile, detections))
        found += [d for d in moved if d is not None]
    labels, classes = join(found, shape, 5)
    whole, same = join(detections, shape, 5)
    assert np.array_equal(labels, whole)
    assert classes == same


def test_the_surer_one_claims_its_pixels_and_the_other_keeps_the_rest():
    one = Detection((0, 0), np.ones((2, 4), bool), 0.9, 1)
    other = Detection((0, 3), np.ones((2, 4), bool), 0.6, 2)
    labels, classes = join([other, one], (2, 7))
    assert labels.tolist() == [[1, 1, 1, 1, 2, 2, 2]] * 2
    assert classes == [1, 2]


def test_half_hidden_is_not_more_than_half_free():
    one = Detection((0, 0), np.ones((1, 4), bool), 0.9)
    other = Detection((0, 2), np.ones((1, 4), bool), 0.6)
    labels, _ = join([one, other], (1, 6))
    assert labels.tolist() == [[1, 1, 1, 1, 0, 0]]


def test_a_cut_one_gives_way_to_a_whole_one_that_is_less_sure():
    whole = Detection((0, 0), np.ones((4, 8), bool), 0.5)
    cut = Detection((0, 0), np.ones((4, 6), bool), 0.99, is_cut=True)
    labels, _ = join([cut, whole], (4, 10))
    assert (labels > 0).sum() == 32
    assert labels.max() == 1


@pytest.mark.parametrize(
    ("origin", "is_cut"), [((0, 0), False), ((20, 20), False), ((20, 0), False), ((20, 52), True)]
)
def test_only_inner_borders_cut(origin, is_cut):
    tile = slice(0, 64), slice(0, 64)
    moved = from_tile(Detection(origin, np.ones((10, 10), bool), 0.9), tile, (64, 200))
    assert moved.is_cut is is_cut


def test_what_lies_in_the_padding_is_cut_off():
    tile = slice(32, 60), slice(0, 64)
    shape = (60, 64)
    moved = from_tile(Detection((20, 5), np.ones((10, 10), bool), 0.9), tile, shape)
    assert moved.origin == (52, 5)
    assert moved.mask.shape == (8, 10)
    assert not moved.is_cut
    assert from_tile(Detection((28, 5), np.ones((4, 4), bool), 0.9), tile, shape) is None


def test_a_full_mask_fills_its_box_and_ends_at_the_image():
    full = np.ones((28, 28))
    origin, mask = paste(full, (3.0, 4.0, 13.0, 24.0), (50, 50))
    assert (origin, mask.shape, bool(mask.all())) == ((3, 4), (10, 20), True)
    origin, mask = paste(full, (-5.0, 45.0, 5.0, 55.0), (50, 50))
    assert (origin, mask.shape) == ((0, 45), (5, 5))


def test_a_mask_is_stretched_in_place():
    upper = np.zeros((28, 28))
    upper[:14] = 1
    origin, mask = paste(upper, (10.0, 20.0, 50.0, 40.0), (100, 100))
    assert (origin, mask.shape) == ((10, 20), (20, 20))
    assert mask.all()
    assert paste(np.zeros((28, 28)), (10.0, 20.0, 50.0, 40.0), (100, 100)) is None
