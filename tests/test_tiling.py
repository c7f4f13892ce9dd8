from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_nucleiseg.tiling import Grid, iterate_maps, predict_maps, tile_starts, tile_weights

GRIDS = st.builds(
    Grid,
    tile=st.integers(8, 40),
    overlap=st.integers(0, 16),
    multiple=st.sampled_from([1, 2, 4, 8]),
    batch=st.integers(1, 5),
)
SIDES = st.integers(1, 97)


@given(st.integers(1, 400), st.integers(2, 20), st.integers(0, 7), st.sampled_from([1, 4, 8]))
def test_tiles_cover_every_pixel_with_weights_that_sum_to_one(length, tiles, overlap, multiple):
    tile = tiles * multiple
    overlap = min(overlap, tile // 2)
    starts = tile_starts(length, tile, overlap, multiple)
    assert all(s % multiple == 0 for s in starts)
    total = np.zeros(length)
    for start, weights in zip(starts, tile_weights(starts, length, tile), strict=True):
        assert 0 <= start < length
        total[start : start + len(weights)] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    shared = [a + tile - b for a, b in pairwise(starts)]
    assert all(overlap <= s < tile or tile == multiple for s in shared)


@settings(deadline=None)
@given(SIDES, SIDES, GRIDS)
def test_tiles_put_together_give_the_image_back(height, width, grid):
    image = np.random.default_rng(height * 100 + width).random((2, height, width), np.float32)
    maps = np.full(image.shape, np.nan, np.float32)
    steps = list(iterate_maps(lambda t: t, lambda y, x: image[:, y, x], maps, grid))
    np.testing.assert_allclose(maps, image, atol=1e-6)
    assert steps[-1][0] == steps[-1][1]


@settings(deadline=None)
@given(SIDES, SIDES)
def test_tiled_equals_untiled_where_the_network_sees_less_than_a_quarter_of_the_overlap(h, w):
    def predict(tiles):
        return ndimage.uniform_filter(tiles, (1, 1, 5, 5), mode="constant")

    image = np.random.default_rng(h * 100 + w).random((1, h, w), np.float32)
    # 2 px are seen to each side; a quarter of 16 px is 4 px
    tiled = predict_maps(predict, image, 1, Grid(tile=40, overlap=16, multiple=1))
    whole = predict_maps(predict, image, 1, Grid(tile=128, overlap=16, multiple=1))
    np.testing.assert_allclose(tiled.astype(float), whole.astype(float), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_what_the_network_gets_is_a_multiple_and_at_most_a_batch(batch):
    seen = []

    def predict(tiles):
        seen.append(tiles.shape)
        return tiles[:, :1]

    predict_maps(predict, np.zeros((3, 101, 77), np.float32), 1, Grid(48, 8, 16, batch))
    assert all(s[0] <= batch and s[2] % 16 == 0 and s[3] % 16 == 0 for s in seen)
    assert sum(s[0] for s in seen) == 6


@given(height=st.integers(1, 150), width=st.integers(1, 150), batch=st.integers(1, 3))
def test_a_network_of_one_size_gets_tiles_of_that_size_and_every_pixel_is_covered(
    height, width, batch
):
    image = np.random.default_rng(0).random((3, height, width), np.float32)
    sizes = set()

    def predict(tiles):
        sizes.add(tiles.shape[2:])
        return tiles[:, :1]

    grid = Grid(64, 24, 16, batch, is_fixed=True)
    maps = predict_maps(predict, image, 1, grid)
    assert sizes == {(64, 64)}
    np.testing.assert_allclose(maps[0], image[0], atol=1e-6)
