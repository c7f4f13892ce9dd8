"""Tiles: where they lie, how they overlap, how their maps are blended. Knows no network.

Neighbouring tiles are blended with weights that sum to 1 at every pixel and are 0 near the inner
edges of a tile, where the network sees too little of the surroundings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]
ReadTile = Callable[[slice, slice], np.ndarray]


@dataclass(frozen=True)
class Grid:
    """Sizes of tiles in pixels.

    Attributes
    ----------
    tile : int
        Side of a tile.
    overlap : int
        Pixels that neighbours share at least; at most half a tile counts.
    multiple : int
        Sides of what a network gets are multiples of this.
    batch : int
        Tiles that go through the network together.
    is_fixed : bool
        Whether the network takes tiles of this size alone; smaller images are mirrored up to it.
    """

    tile: int = 1024
    overlap: int = 160
    multiple: int = 32
    batch: int = 1
    is_fixed: bool = False


def tile_starts(length: int, tile: int, overlap: int, multiple: int = 1) -> list[int]:
    """First pixels of tiles that cover ``length`` pixels, spread evenly.

    All are multiples of ``multiple``: a network that halves its input several times gives slightly
    different maps for an input moved by less, and tiles would not equal the whole. The last tile
    may be shorter than the others.

    Parameters
    ----------
    length, tile, overlap, multiple : int
        Pixels along one axis; neighbours share at least ``overlap``, which must be below ``tile``,
        which must be a multiple of ``multiple``.
    """
    if length <= tile:
        return [0]
    steps = -(-(length - tile) // multiple)
    most = (tile - overlap) // multiple
    count = -(-steps // max(most, 1))
    return [i * steps // count * multiple for i in range(count + 1)]


def tile_weights(starts: list[int], length: int, tile: int) -> list[np.ndarray]:
    """Weights of each tile's pixels along one axis; they sum to 1 at every pixel.

    The outer parts of each overlap belong to one tile alone, the middle quarter is a ramp.
    """
    stops = [min(s + tile, length) for s in starts]
    weights = [np.ones(b - a, np.float32) for a, b in zip(starts, stops, strict=True)]
    for i in range(len(starts) - 1):
        shared = stops[i] - starts[i + 1]
        outer = 3 * shared // 8
        inner = shared - 2 * outer
        ramp = np.zeros(shared, np.float32)
        ramp[outer : outer + inner] = (np.arange(inner, dtype=np.float32) + 0.5) / inner
        ramp[outer + inner :] = 1
        weights[i][len(weights[i]) - shared :] *= 1 - ramp
        weights[i + 1][:shared] *= ramp
    # where more than two tiles meet along the axis, the ramps alone add up to more
    total = np.zeros(length, np.float32)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + len(weight)] += weight
    return [w / total[s : s + len(w)] for s, w in zip(starts, weights, strict=True)]


def place_weights(
    places: Sequence[tuple[slice, slice]], shape: tuple[int, int]
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Weights of the rows and of the columns of each tile, by the tile's first pixel."""
    found = []
    for axis, length in enumerate(shape):
        starts = sorted({place[axis].start for place in places})
        tile = places[0][axis].stop
        found.append(dict(zip(starts, tile_weights(starts, length, tile), strict=True)))
    return found[0], found[1]


def _pad(image: np.ndarray, grid: Grid) -> np.ndarray:
    """Mirror (C, h, w) to the right and below until both sides are multiples, or a whole tile."""
    height, width = image.shape[1:]
    multiple = grid.tile if grid.is_fixed else grid.multiple
    extra = ((0, 0), (0, -height % multiple), (0, -width % multiple))
    return np.pad(image, extra, "symmetric") if np.any(extra) else image


def tile_places(shape: tuple[int, int], grid: Grid) -> list[tuple[slice, slice]]:
    """Rows and columns of each tile of an image, row by row."""
    tile = max(grid.multiple, grid.tile - grid.tile % grid.multiple)
    overlap = min(grid.overlap, tile // 2)
    axes = [
        [slice(s, min(s + tile, length)) for s in tile_starts(length, tile, overlap, grid.multiple)]
        for length in shape
    ]
    return list(product(*axes))


def iterate_tiles(
    run: Callable[[np.ndarray], Any],
    read: ReadTile,
    places: Sequence[tuple[slice, slice]],
    grid: Grid,
) -> Iterator[tuple[list[tuple[tuple[slice, slice], Any]], int]]:
    """Run a network on tile after tile.

    Parameters
    ----------
    run : callable
        (B, C, h, w) float32 to one result for each of the B tiles.
    read : callable
        Rows and columns to (C, h, w) float32 pixels.
    places : sequence of (slice, slice)
        See `tile_places`.
    grid : Grid

    Yields
    ------
    list of ((slice, slice), result), int
        The tiles that went through together, and the number of tiles done.
    """
    for first in range(0, len(places), grid.batch):
        group = places[first : first + grid.batch]
        cuts = [_pad(read(*place), grid) for place in group]
        found = list(zip(group, run(np.stack(cuts)), strict=True))
        yield found, first + len(group)


def iterate_maps(
    predict: Predict, read: ReadTile, maps: np.ndarray, grid: Grid
) -> Iterator[tuple[int, int]]:
    """Fill ``maps`` tile by tile.

    Parameters
    ----------
    predict : callable
        (B, C, h, w) float32 to (B, K, h, w) float32.
    read : callable
        Rows and columns to (C, h, w) float32 pixels.
    maps : (K, H, W) float ndarray
        Filled in place.
    grid : Grid

    Yields
    ------
    (int, int)
        Tiles done and tiles in all.
    """
    height, width = maps.shape[1:]
    places = tile_places((height, width), grid)
    weights = place_weights(places, (height, width))
    if len(places) > 1:
        maps[:] = 0
    for found, done in iterate_tiles(predict, read, places, grid):
        for (rows, columns), result in found:
            down, across = weights[0][rows.start], weights[1][columns.start]
            result = result[:, : len(down), : len(across)]
            if len(places) == 1:
                maps[:] = result
            else:
                maps[:, rows, columns] += result * (down[:, None] * across)
        yield done, len(places)


def predict_maps(
    predict: Predict, image: np.ndarray, count: int, grid: Grid = Grid()
) -> np.ndarray:
    """Maps of a whole (C, H, W) image as (count, H, W) float32; see `iterate_maps`."""
    maps = np.zeros((count, *image.shape[1:]), np.float32)
    for _ in iterate_maps(predict, lambda y, x: image[:, y, x], maps, grid):
        pass
    return maps
