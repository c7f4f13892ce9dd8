"""From a network's maps to a label image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from .config import Config
from .errors import ModelError

BAND_PIXELS = 1 << 24
SMOOTH_PX, PEAKS_PX = 1.0, 3


class DecodeConfig(Config):
    """How maps become nuclei."""

    probability: float = Field(0.5, ge=0.05, le=0.95, description="a nucleus' least probability")
    seed_depth: float = Field(
        0.5, ge=0, le=1, description="depth that is the core of a nucleus, from 0 to 1"
    )
    sensitivity: float = Field(
        0.5, ge=0, le=1, description="how readily pieces fall apart into nuclei; 0.5 is neutral"
    )
    least_depth: float = Field(
        0.6, ge=0, lt=1, description="depth that a nucleus must reach somewhere"
    )
    certainty: float = Field(
        0.5, ge=0, lt=1, description="least mean probability, from the threshold (0) to 1"
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


def diameters(labels: np.ndarray) -> np.ndarray:
    """Equivalent-circle diameter of each nucleus of a label image, in pixels."""
    area = np.bincount(np.maximum(labels, 0).ravel())[1:]
    return np.asarray(np.sqrt(4 * area[area > 0] / np.pi))


def _is_certain(
    labels: np.ndarray, probability: np.ndarray, distance: np.ndarray, config: DecodeConfig
) -> np.ndarray:
    """Whether each label is a nucleus beyond doubt: deep somewhere, probable on the whole."""
    size = int(labels.max(initial=0)) + 1
    is_deep = np.zeros(size, bool)
    area, total = np.zeros(size), np.zeros(size)
    for rows in _bands(labels.shape):
        band = labels[rows]
        is_deep[band[distance[rows] >= config.least_depth]] = True
        inside = band > 0
        area += np.bincount(band[inside], minlength=size)
        total += np.bincount(band[inside], probability[rows][inside], minlength=size)
    least = config.probability + config.certainty * (1 - config.probability)
    return is_deep & (total >= least * area) & (area >= config.min_area_px)


def renumber(labels: np.ndarray, kept: np.ndarray | None = None) -> np.ndarray:
    """Number the nuclei 1..N without gaps, in the order of their old numbers.

    Parameters
    ----------
    labels : (H, W) non-negative integer ndarray
    kept : (labels.max() + 1,) bool ndarray or None
        Which nuclei stay, by their number; None: all.

    Returns
    -------
    (H, W) int32 ndarray
    """
    present = label_sizes(labels) > 0
    kept = present if kept is None else present & kept
    kept[0] = False
    table = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    result = np.empty(labels.shape, np.int32)
    for rows in _bands(labels.shape):
        np.take(table, labels[rows], out=result[rows])
    return result


def _cores(distance: np.ndarray, inside: np.ndarray, depth: float, least: int) -> np.ndarray:
    """Number the connected pieces that are deeper than ``depth`` and have ``least`` pixels."""
    cores: np.ndarray = ndimage.label(inside & (distance > depth))[0]
    small = np.bincount(cores.ravel()) < least
    small[0] = False
    return np.where(small[cores], 0, cores) if small.any() else cores


def _parents(children: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Seed that each child lies in, by the child's number; 0 where there is none."""
    at = np.nonzero(children)
    parents = np.zeros(int(children.max(initial=0)) + 1, np.int64)
    parents[children[at]] = seeds[at]
    return parents


def _seeds(distance: np.ndarray, inside: np.ndarray, config: DecodeConfig) -> np.ndarray:
    """Number the seeds: one for each nucleus.

    Cores at ``seed_depth`` are seeds. A higher sensitivity replaces a core by the deeper cores it
    falls apart into, a lower one unites cores that hang together at a lesser depth, so that more
    sensitivity never gives fewer seeds.
    """
    least = config.min_seed_px
    seeds = _cores(distance, inside, config.seed_depth, least)
    steps = (config.sensitivity - 0.5) / 0.1
    if steps < 0:
        wide: np.ndarray = ndimage.label(inside & (distance > config.seed_depth + 0.08 * steps))[0]
        with_core = np.zeros(int(wide.max(initial=0)) + 1, bool)
        with_core[wide[seeds > 0]] = True
        with_core[0] = False
        return np.where(with_core[wide], wide, 0)
    for step in range(1, round(steps) + 1):
        deeper = _cores(distance, inside, config.seed_depth + 0.08 * step, least)
        parents = _parents(deeper, seeds)
        numbers = np.unique(deeper[deeper > 0])
        count = np.bincount(parents[numbers], minlength=int(seeds.max(initial=0)) + 1)
        falls_apart = count >= 2
        falls_apart[0] = False
        if not falls_apart.any():
            continue
        mine = np.zeros(len(parents), bool)
        mine[numbers] = falls_apart[parents[numbers]]
        fresh = np.zeros(len(parents), np.int32)
        fresh[mine] = int(seeds.max()) + 1 + np.arange(int(mine.sum()))
        seeds = np.where(falls_apart[seeds], fresh[deeper], seeds)
    return seeds


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
    return renumber(pieces, _is_certain(pieces, probability, distance, config))


def foreground_depth(inside: np.ndarray) -> np.ndarray:
    """How deep pixels lie in convex parts of a foreground, for networks without a distance map.

    Parts are the basins of the smoothed distance to the background. Its square over the square of
    the part's largest is the depth, so that parts fall apart where a neck is narrower than about
    0.7 of the smaller one.

    Parameters
    ----------
    inside : (H, W) bool ndarray

    Returns
    -------
    (H, W) float32 ndarray
        0 in the background, 1 at the deepest point of each part.
    """
    import edt

    if not inside.any():
        return np.zeros(inside.shape, np.float32)
    distance = edt.edt(inside, black_border=False, parallel=1)
    # a field that is nothing but foreground has no distance
    np.minimum(distance, sum(inside.shape), out=distance)
    smooth = ndimage.gaussian_filter(distance, SMOOTH_PX) * inside
    peaks = peak_local_max(
        smooth, min_distance=PEAKS_PX, labels=inside.astype(np.int32), exclude_border=False
    )
    seeds = np.zeros(inside.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    parts = watershed(-smooth, seeds, mask=inside)
    deepest = np.zeros(len(peaks) + 1, np.float32)
    np.maximum.at(deepest, parts.ravel(), smooth.ravel())
    deepest[0] = np.inf
    depth = (smooth / deepest[parts]) ** 2
    # where nothing is deeper than the rest, all of it is one part
    return np.where(inside & (parts == 0), 1, depth).astype(np.float32)


def decode(names: Sequence[str], maps: np.ndarray, config: DecodeConfig) -> np.ndarray:
    """Turn a network's maps into a label image.

    Parameters
    ----------
    names : sequence of str
        What the maps are: ``probability`` and ``distance``; without distances, those of the
        foreground take their place.
    maps : (K, H, W) float ndarray
        In the order of ``names``.
    config : DecodeConfig

    Returns
    -------
    (H, W) int32 ndarray

    Raises
    ------
    ModelError
        If these maps cannot be decoded.
    """
    if "probability" not in names:
        raise ModelError("The model's maps cannot be decoded", "without probability")
    probability = maps[list(names).index("probability")]
    if "distance" in names:
        distance = maps[list(names).index("distance")]
    else:
        distance = foreground_depth(probability > config.probability)
    return maps_to_labels(probability, distance, config)
