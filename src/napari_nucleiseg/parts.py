"""Label images in parts of whole nuclei, so that one that fits no memory can be gone through."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .windows import blocks_of

BLOCK_PX = 2048


class Part(NamedTuple):
    """Some nuclei of a label image, each of them whole.

    Attributes
    ----------
    labels : (h, w) integer ndarray
        Nuclei of other parts are 0 here.
    top, left : int
        Where it lies in the label image.
    """

    labels: np.ndarray
    top: int = 0
    left: int = 0


class Parts:
    """The parts of a label image; each nucleus is in one of them.

    Parameters
    ----------
    labels : (H, W) integer array
        Numpy, Zarr or Dask: read in windows. What is 0 or less is no nucleus.
    block_px : int
        Side of the blocks; a part holds the nuclei whose upper left corner is in a block, and is
        as much larger than that as they reach out of it.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the label image.
    """

    def __init__(self, labels: Any, block_px: int = BLOCK_PX) -> None:
        self.labels, self.shape, self.block_px = labels, tuple(labels.shape), block_px
        self._blocks = blocks_of(self.shape, block_px)

    @property
    def steps(self) -> int:
        """How often `go` yields."""
        return 2 * len(self._blocks)

    def go(self) -> Iterator[Part | None]:
        """Look where the nuclei are, block by block, and then give the parts.

        Yields
        ------
        Part or None
            None after each block that was only looked at, and in the place of an empty part.
        """
        found = []
        for rows, columns in self._blocks:
            labels = np.asarray(self.labels[rows, columns])
            y, x = rows.start, columns.start
            found.append(_boxes(labels) + np.array([0, y, x, y, x]))
            yield None
        boxes = _joined(np.concatenate(found))
        across = -(-self.shape[1] // self.block_px)
        block = boxes[:, 1] // self.block_px * across + boxes[:, 2] // self.block_px
        order = np.argsort(block, kind="stable")
        starts = np.searchsorted(block[order], np.arange(len(self._blocks) + 1))
        for start, stop in pairwise(starts.tolist()):
            own = boxes[order[start:stop]]
            yield self._part(own) if len(own) else None

    def _part(self, own: np.ndarray) -> Part:
        (top, left), (bottom, right) = own[:, 1:3].min(axis=0), own[:, 3:5].max(axis=0)
        labels = np.asarray(self.labels[top:bottom, left:right])
        return Part(np.where(np.isin(labels, own[:, 0]), labels, 0), int(top), int(left))


def _boxes(labels: np.ndarray) -> np.ndarray:
    """Number, top, left, bottom and right of each nucleus, (N, 5) int64."""
    from scipy import ndimage

    is_nucleus = labels > 0
    if not is_nucleus.any():
        return np.zeros((0, 5), np.int64)
    numbers = labels[is_nucleus].astype(np.int64)
    lowest = int(numbers.min())
    names, counted = None, numbers - (lowest - 1)
    if counted.max() > labels.size:
        # scattered over a wide range, they are counted anew: memory goes with the largest number
        names, counted = np.unique(numbers, return_inverse=True)
        counted += 1
    places = np.zeros(labels.shape, np.int64)
    places[is_nucleus] = counted
    return np.array(
        [
            (
                lowest + number if names is None else names[number],
                *(rows.start, columns.start, rows.stop, columns.stop),
            )
            for number, box in enumerate(ndimage.find_objects(places))
            if box is not None
            for rows, columns in [box]
        ],
        np.int64,
    )


def _joined(boxes: np.ndarray) -> np.ndarray:
    """One box for each number, in the order of numbers."""
    if not len(boxes):
        return boxes
    boxes = boxes[np.argsort(boxes[:, 0], kind="stable")]
    starts = np.flatnonzero(np.diff(boxes[:, 0], prepend=boxes[0, 0] - 1))
    low = np.minimum.reduceat(boxes[:, :3], starts)
    return np.concatenate([low, np.maximum.reduceat(boxes[:, 3:], starts)], axis=1)
