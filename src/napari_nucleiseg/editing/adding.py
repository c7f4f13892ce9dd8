"""A new nucleus from a click or a dragged box."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from ..errors import SettingError, ShapeError
from ..instances import DecodeConfig, decode, foreground_depth
from .change import Change
from .operations import TOUCHING, next_number

WINDOW_PX = 48
_NOT_IN_BOX = "Draw the box closer around the nucleus, or paint it with the brush"
NEAR_PX = 3
LEAST_PROBABILITY = 0.1
LEAST_PX = 4
THRESHOLDS = 24

Place = tuple[float, float]
Corners = tuple[Place, Place]


def nucleus_from_maps(
    names: Sequence[str],
    maps: np.ndarray,
    labels: np.ndarray,
    *,
    click: Place | None = None,
    box: Corners | None = None,
    window_px: int = WINDOW_PX,
    taken: Collection[int] = (),
) -> Change:
    """Add the nucleus that the model's maps show at a click or in a box.

    The threshold of probability is lowered until the clicked nucleus stands out at half of its own
    height, so that one the model was unsure of is found as well; then the maps are decoded as in a
    segmentation. In a box, what stands out is one nucleus, however many the model sees.

    Parameters
    ----------
    names : sequence of str
        What the maps are: ``probability`` and, where the model has it, ``distance``.
    maps : (K, H, W) float ndarray
        In the order of ``names``, of the whole plane.
    labels : (H, W) integer ndarray
        Nuclei that are there; the new one takes background alone.
    click : (float, float), optional
        (y, x) in pixels.
    box : ((float, float), (float, float)), optional
        Two opposite corners, (y, x) in pixels.
    window_px : int
        How far around a click the nucleus can reach.
    taken : collection of int
        Numbers that it must not get.

    Raises
    ------
    SettingError
        If the maps show no nucleus there, or one is there already.
    """
    if maps.shape[1:] != labels.shape:
        raise ShapeError("Maps and labels differ in size", f"{maps.shape[1:]} and {labels.shape}")
    part, place = _part(labels, click, box, window_px)
    probability = np.where(labels[part] == 0, maps[list(names).index("probability")][part], 0)
    if place is None:
        top = float(np.percentile(probability[labels[part] == 0], 95))
    else:
        top = float(_near(place, probability).max(initial=0))
    if top < LEAST_PROBABILITY:
        raise SettingError(
            "The model sees no nucleus here",
            f"its probability is {top:.2f}",
            "Drag a box around the nucleus, or paint it" if box is None else _NOT_IN_BOX,
        )
    threshold = min(0.5, max(0.05, top / 2))
    distance = maps[list(names).index("distance")][part] if "distance" in names else None
    return _add(labels, part, place, probability, distance, threshold, taken)


def nucleus_from_pixels(
    pixels: np.ndarray,
    labels: np.ndarray,
    *,
    click: Place | None = None,
    box: Corners | None = None,
    window_px: int = WINDOW_PX,
    taken: Collection[int] = (),
) -> Change:
    """Add the nucleus that intensities show at a click or in a box, for models without maps.

    From a click the nucleus grows to the threshold at which its outline lies on the steepest edge;
    whether it is bright or dark is told by its surroundings. In a box Otsu's threshold divides, and
    the nucleus is what touches the box's border less.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) ndarray
    labels, click, box, window_px, taken
        See `nucleus_from_maps`.

    Raises
    ------
    SettingError
        If nothing stands out there.
    """
    if pixels.shape[:2] != labels.shape:
        raise ShapeError(
            "Micrograph and labels differ in size", f"{pixels.shape[:2]} and {labels.shape}"
        )
    part, place = _part(labels, click, box, window_px)
    grey = pixels[part].astype(np.float32)
    grey = ndimage.gaussian_filter(grey.mean(axis=2) if grey.ndim == 3 else grey, 1.0)
    if np.ptp(grey) == 0:
        raise SettingError(
            "Nothing stands out here", "all pixels are equal", "Paint the nucleus instead"
        )
    if place is None:
        is_bright = grey > threshold_otsu(grey)
        edge = np.concatenate([is_bright[0], is_bright[-1], is_bright[:, 0], is_bright[:, -1]])
        inside = is_bright if edge.mean() < 0.5 else ~is_bright
    else:
        inside = _steepest(grey, place)
    probability = (inside & (labels[part] == 0)).astype(np.float32)
    return _add(labels, part, place, probability, None, 0.5, taken)


def _steepest(grey: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    """The piece around a place whose outline lies on the steepest edge, of all thresholds."""
    centre, level = float(np.median(_near(place, grey))), float(np.median(grey))
    bright = grey if centre > level else -grey
    top = float(bright[place])
    slope = ndimage.gaussian_gradient_magnitude(grey, 1.0)
    best, chosen = 0.0, np.zeros(grey.shape, bool)
    low = level if centre > level else -level
    for threshold in np.linspace(top, low, THRESHOLDS + 1, endpoint=False)[1:]:
        pieces = ndimage.label(bright > threshold)[0]
        piece = pieces == pieces[place]
        if not pieces[place] or not LEAST_PX <= piece.sum() <= piece.size / 2:
            continue
        edge = float(slope[piece & ~ndimage.binary_erosion(piece, border_value=1)].mean())
        if edge > best:
            best, chosen = edge, piece
    return chosen


def _near(place: tuple[int, int], array: np.ndarray) -> np.ndarray:
    """What lies around a pixel."""
    y, x = place
    return array[max(0, y - NEAR_PX) : y + NEAR_PX + 1, max(0, x - NEAR_PX) : x + NEAR_PX + 1]


def _part(
    labels: np.ndarray, click: Place | None, box: Corners | None, window_px: int
) -> tuple[tuple[slice, slice], tuple[int, int] | None]:
    """Part of the plane to look at, and where in it the click is."""
    if (click is None) == (box is None):
        raise SettingError("A nucleus is added by a click or by a box", "", "Give one of them")
    if box is not None:
        low = np.maximum(np.rint(np.min(box, axis=0)).astype(int), 0)
        high = np.minimum(np.rint(np.max(box, axis=0)).astype(int) + 1, labels.shape)
        if (high - low < 2).any():
            raise SettingError("The box is too small or beside the image", str(box))
        part = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
        if not (labels[part] == 0).any():
            raise SettingError("The box holds no background", "", "Delete what is there first")
        return part, None
    y, x = (int(np.rint(v)) for v in click)  # type: ignore[union-attr]
    if not (0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]):
        raise SettingError("The click is beside the image", f"{click}", "Click into the image")
    if labels[y, x] > 0:
        raise SettingError(
            "There is a nucleus already", f"number {labels[y, x]}", "Click on background"
        )
    top, left = max(0, y - window_px), max(0, x - window_px)
    part = (slice(top, y + window_px + 1), slice(left, x + window_px + 1))
    part = tuple(slice(s.start, min(s.stop, n)) for s, n in zip(part, labels.shape, strict=True))  # type: ignore[assignment]
    return part, (y - top, x - left)


def _add(
    labels: np.ndarray,
    part: tuple[slice, slice],
    place: tuple[int, int] | None,
    probability: np.ndarray,
    distance: np.ndarray | None,
    threshold: float,
    taken: Collection[int],
) -> Change:
    """Decode a part of the maps and keep the nucleus that was meant."""
    inside = probability > threshold
    if place is None:
        found, wanted = ndimage.label(inside, TOUCHING)[0], 0
    else:
        depth = foreground_depth(inside) if distance is None else distance
        deepest = float(_near(place, np.where(inside, depth, 0)).max(initial=0))
        config = DecodeConfig(
            probability=threshold,
            seed_depth=min(0.5, deepest / 2),
            least_depth=0,
            certainty=0,
            min_area_px=LEAST_PX,
            min_seed_px=1,
        )
        maps = np.stack([probability, depth]).astype(np.float32)
        found = decode(("probability", "distance"), maps, config)
        wanted = int(found[place])
        if not wanted:
            around = np.bincount(_near(place, found).ravel(), minlength=2)
            wanted = int(around[1:].argmax()) + 1 if around[1:].any() else 0
    if place is None and found.any():
        wanted = int(np.bincount(found[found > 0]).argmax())
    new = ndimage.binary_fill_holes(found == wanted) & (labels[part] == 0) if wanted else inside
    if not wanted or new.sum() < LEAST_PX:
        if place is None:
            raise SettingError("No nucleus stands out in the box", "", _NOT_IN_BOX)
        raise SettingError(
            "No nucleus stands out here", "", "Drag a box around it, or paint the nucleus"
        )
    if place is not None and new.mean() > 0.5:
        raise SettingError(
            "What was clicked is larger than a nucleus can be",
            f"more than half of the {2 * WINDOW_PX} px around the click",
            "Drag a box around the nucleus, or paint it",
        )
    return Change.in_box(labels, part, np.where(new, next_number(labels, taken), labels[part]))
