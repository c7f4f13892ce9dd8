"""What of a micrograph is read for a view; laws about frames, and levels told by their values."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest

from napari_nucleiseg.intensity import NormaliseConfig, intensity_range
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.resampling import resample
from napari_nucleiseg.viewing import (
    TooMuchError,
    View,
    frame_of,
    range_of_whole,
    read_frame,
    working_factor,
)


def view(top, left, height, width, magnification=1.0):
    return View((top, top + height), (left, left + width), magnification)


@pytest.mark.parametrize("most", [0.3, 1.0, 4.0])
def test_it_is_never_finer_than_the_screen_nor_than_the_whole_would_be(most):
    for magnification in np.geomspace(0.01, 20, 77):
        factor = working_factor(float(magnification), most)
        wanted = min(magnification, most)
        assert wanted / 1.1 < factor <= wanted * (1 + 1e-6)


def test_a_frame_holds_the_view_and_lies_on_a_grid_that_stays():
    random = np.random.default_rng(0)
    for _ in range(300):
        shape = tuple(int(n) for n in random.integers(20, 3000, 2))
        size = random.uniform(5, 1500, 2)
        top, left = random.uniform(-100, np.array(shape) - 2)
        factor = float(random.choice([1.0, 0.5, 0.37, 2.0]))
        found = frame_of(shape, view(top, left, *size), factor, 10)
        if found is None:
            assert top + size[0] <= 0 or left + size[1] <= 0
            continue
        for axis, low in enumerate((top, left)):
            step, start = found.step[axis], found.start[axis]
            inner = found.view[axis]
            whole = round(shape[axis] * factor)
            assert start % 32 == 0
            assert 0 <= start < start + found.shape[axis] <= whole
            # the view, as far as there is a micrograph
            assert (start + inner.start) * step <= max(low, 0) + 1e-6
            high = min(low + size[axis], shape[axis])
            assert (start + inner.stop) * step >= high - 1e-6
            # and room around it
            assert inner.start >= 16 or start == 0
            assert inner.stop + 16 <= found.shape[axis] or start + found.shape[axis] == whole


def test_moving_the_view_does_not_change_what_the_network_gets_in_size():
    sizes = {
        frame_of((5000, 5000), view(1000 + 7 * n, 1000 + 3 * n, 700, 1000), 1.0, 10).shape
        for n in range(60)
    }
    assert sizes == {(768, 1088)}


def test_a_view_beside_the_micrograph_has_no_frame():
    assert frame_of((100, 100), view(200, 0, 50, 50), 1.0, 10) is None


def test_at_full_size_pixels_are_as_they_are(fluorescence):
    micrograph, _ = fluorescence
    frame = frame_of(micrograph.shape, view(100, 120, 60, 70), 1.0, 10)
    pixels, ends = read_frame(micrograph, frame, (3.0, 200.0))
    (y, x), (height, width) = frame.start, frame.shape
    np.testing.assert_array_equal(pixels, micrograph.pixels[y : y + height, x : x + width])
    assert ends == (3.0, 200.0)


@pytest.mark.parametrize("factor", [0.5, 0.4, 1.7])
def test_a_frame_is_a_part_of_the_whole_resampled(fluorescence, factor):
    micrograph, _ = fluorescence
    whole = resample(micrograph.pixels, 0.0, 255.0, factor)
    frame = frame_of(micrograph.shape, view(150, 200, 40, 50), factor, 10)
    pixels, ends = read_frame(micrograph, frame, (0.0, 255.0))
    (y, x), (height, width) = frame.start, frame.shape
    assert (y, x) != (0, 0) or factor < 0.5
    np.testing.assert_allclose(pixels, whole[y : y + height, x : x + width], atol=1e-5)
    assert ends == (0.0, 1.0)


@pytest.fixture
def pyramid():
    """A file of three levels; every pixel tells its level."""
    levels = [
        dask.array.full((4096 // n, 4096 // n), value, dtype=np.uint8, chunks=512)
        for value, n in enumerate((1, 2, 4))
    ]
    return Micrograph(levels[0], "YX", levels=tuple(levels[1:]))


@pytest.mark.parametrize(
    ("factor", "level"), [(1.0, 0), (0.7, 0), (0.5, 1), (0.3, 1), (0.25, 2), (0.1, 2)]
)
def test_the_coarsest_level_that_is_fine_enough_is_read(pyramid, factor, level):
    frame = frame_of(pyramid.shape, view(1000, 1000, 700, 1000), factor, 10)
    pixels, ends = read_frame(pyramid, frame, (0.0, 255.0))
    assert pixels.shape == frame.shape
    np.testing.assert_allclose(pixels / (1 if ends[1] == 255 else 1 / 255), level, atol=1e-4)


def test_a_file_without_levels_is_not_read_as_a_whole():
    huge = Micrograph(dask.array.zeros((60_000, 60_000), np.uint8, chunks=4096), "YX", name="slide")
    frame = frame_of(huge.shape, View((0, 60_000), (0, 60_000), 0.01), 0.01, 10)
    with pytest.raises(TooMuchError, match="slide"):
        read_frame(huge, frame, (0.0, 1.0))


def test_the_range_of_a_file_is_about_that_of_all_its_pixels(fluorescence):
    micrograph, _ = fluorescence
    pixels = np.tile(micrograph.pixels, (8, 8))
    coarse = pixels.reshape(1440, 2, 1440, 2).mean((1, 3))
    lazy = Micrograph(dask.array.from_array(pixels), "YX", levels=(dask.array.from_array(coarse),))
    config = NormaliseConfig()
    exact = intensity_range(pixels, config)
    np.testing.assert_allclose(range_of_whole(lazy, config), exact, atol=0.02 * exact[1])


def test_the_range_of_a_huge_file_without_levels_is_that_of_some_places(fluorescence):
    micrograph, _ = fluorescence
    one = dask.array.from_array(micrograph.pixels)
    lazy = Micrograph(dask.array.tile(one, (24, 24)), "YX")
    config = NormaliseConfig()
    exact = intensity_range(micrograph.pixels, config)
    np.testing.assert_allclose(range_of_whole(lazy, config), exact, atol=0.05 * exact[1])
