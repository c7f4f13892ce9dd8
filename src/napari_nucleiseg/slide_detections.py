"""Detections of a slide: kept tile by tile, and joined block by block as in the whole picture.

What becomes of a detection depends on those that it shares pixels with, on those that they share
pixels with, and so on. Such a group is joined as a whole, so that it does not matter what else of
the picture is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .detections import Detection, join
from .windows import Window

# nuclei do not touch the border of what is joined, except at that of the picture
_ROOM_PX = 2


def save_detections(path: Path, detections: Sequence[Detection]) -> None:
    """Write the detections of a tile; masks take a bit for each pixel."""
    boxes = [(*d.origin, *d.mask.shape) for d in detections]
    with path.open("wb") as file:
        np.savez(
            file,
            boxes=np.array(boxes, np.int64).reshape(-1, 4),
            scores=np.array([d.score for d in detections], np.float64),
            classes=np.array([d.class_id for d in detections], np.int64),
            bits=np.packbits(
                np.concatenate([np.zeros(0, bool), *(d.mask.ravel() for d in detections)])
            ),
        )


def load_detections(path: Path) -> list[Detection]:
    """Read what `save_detections` has written."""
    with np.load(path) as kept:
        boxes, scores, classes = kept["boxes"], kept["scores"], kept["classes"]
        areas = boxes[:, 2] * boxes[:, 3]
        pixels = np.unpackbits(kept["bits"], count=int(areas.sum())).astype(bool)
    masks = np.split(pixels, np.cumsum(areas)[:-1])
    return [
        Detection((top, left), mask.reshape(height, width), score, kind)
        for (top, left, height, width), mask, score, kind in zip(
            boxes.tolist(), masks, scores.tolist(), classes.tolist(), strict=False
        )
    ]


def extent(detections: Sequence[Detection]) -> Window:
    """The smallest window that holds them all."""
    windows = [d.window for d in detections]
    return Window(
        *(slice(min(w[i].start for w in windows), max(w[i].stop for w in windows)) for i in (0, 1))
    )


def groups_of(detections: Sequence[Detection]) -> np.ndarray:
    """Number of the group of each detection: those that share pixels, by way of others too."""
    around = extent(detections)
    painted = np.zeros([part.stop - part.start for part in around], np.int32)
    pairs: list[tuple[int, int]] = []
    for number, detection in enumerate(detections):
        view = painted[Window(*detection.window).within(around)]
        # who painted a pixel before the last one is joined to the last one already
        below = np.unique(view[detection.mask])
        pairs += [(number, other - 1) for other in below[below > 0].tolist()]
        view[detection.mask] = number + 1
    count = len(detections)
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), (count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def join_own(
    detections: Sequence[Detection],
    block: Window,
    window: Window,
    shape: tuple[int, int],
    min_area_px: int,
) -> tuple[np.ndarray, list[int], Window, bool]:
    """Join the groups of detections that reach into a block.

    Parameters
    ----------
    detections : sequence of Detection
        All that share a pixel with ``window``, placed in the whole picture.
    block, window : Window
        The block, and what is known around it.
    shape : (int, int)
        Height and width of the whole picture.
    min_area_px : int
        See `detections.join`.

    Returns
    -------
    (h, w) int32 ndarray, list of int
        Labels, and the class of each.
    Window
        Where they lie.
    bool
        Whether a group reaches out of the window, so that some of it may not be known.
    """
    if not detections:
        return np.zeros([p.stop - p.start for p in block], np.int32), [], block, False
    groups = groups_of(detections)
    wanted = {g for d, g in zip(detections, groups, strict=True) if _meet(d.window, block)}
    own = [d for d, g in zip(detections, groups, strict=True) if g in wanted]
    if not own:
        return np.zeros([p.stop - p.start for p in block], np.int32), [], block, False
    around = extent(own)
    is_cut = any(a.start < w.start or a.stop > w.stop for a, w in zip(around, window, strict=True))
    around = Window(
        *(
            slice(min(a.start, b.start), max(a.stop, b.stop))
            for a, b in zip(around, block, strict=True)
        )
    ).grown(_ROOM_PX, shape)
    top, left = around.rows.start, around.columns.start
    moved = [replace(d, origin=(d.origin[0] - top, d.origin[1] - left)) for d in own]
    size = (around.rows.stop - top, around.columns.stop - left)
    labels, classes = join(moved, size, min_area_px)
    return labels, classes, around, is_cut


def _meet(one: tuple[slice, slice], other: tuple[slice, slice]) -> bool:
    """Whether two windows share a pixel."""
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))
