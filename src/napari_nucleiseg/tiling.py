"""Tiles: where they lie, how they overlap, how their maps are blended. Knows no network.

Neighbouring tiles are blended with weights that sum to 1 at every pixel and are 0 near the inner
edges of a tile, where the network sees too little of the surroundings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """First pixels of tiles that cover ``length`` pixels, spread evenly.

    Parameters
    ----------
    length, tile, overlap : int
        Pixels along one axis; neighbours share at least ``overlap``, which must be below ``tile``.
    """
    if length <= tile:
        return [0]
    count = int(np.ceil((length - overlap) / (tile - overlap)))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def tile_weights(starts: list[int], length: int, tile: int) -> list[np.ndarray]:
    """Weights of each tile's pixels along one axis; they sum to 1 at every pixel.

    The outer quarters of each overlap belong to one tile alone, the middle half is a ramp.
    """
    stops = [min(s + tile, length) for s in starts]
    weights = [np.ones(b - a, np.float32) for a, b in zip(starts, stops, strict=True)]
    for i in range(len(starts) - 1):
        first, last = starts[i + 1], stops[i]
        shared = last - first
        quarter = shared // 4
        inner = shared - 2 * quarter
        ramp = np.zeros(shared, np.float32)
        ramp[quarter : quarter + inner] = (np.arange(inner, dtype=np.float32) + 0.5) / inner
        ramp[quarter + inner :] = 1
        weights[i][first - starts[i] :] *= 1 - ramp
        weights[i + 1][:shared] *= ramp
    return weights


def pad_to_multiple(image: np.ndarray, multiple: int) -> np.ndarray:
    """Extend (C, h, w) with zeros to the right and below until both sides are multiples."""
    height, width = image.shape[1:]
    extra = (-height % multiple, -width % multiple)
    return np.pad(image, ((0, 0), (0, extra[0]), (0, extra[1]))) if any(extra) else image


def iterate_maps(
    predict: Predict, image: np.ndarray, maps: np.ndarray, tile: int, overlap: int, multiple: int
) -> Iterator[tuple[int, int]]:
    """Fill ``maps`` tile by tile.

    Parameters
    ----------
    predict : callable
        (1, C, h, w) float32 to (1, K, h, w) float32; h and w are multiples of ``multiple``.
    image : (C, H, W) float32 ndarray
    maps : (K, H, W) float ndarray
        Zeros; filled in place.
    tile, overlap, multiple : int
        In pixels.

    Yields
    ------
    (int, int)
        Tiles done and tiles in all.
    """
    height, width = image.shape[1:]
    tile = max(multiple, tile - tile % multiple)
    overlap = min(overlap, tile // 2)
    ys, xs = tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)
    wy, wx = tile_weights(ys, height, tile), tile_weights(xs, width, tile)
    total, done = len(ys) * len(xs), 0
    for y, vertical in zip(ys, wy, strict=True):
        for x, horizontal in zip(xs, wx, strict=True):
            h, w = len(vertical), len(horizontal)
            cut = np.ascontiguousarray(pad_to_multiple(image[:, y : y + h, x : x + w], multiple))
            found = predict(cut[None])[0, :, :h, :w]
            if total == 1:
                maps[:] = found
            else:
                maps[:, y : y + h, x : x + w] += found * (vertical[:, None] * horizontal)
            done += 1
            yield done, total


def predict_maps(
    predict: Predict,
    image: np.ndarray,
    count: int,
    tile: int = 1024,
    overlap: int = 128,
    multiple: int = 32,
) -> np.ndarray:
    """Maps of a whole (C, H, W) image as (count, H, W) float16; see `iterate_maps`."""
    maps = np.zeros((count, *image.shape[1:]), np.float16)
    for _ in iterate_maps(predict, image, maps, tile, overlap, multiple):
        pass
    return maps
