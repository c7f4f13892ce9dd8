"""Images of errors whose colours alone change with the IoU threshold.

An image of marks holds a small number in each pixel that tells what to draw there: the outline of a
missed nucleus, the inside of one with an IoU of 0.83. Which nuclei are correct at a threshold is
then a matter of the table of colours, however large the image is.
"""

from __future__ import annotations

import numpy as np

from .comparison import Comparison, Kind, classify
from .overlay import outlines

LEAST, MOST, STEP = 0.5, 1.0, 0.01
THRESHOLDS = np.round(np.arange(round(LEAST / STEP), round(MOST / STEP) + 1) * STEP, 2)
"""Thresholds that marks tell apart."""

# kinds that no threshold changes; each has a mark for its line and one for what is inside
_FIXED = (Kind.MISSED, Kind.EXTRA, Kind.MERGED, Kind.SPLIT)
_FIRST_LEVEL = 1 + 2 * len(_FIXED)
# outermost pixels, those next to them, the inside
_PARTS = 3
MARKS = _FIRST_LEVEL + _PARTS * (len(THRESHOLDS) + 1)
"""How many marks there are, with 0 for background."""

FILL = {
    Kind.CORRECT: 0.0,
    Kind.MISSED: 0.2,
    Kind.EXTRA: 0.2,
    Kind.MERGED: 0.5,
    Kind.SPLIT: 0.2,
    Kind.POOR_OUTLINE: 0.2,
}
"""How opaque the inside of a nucleus is."""

LINES = {
    Kind.CORRECT: "thin line",
    Kind.MISSED: "dashes",
    Kind.EXTRA: "dots",
    Kind.MERGED: "line, filled",
    Kind.SPLIT: "dashes and dots",
    Kind.POOR_OUTLINE: "thick line",
}
"""How the outline of each kind is drawn."""

# parts of a period of the outline that are drawn; None is all of it
PATTERNS: dict[Kind, tuple[tuple[float, float], ...] | None] = {
    Kind.MISSED: ((0.0, 0.6),),
    Kind.EXTRA: ((0.0, 0.25), (0.5, 0.75)),
    Kind.MERGED: None,
    Kind.SPLIT: ((0.0, 0.45), (0.65, 0.8)),
}
_PERIOD_PX = 14


def mark_image(comparison: Comparison) -> np.ndarray:
    """Mark what is to be drawn in each pixel.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    (H, W) uint8 ndarray
        Marks below `MARKS`; what they look like at a threshold, `mark_colours` says.
    """
    places = comparison.places
    outer = outlines(places)
    inner = outlines(np.where(outer, 0, places)) & ~outer
    line, inside, second = _marks_of_places(comparison)
    image: np.ndarray = np.take(inside, places)
    at = np.flatnonzero(outer | inner)
    where = places.ravel()[at]
    is_outer = outer.ravel()[at]
    drawn = _drawn(comparison, places.shape[1], at, where, is_outer)
    marks = np.where(is_outer, line[where], second[where])
    image.ravel()[at] = np.where(drawn, marks, inside[where])
    return image


def _marks_of_places(comparison: Comparison) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mark of the outermost pixels, the inside and the second ring of each place."""
    kinds = comparison.kinds_of_places(classify(comparison.overlaps, LEAST))
    level = np.zeros(len(kinds), np.int64)
    count = len(comparison.best_iou)
    level[1 : count + 1] = np.searchsorted(THRESHOLDS, comparison.best_iou, side="right")
    # what has no partner at the least threshold is correct at none
    level[kinds == Kind.POOR_OUTLINE] = 0
    first = _FIRST_LEVEL + _PARTS * level
    line, second, inside = first, first + 1, first + 2
    for at, kind in enumerate(_FIXED):
        mine = kinds == kind
        line[mine] = second[mine] = 1 + 2 * at
        inside[mine] = 2 + 2 * at
    for marks in (line, second, inside):
        marks[kinds == 0] = 0
    return line.astype(np.uint8), inside.astype(np.uint8), second.astype(np.uint8)


def _drawn(
    comparison: Comparison, width: int, at: np.ndarray, where: np.ndarray, is_outer: np.ndarray
) -> np.ndarray:
    """Whether the pattern of its nucleus draws a pixel of an outline."""
    kinds = comparison.kinds_of_places(classify(comparison.overlaps, LEAST))
    y, x = np.divmod(at, width)
    length = np.bincount(where[is_outer], minlength=len(kinds))
    pixels = np.maximum(np.bincount(where, minlength=len(kinds)), 1)
    middle_y = np.bincount(where, y, minlength=len(kinds)) / pixels
    middle_x = np.bincount(where, x, minlength=len(kinds)) / pixels
    turn = np.arctan2(y - middle_y[where], x - middle_x[where]) / (2 * np.pi) + 0.5
    periods = np.clip(np.rint(length / _PERIOD_PX), 3, 24)
    phase = turn * periods[where] % 1
    drawn = np.ones(len(at), bool)
    for kind, pattern in PATTERNS.items():
        if pattern is None:
            continue
        mine = kinds[where] == kind
        drawn[mine] = False
        for start, end in pattern:
            drawn |= mine & (phase >= start) & (phase < end)
    return drawn


def kinds_of_marks(threshold: float) -> np.ndarray:
    """(MARKS,) uint8 ndarray: `Kind` that each mark shows at a threshold; 0 is background."""
    kinds = np.zeros(MARKS, np.uint8)
    for at, kind in enumerate(_FIXED):
        kinds[1 + 2 * at : 3 + 2 * at] = kind
    passed = int(np.searchsorted(THRESHOLDS, threshold))
    kinds[_FIRST_LEVEL:] = Kind.POOR_OUTLINE
    # level 1 is an IoU of the first threshold or more
    kinds[_FIRST_LEVEL + _PARTS * (passed + 1) :] = Kind.CORRECT
    return kinds


def mark_colours(threshold: float) -> np.ndarray:
    """Colours of the marks at a threshold.

    Parameters
    ----------
    threshold : float
        One of `THRESHOLDS`.

    Returns
    -------
    (MARKS, 4) float32 ndarray
        Red, green, blue and opacity, 0 to 1.
    """
    colours = np.zeros((MARKS, 4), np.float32)
    part = np.zeros(MARKS, int)
    part[2:_FIRST_LEVEL:2] = 2
    part[_FIRST_LEVEL:] = np.arange(MARKS - _FIRST_LEVEL) % _PARTS
    kinds = kinds_of_marks(threshold)
    for kind in Kind:
        mine = kinds == kind
        colours[mine, :3] = [int(kind.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        opacity = np.array([1.0, float(kind != Kind.CORRECT), FILL[kind]])
        colours[mine, 3] = opacity[part[mine]]
    return colours


def iou_of_marks() -> list[str]:
    """IoU of the nuclei with each mark, as far as the mark tells it; empty elsewhere."""
    words = [""] * _FIRST_LEVEL
    for level in range(len(THRESHOLDS) + 1):
        said = f"{THRESHOLDS[level - 1]:.2f}" if level else f"below {LEAST:.2f}"
        words += [said] * _PARTS
    return words


LEVELS = 102
"""Values of an image of levels: 0 is background, 1 to 101 stand for 0.00 to 1.00."""


def levels(values: np.ndarray) -> np.ndarray:
    """(N,) uint8 ndarray: values between 0 and 1 as levels."""
    rounded: np.ndarray = (1 + np.rint(100 * values)).astype(np.uint8)
    return rounded
