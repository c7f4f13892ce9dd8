"""From a network's maps to a label image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field
from scipy import ndimage
from skimage.segmentation import watershed

from .config import Config

BAND_PIXELS = 1 << 24


class DecodeConfig(Config):
    """How maps become nuclei."""

    probability: float = Field(0.5, ge=0.05, le=0.95, description="a nucleus' least probability")
    seed_depth: float = Field(
        0.5, ge=0, le=1, description="depth that is the core of a nucleus, from 0 to 1"
    )
    min_area_px: int = Field(20, ge=0, description="smaller pieces are removed (px)")
    min_seed_px: int = Field(8, ge=1, description="smaller seeds are no nucleus of their own (px)")


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of an image in portions that keep temporary arrays small."""
    height = max(1, BAND_PIXELS // shape[1])
    for start in range(0, shape[0], height):
        yield slice(start, min(start + height, shape[0]))


def label_sizes(labels: np.ndarray) -> np.ndarray:
    """Pixels of each label of an (H, W) non-negative label image, 0 first."""
    sizes = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    for rows in _bands(labels.shape):
        sizes += np.bincount(labels[rows].ravel(), minlength=len(sizes))
    return sizes


def renumber(labels: np.ndarray, min_area_px: int = 1) -> np.ndarray:
    """Number the nuclei 1..N without gaps, in the order of their old numbers.

    Parameters
    ----------
    labels : (H, W) non-negative integer ndarray
    min_area_px : int
        Smaller nuclei become background.

    Returns
    -------
    (H, W) int32 ndarray
    """
    kept = label_sizes(labels) >= max(min_area_px, 1)
    kept[0] = False
    table = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    result = np.empty(labels.shape, np.int32)
    for rows in _bands(labels.shape):
        np.take(table, labels[rows], out=result[rows])
    return result


def _seeds(distance: np.ndarray, inside: np.ndarray, config: DecodeConfig) -> np.ndarray:
    """Number the pieces of the foreground that are deep and large enough to be seeds."""
    seeds: np.ndarray = ndimage.label(inside & (distance > config.seed_depth))[0]
    small = np.bincount(seeds.ravel()) < config.min_seed_px
    small[0] = False
    return np.where(small[seeds], 0, seeds) if small.any() else seeds


def maps_to_labels(
    probability: np.ndarray, distance: np.ndarray, config: DecodeConfig
) -> np.ndarray:
    """Split the foreground into nuclei: seeds at the depths, watershed down to the outlines.

    Connected pieces of foreground are decoded independently of each other, in bands of the image,
    so that memory stays bounded and the result does not depend on the bands.

    Parameters
    ----------
    probability : (H, W) float ndarray
        Probability that a pixel lies in a nucleus.
    distance : (H, W) float ndarray
        Distance to the outline over the nucleus' largest, 0..1.
    config : DecodeConfig

    Returns
    -------
    (H, W) int32 ndarray
        0 background, 1..N one nucleus each.
    """
    pieces, count = ndimage.label(probability > config.probability)
    if not count:
        return np.zeros(probability.shape, np.int32)
    boxes = ndimage.find_objects(pieces)
    top = np.array([box[0].start for box in boxes])
    bottom = np.array([box[0].stop for box in boxes])
    added = count
    for portion in _bands(probability.shape):
        start = portion.start
        mine = (top >= start) & (top < portion.stop)
        if not mine.any():
            continue
        rows = slice(start, int(bottom[mine].max()))
        band = pieces[rows]
        if not mine.all():
            # pieces of earlier bands have got their final numbers, which are above count
            mine = np.concatenate(([False], mine, [False]))
            band = np.where(mine[np.minimum(band, count + 1)], band, 0)
        seeds = _seeds(distance[rows], band > 0, config)
        pairs = np.unique(band[seeds > 0].astype(np.int64) << 32 | seeds[seeds > 0])
        several = np.nonzero(np.bincount(pairs >> 32, minlength=count + 1) > 1)[0]
        for piece in several:
            y, x = boxes[piece - 1]
            inner = (slice(y.start - start, y.stop - start), x)
            mask = band[inner] == piece
            depth = distance[y, x].astype(np.float32)
            found = watershed(-depth, np.where(mask, seeds[inner], 0), mask=mask)
            pieces[y, x][mask] = found[mask] + added
        added += int(seeds.max())
    return renumber(pieces, config.min_area_px)
