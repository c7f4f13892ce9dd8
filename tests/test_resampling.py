"""An image resampled by parts is that of the whole; label images come back with their nuclei."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import disk

from napari_nucleiseg import resampling
from napari_nucleiseg.resampling import labels_at, resample, resampled_shape


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    factor=st.floats(1.01, 4),
    seed=st.integers(0, 1000),
)
def test_enlarged_labels_keep_numbers_and_shares(height, width, factor, seed) -> None:
    coarse = np.random.default_rng(seed).integers(0, 4, (-(-height // 8), -(-width // 8)))
    labels = np.kron(coarse, np.ones((8, 8), int))[:height, :width].astype(np.int32)
    shape = (max(1, round(height * factor)), max(1, round(width * factor)))
    found = labels_at(labels, shape)
    assert found.shape == shape
    assert found.dtype == np.int32
    assert set(np.unique(found)) <= set(np.unique(labels)) | {0}
    for number in (1, 2, 3):
        share = (labels == number).mean()
        assert abs((found == number).mean() - share) < 0.25


def test_a_disc_comes_back_as_a_disc() -> None:
    small, large = np.zeros((60, 60), np.int32), np.zeros((240, 240), np.int32)
    small[disk((30, 20), 12)] = 1
    large[disk((30 * 4 + 1.5, 20 * 4 + 1.5), 12 * 4)] = 1
    found = labels_at(small, large.shape) > 0
    assert (found & (large > 0)).sum() / (found | (large > 0)).sum() > 0.95


def test_a_nucleus_at_the_edge_reaches_the_edge() -> None:
    labels = np.zeros((10, 10), np.int32)
    labels[0:4, 6:10] = 1
    found = labels_at(labels, (40, 40))
    assert found[0, 39] == 1
    assert (found > 0).sum() == pytest.approx(256, rel=0.1)


def test_shrinking_takes_the_mean_and_keeps_what_is_not_a_number_dark() -> None:
    pixels = np.tile([1000.0, 3000.0], (8, 4))
    pixels[0, 0] = np.nan
    found = resample(pixels, 1000, 3000, 0.5)
    assert found.shape == (4, 4)
    assert np.isfinite(found).all()
    assert found[2:, 1:-1] == pytest.approx(0.5)


def test_digits_survive_a_large_offset() -> None:
    pixels = 2.0**40 + np.arange(16.0).reshape(4, 4)
    found = resample(pixels, 2.0**40, 2.0**40 + 15, 2)
    assert found.min() == 0
    assert found.max() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["fluorescence", "stained"])
@pytest.mark.parametrize("factor", [0.0731, 0.25, 0.41, 1.9, 3.7])
def test_a_part_of_the_picture_is_that_part_of_the_whole(kind, factor, request, monkeypatch):
    pixels = request.getfixturevalue(kind)[0].pixels
    whole = resample(pixels, 3, 201, factor)
    height, width = whole.shape[:2]
    assert (height, width) == resampled_shape(pixels.shape[:2], factor)
    monkeypatch.setattr(resampling, "_BAND_PIXELS", 3000)
    for top, left in ((0, 0), (height // 3, width // 5), (height - 9, width - 7)):
        part = slice(top, min(top + 41, height)), slice(left, min(left + 37, width))
        np.testing.assert_array_equal(resample(pixels, 3, 201, factor, part), whole[part])


def test_nothing_is_lost_or_won_by_shrinking(fluorescence):
    pixels = fluorescence[0].pixels
    assert resample(pixels, 0, 255, 0.5).mean() == pytest.approx(pixels.mean() / 255, rel=0.01)


@pytest.mark.parametrize("factor", [0.21, 1 / 3, 0.77, 1.7])
def test_labels_of_a_part_are_those_of_the_whole(fluorescence, factor):
    truth = fluorescence[1]
    shape = tuple(round(n / factor) for n in truth.shape)
    whole = labels_at(truth, shape)
    top, left = 20, 30
    inner = truth[top:-20, left:-40]
    part = tuple(
        slice(round((first + 2) / factor), round((first + length - 2) / factor))
        for first, length in zip((top, left), inner.shape, strict=True)
    )
    found = labels_at(inner, shape, origin=(top, left), whole=truth.shape, part=part)
    # those that the part cuts are others there
    cut = np.unique(np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]]))
    expected = whole[part]
    kept = ~np.isin(expected, cut) & ~np.isin(found, cut)
    assert len(np.unique(expected[kept])) > 3
    np.testing.assert_array_equal(found[kept], expected[kept])
    grown = ndimage.binary_dilation(np.isin(expected, cut), iterations=3)
    assert (np.isin(found, cut) <= grown).all()
