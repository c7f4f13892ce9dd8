"""Outlines on the picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_nucleiseg.errors import ShapeError
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.overlay import OUTLINE_RGB, draw_outlines, outlines, write_picture


def test_outlines_are_the_outermost_pixels():
    labels = np.zeros((7, 9), int)
    labels[1:6, 1:5] = 1
    labels[1:6, 5:8] = 2
    expected = labels > 0
    expected[2:5, 2:4] = expected[2:5, 6] = False
    assert np.array_equal(outlines(labels), expected)


def test_a_nucleus_at_the_border_is_open_there():
    labels = np.ones((3, 3), int)
    assert not outlines(labels).any()


@pytest.mark.parametrize("sample", ["fluorescence", "stained", "brightfield"])
def test_only_outlines_are_painted(sample, request):
    micrograph, labels = request.getfixturevalue(sample)
    plain = draw_outlines(micrograph, np.zeros_like(labels))
    painted = draw_outlines(micrograph, labels)
    edge = outlines(labels)
    assert painted.shape == (*labels.shape, 3)
    assert painted.dtype == np.uint8
    assert (painted[edge] == OUTLINE_RGB).all()
    assert np.array_equal(painted[~edge], plain[~edge])
    assert np.ptp(plain) > 200


def test_sizes_that_differ_are_refused(fluorescence):
    micrograph, labels = fluorescence
    with pytest.raises(ShapeError, match="differ in size"):
        draw_outlines(micrograph, labels[1:])


def test_channels_are_refused():
    micrograph = Micrograph(np.zeros((2, 4, 4)), "CYX")
    with pytest.raises(ShapeError, match="one channel"):
        draw_outlines(micrograph, np.zeros((4, 4), int))


def test_the_picture_is_written_as_png(tmp_path, fluorescence):
    picture = draw_outlines(*fluorescence)
    write_picture(tmp_path / "new" / "x.png", picture)
    with Image.open(tmp_path / "new" / "x.png") as image:
        assert np.array_equal(np.asarray(image), picture)
