"""Delete, merge, split, fill, smooth, grow, shrink and renumber nuclei of one plane."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
from scipy import ndimage
from skimage.draw import line
from skimage.morphology import disk, local_maxima, reconstruction
from skimage.segmentation import watershed

from ..errors import SettingError
from ..instances import label_sizes
from .change import Change

TOUCHING = np.ones((3, 3), bool)
GAP_PX = 5
LEAST_WAIST_PX = 0.25
WAIST_STEPS = 24

Box = tuple[slice, ...]


def _mask(labels: np.ndarray, number: int, margin: int = 1) -> tuple[Box, np.ndarray]:
    """Box around a nucleus, and the nucleus in it; the box reaches no further than the image."""
    rows = np.flatnonzero((labels == number).any(axis=1)) if number > 0 else np.zeros(0, int)
    if not rows.size:
        raise SettingError(
            "There is no such nucleus", f"number {number}", "Choose one that is still there"
        )
    band = labels[rows[0] : rows[-1] + 1]
    columns = np.flatnonzero((band == number).any(axis=0))
    box = tuple(
        slice(max(0, int(found[0]) - margin), min(size, int(found[-1]) + 1 + margin))
        for found, size in zip((rows, columns), labels.shape, strict=True)
    )
    return box, labels[box] == number


def _around(boxes: Sequence[Box]) -> Box:
    """The box around boxes."""
    axes = zip(*boxes, strict=True)
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in axes)


def next_number(labels: np.ndarray, taken: Collection[int] = ()) -> int:
    """Number for a new nucleus: above all that are there or ``taken``, so never one used before."""
    return max(0, int(labels.max(initial=0)), *taken) + 1


def delete(labels: np.ndarray, numbers: int | Collection[int]) -> Change:
    """Remove nuclei.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    numbers : int or collection of int
    """
    wanted = [int(n) for n in (numbers if isinstance(numbers, Collection) else [numbers])]
    boxes = [_mask(labels, number, margin=0)[0] for number in wanted]
    if not boxes:
        raise SettingError("No nucleus is chosen", "", "Choose one or more")
    box = _around(boxes)
    part = labels[box]
    return Change.in_box(labels, box, np.where(np.isin(part, wanted), 0, part))


def merge(
    labels: np.ndarray, first: int, second: int, *, gap_px: int = GAP_PX, apart: bool = False
) -> Change:
    """Make two nuclei one; it gets the number of the first.

    Between nuclei that nearly touch the gap is closed, over background alone. Nuclei further
    apart are not merged, since one nucleus in two pieces is a mistake in training data.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    first, second : int
    gap_px : int
        The widest gap that is closed.
    apart : bool
        Merge them in any case, as pieces where they do not come together.

    Raises
    ------
    SettingError
        If they are the same, one is missing, or they do not come together.
    """
    if first == second:
        raise SettingError("Two different nuclei can be merged", f"{first} was chosen twice")
    box = _around([_mask(labels, number, gap_px)[0] for number in (first, second)])
    part = labels[box]
    one, two = part == first, part == second
    both, free = one | two, part == 0
    after = np.where(two, first, part)

    def pieces(mask: np.ndarray) -> int:
        return int(ndimage.label(mask, TOUCHING)[1])

    separate = pieces(one) + pieces(two)
    if pieces(both) == separate:
        distance, nearest = ndimage.distance_transform_edt(~one, return_indices=True)
        to_first = np.where(two, distance, np.inf)
        end = np.unravel_index(int(to_first.argmin()), part.shape)
        gap = float(distance[end]) - 1
        bridged = both
        if gap <= gap_px:
            radius = int(np.ceil(gap / 2)) + 1
            padded = np.pad(both, radius + 1)
            closed = ndimage.binary_closing(padded, disk(radius))
            inner = slice(radius + 1, -radius - 1)
            start = (int(nearest[0][end]), int(nearest[1][end]))
            between = np.zeros_like(both)
            between[line(*start, int(end[0]), int(end[1]))] = True
            bridged = both | (free & (closed[inner, inner] | between))
        if pieces(bridged) < separate:
            after = np.where(bridged & free, first, after)
        elif not apart:
            raise SettingError(
                "These nuclei do not touch",
                f"{first} and {second} are {max(gap, 0):.0f} px apart"
                + (", with another nucleus between them" if gap <= gap_px else ""),
                f"Paint in the gap first; gaps of up to {gap_px} px are closed",
            )
    return Change.in_box(labels, box, after)


def _numbered(
    labels: np.ndarray, box: Box, number: int, pieces: np.ndarray, taken: Collection[int]
) -> Change:
    """Give the largest piece the old number and the others new ones."""
    sizes = np.bincount(pieces[pieces > 0])
    ranked = [int(n) for n in np.argsort(-sizes, kind="stable") if sizes[n]]
    table = np.zeros(len(sizes), np.int64)
    table[ranked[0]] = number
    table[ranked[1:]] = next_number(labels, taken) + np.arange(len(ranked) - 1)
    inside = labels[box] == number
    return Change.in_box(labels, box, np.where(inside, table[pieces], labels[box]))


def split_by_line(
    labels: np.ndarray,
    number: int,
    points: Sequence[Sequence[float]] | np.ndarray,
    *,
    width_px: int = 0,
    taken: Collection[int] = (),
) -> Change:
    """Cut a nucleus along a drawn line; other nuclei stay as they are.

    Each connected piece becomes a nucleus; the largest keeps the number.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    number : int
    points : (N, 2) array-like
        Corners of the line as (y, x) in pixels, at least two.
    width_px : int
        Width of the gap that is left; with 0 no pixel is lost, those under the line go to the
        nearest piece.
    taken : collection of int
        Numbers that new nuclei must not get.

    Raises
    ------
    SettingError
        If the line does not cut it in two.
    """
    box, mask = _mask(labels, number, margin=0)
    corners = np.rint(np.asarray(points, float)).astype(int).reshape(-1, 2)
    drawn = np.zeros(labels.shape, bool)
    for start, stop in pairwise(corners):
        y, x = line(*start, *stop)
        # beside each diagonal step one more pixel: corners count as touching
        y, x = np.concatenate([y, y[1:]]), np.concatenate([x, x[:-1]])
        seen = (y >= 0) & (x >= 0) & (y < labels.shape[0]) & (x < labels.shape[1])
        drawn[y[seen], x[seen]] = True
    cut = drawn[box]
    if width_px > 1:
        cut = ndimage.distance_transform_edt(~cut) < (width_px + 1) / 2 if cut.any() else cut
    pieces, count = ndimage.label(mask & ~cut, TOUCHING)
    if count <= ndimage.label(mask, TOUCHING)[1]:
        raise SettingError(
            "The line does not cut the nucleus in two",
            f"number {number}",
            "Begin and end it outside of the nucleus",
        )
    if not width_px:
        nearest = ndimage.distance_transform_edt(
            pieces == 0, return_distances=False, return_indices=True
        )
        pieces = np.where(mask, pieces[tuple(nearest)], 0)
    return _numbered(labels, box, number, pieces, taken)


def _waist(mask: np.ndarray) -> tuple[float, np.ndarray]:
    """How pronounced the waist of a mask is (px), and two seeds, one to each side of it.

    The mask's distance to its outline has a peak on either side of a waist; how much the waist is
    narrower than the lesser peak is what the peak stands out by.
    """
    padded = np.pad(mask, 2)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(padded), 1.0) * padded
    # the height by which the second peak stands out, found by lowering the bar
    for height in np.geomspace(
        max(float(depth.max()), LEAST_WAIST_PX), LEAST_WAIST_PX, WAIST_STEPS
    ):
        flooded = reconstruction(np.maximum(depth - height, 0), depth, method="dilation")
        peaks, count = ndimage.label(local_maxima(flooded) & padded, TOUCHING)
        if count >= 2:
            highest = ndimage.maximum(depth, peaks, np.arange(1, count + 1))
            chosen = np.argsort(-highest, kind="stable")[:2] + 1
            seeds = np.zeros(padded.shape, np.int32)
            for n, peak in enumerate(chosen, start=1):
                seeds[peaks == peak] = n
            return float(height), watershed(-depth, seeds, mask=padded)[2:-2, 2:-2]
    return 0.0, mask.astype(np.int32)


def waist_depth(mask: np.ndarray) -> float:
    """By how much the waist is narrower than the lesser half of a nucleus.

    Parameters
    ----------
    mask : (H, W) bool ndarray
        One nucleus.

    Returns
    -------
    float
        From 0, no waist, to 1, two nuclei that hardly touch.
    """
    height, halves = _waist(mask)
    if height == 0:
        return 0.0
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    lesser = min(float(depth[halves == n].max(initial=0)) for n in (1, 2))
    return min(1.0, height / lesser) if lesser else 0.0


def split_at_waist(labels: np.ndarray, number: int, *, taken: Collection[int] = ()) -> Change:
    """Split a nucleus in two where it is narrowest; one in several pieces, into its pieces.

    No pixel is lost; the largest part keeps the number.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    number : int
    taken : collection of int
        Numbers that new nuclei must not get.

    Raises
    ------
    SettingError
        If it has no waist.
    """
    box, mask = _mask(labels, number, margin=0)
    pieces, count = ndimage.label(mask, TOUCHING)
    if count == 1:
        height, pieces = _waist(mask)
        if height == 0:
            raise SettingError(
                "The nucleus has no waist to split it at",
                f"number {number}",
                "Draw a line through it instead",
            )
    return _numbered(labels, box, number, pieces, taken)


def split_into_pieces(labels: np.ndarray, number: int, *, taken: Collection[int] = ()) -> Change:
    """Give each connected piece of a nucleus its own number; the largest keeps the old one."""
    box, mask = _mask(labels, number, margin=0)
    return _numbered(labels, box, number, ndimage.label(mask, TOUCHING)[0], taken)


def fill_holes(labels: np.ndarray, number: int) -> Change:
    """Fill the background that a nucleus encloses; a nucleus in it stays."""
    box, mask = _mask(labels, number, margin=0)
    part = labels[box]
    filled = ndimage.binary_fill_holes(mask) & (part == 0)
    return Change.in_box(labels, box, np.where(filled, number, part))


def smooth(labels: np.ndarray, number: int, *, radius_px: float = 2.0) -> Change:
    """Smooth the outline of a nucleus; it grows over background alone.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    number : int
    radius_px : float
        Standard deviation of the Gaussian that smooths. A nucleus too small for it stays as it is.
    """
    margin = int(np.ceil(3 * radius_px))
    box, mask = _mask(labels, number, margin)
    part = labels[box]
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), radius_px, mode="nearest")
    pieces, count = ndimage.label((blurred > 0.5) & (mask | (part == 0)), TOUCHING)
    if not count:
        return Change.in_box(labels, box, part)
    kept = pieces == 1 + int(np.argmax(np.bincount(pieces[pieces > 0])[1:]))
    if not (kept & mask).any():
        return Change.in_box(labels, box, part)
    return Change.in_box(labels, box, np.where(kept, number, np.where(mask, 0, part)))


def grow(labels: np.ndarray, number: int, *, pixels: int = 1) -> Change:
    """Grow a nucleus over the background around it, never into a neighbour."""
    box, mask = _mask(labels, number, pixels)
    part = labels[box]
    wider = ndimage.binary_dilation(mask, iterations=pixels, mask=mask | (part == 0))
    return Change.in_box(labels, box, np.where(wider, number, part))


def shrink(labels: np.ndarray, number: int, *, pixels: int = 1) -> Change:
    """Shrink a nucleus; where it touches the border of the image it stays.

    Raises
    ------
    SettingError
        If nothing would be left of it.
    """
    box, mask = _mask(labels, number, 1)
    # beyond the image is no background
    less = ndimage.binary_erosion(mask, iterations=pixels, border_value=1)
    if not less.any():
        raise SettingError(
            "Nothing would be left of the nucleus", f"number {number}", "Delete it instead"
        )
    return Change.in_box(labels, box, np.where(mask & ~less, 0, labels[box]))


def renumber(labels: np.ndarray) -> tuple[Change, dict[int, int]]:
    """Number the nuclei 1..N without gaps, in the order of their old numbers.

    Returns
    -------
    Change
    dict of int to int
        New number of each old one, for what is kept by number.
    """
    nuclei = np.maximum(labels, 0)
    present = label_sizes(nuclei) > 0
    present[0] = False
    table = np.where(present, np.cumsum(present), 0)
    change = Change.between(labels, np.where(labels < 0, labels, table[nuclei]))
    return change, {int(old): int(table[old]) for old in np.flatnonzero(present)}
