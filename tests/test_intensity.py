from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleiseg.intensity import NormaliseConfig, intensity_range, normalise, rescale

CONFIG = NormaliseConfig()
DTYPES = st.sampled_from(
    [np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.float16, np.float32]
)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20)


@settings(deadline=None)
@given(DTYPES.flatmap(lambda d: hnp.arrays(d, SHAPES)))
def test_any_pixels_become_finite_and_bounded(pixels):
    values = normalise(pixels, CONFIG)
    assert values.shape == (3, *pixels.shape)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert values.min() >= 0
    assert values.max() <= CONFIG.clip


@pytest.mark.parametrize(
    ("dtype", "offset"),
    [
        (np.uint16, 100),
        (np.uint16, 32768),
        (np.int32, -(2**30)),
        (np.uint32, 2**31),
        (np.int64, 2**40),
        (np.uint64, 2**40),
        (np.float32, 32768),
        (np.float64, 1e9),
    ],
)
def test_offset_does_not_matter(fluorescence, offset, dtype):
    pixels = fluorescence[0].pixels.astype(dtype)
    np.testing.assert_allclose(
        normalise(pixels + dtype(offset), CONFIG), normalise(pixels, CONFIG), atol=2e-3
    )


def test_gain_does_not_matter(fluorescence):
    pixels = fluorescence[0].pixels.astype(np.float32)
    np.testing.assert_allclose(
        normalise(pixels * 1000, CONFIG), normalise(pixels, CONFIG), atol=1e-4
    )


def test_a_hot_pixel_does_not_matter(fluorescence):
    pixels = fluorescence[0].pixels.astype(np.uint16)
    hot = pixels.copy()
    hot[10, 10] = 60_000
    assert intensity_range(hot, CONFIG) == pytest.approx(intensity_range(pixels, CONFIG), rel=0.02)


@pytest.mark.parametrize("noise", [1.0, 5.0, 40.0])
def test_noise_alone_is_not_stretched(noise):
    rng = np.random.default_rng(0)
    pixels = (200 + noise * rng.standard_normal((512, 512))).astype(np.float32)
    low, high = intensity_range(pixels, CONFIG)
    assert high - low >= 0.95 * CONFIG.noise_range * noise


def test_a_hot_pixel_in_noise_is_not_taken_for_content():
    rng = np.random.default_rng(0)
    pixels = (200 + 5 * rng.standard_normal((512, 512))).astype(np.uint16)
    calm = intensity_range(pixels, CONFIG)
    pixels[100, 100] = 65_000
    assert intensity_range(pixels, CONFIG) == pytest.approx(calm, rel=0.05)


def test_one_small_nucleus_in_a_large_dark_field_sets_the_range():
    rng = np.random.default_rng(0)
    pixels = (100 + 4 * rng.standard_normal((1024, 1024))).astype(np.float32)
    pixels[500:514, 500:514] += 400
    low, high = intensity_range(pixels, CONFIG)
    assert low < 110
    assert 350 < high < 520


@pytest.mark.parametrize("value", [0, 7, 65_535])
def test_a_flat_image_is_empty(value):
    low, high = intensity_range(np.full((9, 9), value, np.uint16), CONFIG)
    assert low == high


def test_black_and_white_is_the_whole_range():
    pixels = np.zeros((30, 30), bool)
    pixels[4:9, 4:9] = True
    assert np.array_equal(normalise(pixels, CONFIG)[0], pixels.astype(np.float32))


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30])
def test_extreme_floats_keep_their_contrast(fluorescence, scale):
    pixels = fluorescence[0].pixels.astype(np.float64)
    np.testing.assert_allclose(
        normalise(pixels * scale, CONFIG), normalise(pixels, CONFIG), atol=1e-4
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_numbers_leave_the_others_alone(fluorescence, bad):
    pixels = fluorescence[0].pixels.astype(np.float32)
    spoilt = pixels.copy()
    spoilt[:40, :40] = bad
    expected, found = normalise(pixels, CONFIG), normalise(spoilt, CONFIG)
    np.testing.assert_allclose(found[:, 60:, 60:], expected[:, 60:, 60:], atol=0.05)
    assert not found[:, :40, :40].any()


def test_all_nan_is_empty():
    assert not normalise(np.full((5, 5), np.nan, np.float32), CONFIG).any()


def test_colours_keep_their_proportions(stained):
    pixels = stained[0].pixels
    low, high = intensity_range(pixels, CONFIG)
    expected = np.clip((pixels.astype(float) - low) / (high - low), 0, CONFIG.clip)
    np.testing.assert_allclose(normalise(pixels, CONFIG), np.moveaxis(expected, -1, 0), atol=1e-5)


def test_a_tile_is_rescaled_as_the_whole(fluorescence):
    pixels = fluorescence[0].pixels
    ends = intensity_range(pixels, CONFIG)
    whole = rescale(pixels, *ends, CONFIG.clip)
    np.testing.assert_array_equal(
        rescale(pixels[20:90, 30:99], *ends, CONFIG.clip), whole[:, 20:90, 30:99]
    )
