"""Detections: one mask for each nucleus a network finds, and how they become one label image.

Overlaps are resolved by score, and the same rule joins tiles: what comes first claims its pixels,
what comes later keeps those that are free if they are more than half of it, and is otherwise taken
for something already found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

INSTANCES = ("instances",)
"""What a network says it gives, instead of names of maps, if it gives detections."""

EDGE_PX = 4
"""What comes nearer than this to a tile's inner border counts as cut by it."""

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Detection:
    """One nucleus as a network sees it.

    Attributes
    ----------
    origin : (int, int)
        Row and column of the mask's first pixel.
    mask : (h, w) bool ndarray
    score : float
        How sure the network is, 0..1.
    class_id : int
        Kind of nucleus, from 1.
    is_cut : bool
        Whether it may go on beyond the tile it was found in.
    """

    origin: tuple[int, int]
    mask: np.ndarray
    score: float
    class_id: int = 1
    is_cut: bool = False

    @property
    def window(self) -> Window:
        """Rows and columns of the mask."""
        (top, left), (height, width) = self.origin, self.mask.shape
        return slice(top, top + height), slice(left, left + width)


def paste(
    probability: np.ndarray,
    box: tuple[float, float, float, float],
    shape: tuple[int, int],
    threshold: float = 0.5,
) -> tuple[tuple[int, int], np.ndarray] | None:
    """Stretch a network's square mask over its box.

    Parameters
    ----------
    probability : (M, M) float ndarray
        Probability of each part of the box to be nucleus.
    box : (float, float, float, float)
        Top, left, bottom and right edge in pixels.
    shape : (int, int)
        Height and width of the image; what reaches beyond it is cut off.
    threshold : float
        Least probability of a pixel of the nucleus.

    Returns
    -------
    ((int, int), (h, w) bool ndarray) or None
        First pixel and mask, as small as it can be; None if no pixel is left.
    """
    pixels, places = [], []
    for low, high, length, parts in zip(box[:2], box[2:], shape, probability.shape, strict=True):
        inside = np.arange(max(int(np.floor(low)), 0), min(int(np.ceil(high)), length))
        pixels.append(inside)
        places.append((inside + 0.5 - low) / max(high - low, 1e-6) * parts - 0.5)
    if not (len(pixels[0]) and len(pixels[1])):
        return None
    grid = np.meshgrid(*places, indexing="ij")
    # beyond the box the probability falls to 0 within one part
    mask = ndimage.map_coordinates(probability, grid, order=1, mode="grid-constant") >= threshold
    if not mask.any():
        return None
    rows, columns = (np.nonzero(mask.any(axis))[0][[0, -1]] for axis in (1, 0))
    origin = int(pixels[0][rows[0]]), int(pixels[1][columns[0]])
    return origin, mask[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1]


def from_tile(detection: Detection, tile: Window, shape: tuple[int, int]) -> Detection | None:
    """Move a detection from a tile to the whole micrograph.

    Parameters
    ----------
    detection : Detection
        With its origin in the tile; what lies beyond the tile (in its padding) is cut off.
    tile : (slice, slice)
        Rows and columns of the tile in the micrograph.
    shape : (int, int)
        Height and width of the micrograph.

    Returns
    -------
    Detection or None
        None if it lies in the padding alone.
    """
    height, width = (s.stop - s.start for s in tile)
    (top, left), mask = detection.origin, detection.mask
    mask = mask[: max(height - top, 0), : max(width - left, 0)]
    if not mask.any():
        return None
    is_cut = False
    for start, length, side, whole in zip((top, left), mask.shape, tile, shape, strict=True):
        is_cut |= side.start > 0 and start < EDGE_PX
        is_cut |= side.stop < whole and side.start + start + length > side.stop - EDGE_PX
    origin = top + tile[0].start, left + tile[1].start
    return replace(detection, origin=origin, mask=mask, is_cut=is_cut)


def _rank(detection: Detection) -> tuple[object, ...]:
    """Whole ones first, then by score; the rest makes the order independent of the input's."""
    mask = detection.mask
    return (
        detection.is_cut,
        -detection.score,
        detection.origin,
        mask.shape,
        detection.class_id,
        np.packbits(mask).tobytes(),
    )


def join(
    detections: Iterable[Detection], shape: tuple[int, int], min_area_px: int = 0
) -> tuple[np.ndarray, list[int]]:
    """Make one label image of detections that may overlap or be the same nucleus twice.

    A nucleus cut by the border of a tile is seen whole by the neighbouring tile, as long as it is
    smaller than their overlap. So cut ones come last, and count only where no whole one was found.

    Parameters
    ----------
    detections : iterable of Detection
        In any order; their masks lie inside the image.
    shape : (int, int)
        Height and width of the image in pixels.
    min_area_px : int
        What keeps fewer pixels is left out.

    Returns
    -------
    (H, W) int32 ndarray, list of int
        0 background, 1..N one nucleus each, the surest first; and the class of each.
    """
    labels = np.zeros(shape, np.int32)
    seen = np.zeros(shape, bool)
    classes: list[int] = []
    for detection in sorted(detections, key=_rank):
        window = detection.window
        free = detection.mask & (labels[window] == 0)
        if detection.is_cut:
            free &= ~seen[window]
        else:
            # also where it is left out itself: a piece of it must not come back by another tile
            seen[window] |= detection.mask
        pixels = int(free.sum())
        if 2 * pixels > int(detection.mask.sum()) and pixels >= min_area_px:
            classes.append(detection.class_id)
            labels[window][free] = len(classes)
    return labels, classes
