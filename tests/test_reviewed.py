from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleiseg.errors import SettingError, ShapeError
from napari_nucleiseg.reviewed import (
    IGNORED,
    Area,
    apply_reviewed,
    around_nuclei,
    as_records,
    from_records,
    rectangle,
    reviewed_mask,
    whole_image,
)

SHAPE = (20, 30)
sides = st.integers(-5, 35)


def test_the_whole_image_is_all_of_it():
    assert reviewed_mask([whole_image(SHAPE)], SHAPE).all()
    assert not reviewed_mask([], SHAPE).any()


@settings(deadline=None)
@given(y=sides, x=sides, height=st.integers(1, 20), width=st.integers(1, 20))
def test_a_rectangle_covers_the_pixels_between_its_sides(y, x, height, width):
    expected = np.zeros(SHAPE, bool)
    expected[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)] = True
    corners = ((y - 0.5, x - 0.5), (y + height - 0.5, x + width - 0.5))
    if not expected.any():
        with pytest.raises(ShapeError, match="beside the image"):
            rectangle(*corners, SHAPE)
        return
    assert np.array_equal(reviewed_mask([rectangle(*corners, SHAPE)], SHAPE), expected)


def test_of_a_stack_only_the_plane_is_reviewed():
    mask = reviewed_mask([whole_image(SHAPE, (1,))], (3, *SHAPE))
    assert mask[1].all()
    assert not mask[[0, 2]].any()
    with pytest.raises(ShapeError, match="plane that is not there"):
        reviewed_mask([whole_image(SHAPE, (3,))], (3, *SHAPE))


def test_outside_nothing_counts_and_no_nucleus_is_cut():
    labels = np.zeros(SHAPE, np.int32)
    labels[5:9, 7:13] = 1  # most of it in the left third
    labels[12:16, 8:16] = 2  # most of it is not
    labels[2, 2] = IGNORED
    result = apply_reviewed(labels, [rectangle((-1, -1), (30, 10.5), SHAPE)])
    assert np.array_equal(result == 1, labels == 1)
    assert not (result == 2).any()
    assert (result[labels == 2] == IGNORED).all()
    assert (result[:, 13:] == IGNORED).all()
    assert (result[0, :11] == 0).all()
    assert result[2, 2] == IGNORED


def test_surroundings_leave_out_other_nuclei(fluorescence):
    _, labels = fluorescence
    confirmed = [3, 7, 12]
    result = apply_reviewed(labels, around_nuclei(labels, confirmed))
    assert np.unique(result).tolist() == [IGNORED, 0, *confirmed]
    for number in confirmed:
        assert np.array_equal(result == number, labels == number)
    assert ((result == 0) & (labels == 0)).sum() > 500
    assert not (result[(labels > 0) & ~np.isin(labels, confirmed)] >= 0).any()


def test_areas_become_json_and_back():
    areas = [whole_image(SHAPE), rectangle((1, 2), (9, 9), SHAPE, (4,))]
    assert from_records(json.loads(json.dumps(as_records(areas))), "x") == areas
    with pytest.raises(SettingError, match=r"state\.json"):
        from_records([{"vertices": [[0, 0]]}], "state.json")
    assert Area(vertices=((0, 0), (0, 4), (4, 4))).plane == ()
