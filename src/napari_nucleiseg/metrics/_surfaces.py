"""Outlines of nuclei as points, and how far two of them lie apart.

As in MONAI, the outline of a mask is its pixels with a neighbour, of four, outside of it, where
beyond the image's border all is outside; a distance is that of pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# above this many distances a tree is faster than to compute them all, and needs less memory
_ALL_DISTANCES = 1 << 16


@dataclass(frozen=True)
class Outlines:
    """Points of the outlines of all nuclei of a label image, nucleus by nucleus.

    Attributes
    ----------
    ids : (N,) int64 ndarray
        Numbers of the nuclei, ascending.
    starts : (N + 1,) int64 ndarray
        Where the points of each begin; the last is the number of points.
    points : (P, 2) float64 ndarray
        (y, x) in pixels.
    """

    ids: np.ndarray
    starts: np.ndarray
    points: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> Outlines:
        """Find the outlines of all nuclei, each seen alone.

        Parameters
        ----------
        labels : (H, W) integer ndarray
            Numbers below 1 are background.
        """
        inner = np.zeros(labels.shape, bool)
        core = inner[1:-1, 1:-1]
        down = labels[1:] == labels[:-1]
        right = labels[:, 1:] == labels[:, :-1]
        np.logical_and(down[1:, 1:-1], down[:-1, 1:-1], out=core)
        core &= right[1:-1, 1:]
        core &= right[1:-1, :-1]
        at = np.flatnonzero((labels > 0) & ~inner)
        numbers = labels.ravel()[at]
        order = np.argsort(numbers, kind="stable")
        numbers, at = numbers[order].astype(np.int64), at[order]
        ids, starts = np.unique(numbers, return_index=True)
        y, x = np.divmod(at, max(1, labels.shape[1]))
        return cls(ids, np.append(starts, len(at)), np.stack([y, x], 1).astype(float))

    def of_nucleus(self, index: int) -> np.ndarray:
        """(P, 2) float64 ndarray: points of one nucleus, by its place among the ids."""
        return self.points[self.starts[index] : self.starts[index + 1]]


def distances_between(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each point of an outline to the nearest one of another, both ways.

    Parameters
    ----------
    one, other : (P, 2), (Q, 2) float ndarray
        At least one point each.

    Returns
    -------
    (P,) ndarray, (Q,) ndarray
    """
    from scipy.spatial import KDTree
    from scipy.spatial.distance import cdist

    if len(one) * len(other) > _ALL_DISTANCES:
        return KDTree(other).query(one)[0], KDTree(one).query(other)[0]
    squared = cdist(one, other, "sqeuclidean")
    return np.sqrt(squared.min(1)), np.sqrt(squared.min(0))


def foreground_distances(
    truth: np.ndarray, prediction: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Distances between the outlines of two foregrounds; none if one is empty.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images.
    """
    one, other = (Outlines.of((labels > 0).astype(np.uint8)) for labels in (truth, prediction))
    if not len(one.points) or not len(other.points):
        return None
    return distances_between(one.points, other.points)


def without(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Distance where there are not two outlines: 0 of two empty ones, not a number of one."""
    return float("nan") if (truth > 0).any() or (prediction > 0).any() else 0.0
