"""Images enlarged or shrunk for a network, and label images brought back.

Where each pixel of the result is taken from depends on its place in the whole picture alone, so
that a part of a large picture can be resampled by itself and equals that part of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

Part = tuple[slice, slice]

# source pixels that are read and turned into floats at once
_BAND_PIXELS = 1 << 22


def resampled_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """Height and width of a picture that is enlarged by a factor."""
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def _taps(part: slice, size: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``length`` pixels go into each of a part of ``size`` pixels, and with what weight.

    Triangles as wide as two pixels of the coarser of both pictures: linear between pixels where it
    grows, means where it shrinks.
    """
    step = length / size
    reach = max(step, 1.0)
    centres = (np.arange(part.start, part.stop) + 0.5) * step
    first = np.ceil(centres - reach - 0.5).astype(np.int64)
    taps = first[:, None] + np.arange(int(2 * reach) + 1)
    weights = np.maximum(0, 1 - np.abs(taps + 0.5 - centres[:, None]) / reach)
    weights[(taps < 0) | (taps >= length)] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.clip(taps, 0, length - 1), weights.astype(np.float32)


def resample(
    pixels: Any, low: float, high: float, factor: float, part: Part | None = None
) -> np.ndarray:
    """Enlarge or shrink an image whose range is known.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) ndarray or dask array
        Of an array in a file, only what is needed is read, some rows at a time.
    low, high : float
        Ends of its range; they become 0 and 1.
    factor : float
    part : (slice, slice), optional
        Rows and columns of the result that are wanted; all by default.

    Returns
    -------
    (h, w) or (h, w, 3) float32 ndarray
        Linear between pixels; means over the pixels that fall together where it shrinks.
    """
    height, width = pixels.shape[:2]
    size = resampled_shape((height, width), factor)
    rows, columns = part or (slice(0, size[0]), slice(0, size[1]))
    across, shares_across = _taps(columns, size[1], width)
    down, shares_down = _taps(rows, size[0], height)
    left, right = int(across.min()), int(across.max()) + 1
    depth = pixels.shape[2:]
    result = np.empty((len(down), len(across), *depth), np.float32)
    at_once = max(1, int(_BAND_PIXELS * min(1.0, factor) / (right - left)))
    for start in range(0, len(down), at_once):
        band = slice(start, start + at_once)
        top, bottom = int(down[band].min()), int(down[band].max()) + 1
        source = _plain(np.asarray(pixels[top:bottom, left:right]), low, high)
        narrow = _weighed(source, across - left, shares_across, axis=1)
        result[band] = _weighed(narrow, down[band] - top, shares_down[band], axis=0)
    return result


def _plain(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Float32 with ``low`` as 0 and ``high`` as 1; what is not a number becomes 0."""
    # the offset goes before the digits do
    plain = ((pixels.astype(np.float64) - low) / (high - low)).astype(np.float32)
    np.nan_to_num(plain, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return plain


def _weighed(pixels: np.ndarray, taps: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """Weighted sums along an axis, tap after tap: each sum is the same in any part."""
    shape = [1] * pixels.ndim
    shape[axis] = len(taps)
    total = np.zeros((*pixels.shape[:axis], len(taps), *pixels.shape[axis + 1 :]), np.float32)
    for tap, weight in zip(taps.T, weights.T, strict=True):
        total += np.take(pixels, tap, axis) * weight.reshape(shape)
    return total


def labels_at(
    labels: np.ndarray,
    shape: tuple[int, int],
    *,
    origin: tuple[int, int] = (0, 0),
    whole: tuple[int, int] | None = None,
    part: Part | None = None,
) -> np.ndarray:
    """Bring a label image to another size, with smooth outlines.

    Parameters
    ----------
    labels : (h, w) integer ndarray
        Labels 1..N.
    shape : (int, int)
        Height and width to bring it to (px).
    origin : (int, int)
        Of a part of a label image: its first row and column in the whole.
    whole : (int, int), optional
        Of a part of a label image: height and width of the whole.
    part : (slice, slice), optional
        Rows and columns of the result that are wanted; all by default.

    Returns
    -------
    (H, W) int32 ndarray
        The same numbers; a nucleus smaller than a pixel can be lost.
    """
    old = whole or (labels.shape[0], labels.shape[1])
    wanted = part or (slice(0, shape[0]), slice(0, shape[1]))
    steps = [a / b for a, b in zip(old, shape, strict=True)]
    if max(steps) >= 1:
        nearest = []
        for n, step, end, first, length in zip(
            wanted, steps, old, origin, labels.shape, strict=True
        ):
            at = ((np.arange(n.start, n.stop) + 0.5) * step).astype(np.int64)
            nearest.append(np.clip(np.minimum(at, end - 1) - first, 0, length - 1))
        return np.asarray(labels[np.ix_(*nearest)], np.int32)
    result = np.zeros([n.stop - n.start for n in wanted], np.int32)
    surest = np.zeros(result.shape, np.float32)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        # one pixel more on each side, where the outline runs out; the image's edge goes on outside
        near = [
            slice(max(b.start - 1, 0), min(b.stop + 1, n))
            for b, n in zip(box, labels.shape, strict=True)
        ]
        mask = (labels[near[0], near[1]] == number).astype(np.float32)
        # in pixels of the whole, so that a part gives the same numbers to the last digit
        near = [slice(b.start + o, b.stop + o) for b, o in zip(near, origin, strict=True)]
        place = [
            slice(int(np.floor(b.start / step)), min(int(np.ceil(b.stop / step)), n))
            for b, step, n in zip(near, steps, shape, strict=True)
        ]
        seen = [
            slice(max(p.start, n.start), min(p.stop, n.stop))
            for p, n in zip(place, wanted, strict=True)
        ]
        if any(s.start >= s.stop for s in seen):
            continue
        share = _share(mask, steps, place, near)[_from(seen, place)]
        there = _from(seen, wanted)
        mine = (share >= 0.5) & (share > surest[there])
        result[there][mine] = number
        surest[there][mine] = share[mine]
    return result


def _share(
    mask: np.ndarray, steps: list[float], place: list[slice], near: list[slice]
) -> np.ndarray:
    """How much of each pixel of a place a mask covers, by its own coarser pixels."""
    found: np.ndarray = ndimage.affine_transform(
        mask,
        steps,
        [
            (p.start + 0.5) * step - 0.5 - b.start
            for p, step, b in zip(place, steps, near, strict=True)
        ],
        tuple(p.stop - p.start for p in place),
        order=1,
        mode="nearest",
    )
    return found


def _from(inner: Sequence[slice], outer: Sequence[slice]) -> tuple[slice, ...]:
    """Rows and columns counted from the first ones of others."""
    return tuple(
        slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True)
    )
