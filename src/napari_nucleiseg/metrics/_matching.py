"""Which predicted nucleus is which true one: overlaps and one-to-one matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import SettingError, ShapeError

THRESHOLDS = tuple(float(t) for t in np.round(np.arange(0.5, 0.96, 0.05), 2))

# pixels looked at in one go: the tables of a band stay small however large the image is
_BAND_PX = 1 << 22


@dataclass(frozen=True)
class Overlaps:
    """All that scores need to know of two label images: areas, and who overlaps whom by how much.

    Its size grows with the nuclei and the pairs of them that touch the same pixel, not with the
    product of their numbers.

    Attributes
    ----------
    true_areas : (N,) int64 ndarray
        Pixels of each true nucleus, in label order.
    found_areas : (M,) int64 ndarray
        Pixels of each predicted nucleus, in label order.
    rows, columns : (K,) int64 ndarray
        Pairs of a true and a predicted nucleus that share a pixel, as indices into the areas.
    shared : (K,) int64 ndarray
        Pixels each pair shares.
    true_ids : (N,) int64 ndarray
        Numbers of the true nuclei in their label image, ascending.
    found_ids : (M,) int64 ndarray
        Numbers of the predicted nuclei in theirs, ascending.
    """

    true_areas: np.ndarray
    found_areas: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    shared: np.ndarray
    true_ids: np.ndarray
    found_ids: np.ndarray

    @classmethod
    def between(cls, truth: np.ndarray, prediction: np.ndarray) -> Overlaps:
        """Compare two label images.

        Parameters
        ----------
        truth, prediction : (H, W) integer ndarray
            Label images; every value above 0 is one nucleus, the rest is background. Numbers may
            have gaps.

        Raises
        ------
        ShapeError
            If they differ in size.
        """
        if truth.shape != prediction.shape:
            raise ShapeError(
                "True and predicted label image differ in size",
                f"{truth.shape} and {prediction.shape}",
                "Compare label images of the same field of view",
            )
        band = max(1, _BAND_PX // max(1, truth.size // max(1, len(truth))))
        found = [
            _count_pairs(truth[y : y + band], prediction[y : y + band])
            for y in range(0, len(truth), band)
        ]
        pairs, pixels = _sum_equal(
            np.concatenate([np.zeros((0, 2), np.int64), *(p for p, _ in found)]),
            np.concatenate([np.zeros(0, np.int64), *(n for _, n in found)]),
        )
        true_ids, true_at = np.unique(pairs[:, 0], return_inverse=True)
        found_ids, found_at = np.unique(pairs[:, 1], return_inverse=True)
        true_areas, found_areas = np.zeros(len(true_ids), int), np.zeros(len(found_ids), int)
        np.add.at(true_areas, true_at, pixels)
        np.add.at(found_areas, found_at, pixels)
        both = (pairs > 0).all(axis=1)
        # background, where there is any, is the first of the ids and no nucleus
        return cls(
            true_areas[true_ids > 0],
            found_areas[found_ids > 0],
            true_at[both] - int((true_ids == 0).any()),
            found_at[both] - int((found_ids == 0).any()),
            pixels[both],
            true_ids[true_ids > 0],
            found_ids[found_ids > 0],
        )

    @classmethod
    def joined(cls, tables: Sequence[Overlaps]) -> Overlaps:
        """Many images as one, for pooled scores: their nuclei side by side, none shared.

        Numbers of nuclei are those of each image, so that they repeat.
        """
        rows, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        first_row = first_column = 0
        for table in tables:
            rows.append(table.rows + first_row)
            columns.append(table.columns + first_column)
            first_row += len(table.true_areas)
            first_column += len(table.found_areas)
        empty = np.zeros(0, np.int64)
        return cls(
            np.concatenate([empty, *(t.true_areas for t in tables)]),
            np.concatenate([empty, *(t.found_areas for t in tables)]),
            np.concatenate(rows),
            np.concatenate(columns),
            np.concatenate([empty, *(t.shared for t in tables)]),
            np.concatenate([empty, *(t.true_ids for t in tables)]),
            np.concatenate([empty, *(t.found_ids for t in tables)]),
        )

    @property
    def iou(self) -> np.ndarray:
        """(K,) float64 ndarray: intersection over union of each pair."""
        areas = self.true_areas[self.rows] + self.found_areas[self.columns]
        iou: np.ndarray = self.shared / (areas - self.shared)
        return iou

    @property
    def nuclei(self) -> int:
        """Number of true and predicted nuclei together."""
        return len(self.true_areas) + len(self.found_areas)

    def best_pairs(self) -> np.ndarray:
        """The prediction that each true nucleus has the largest IoU with.

        Returns
        -------
        (N,) int64 ndarray
            Its pair, as an index into ``rows`` and ``columns``; -1 where there is none. Of equal
            ones it is the first.
        """
        best = np.full(len(self.true_areas), -1)
        # the last to be written stays
        order = np.lexsort((-np.arange(len(self.rows)), self.iou))
        best[self.rows[order]] = order
        return best

    def matches(self, threshold: float) -> np.ndarray:
        """The most one-to-one matches there can be at a threshold.

        From 0.5 on there is nothing to choose. If a nucleus A has IoU >= 0.5 with two others, each
        shares at least half of A's pixels with it; they are disjoint, so each shares exactly half
        and reaches nowhere else. Then the three form a group of their own, in which one match of
        IoU 0.5 is all there can be, whichever of the two it is.

        Parameters
        ----------
        threshold : float
            Least IoU of a match, 0.5 to 1.

        Returns
        -------
        (TP,) int64 ndarray
            Which of the pairs are matches, as indices into ``rows`` and ``columns``.

        Raises
        ------
        SettingError
            If the threshold lies below 0.5.
        """
        if not 0.5 <= threshold <= 1:
            raise SettingError(
                "An IoU threshold must lie between 0.5 and 1",
                str(threshold),
                "Below 0.5 it is not clear which nucleus is which",
            )
        good = np.flatnonzero(self.iou >= threshold)
        good = good[np.unique(self.rows[good], return_index=True)[1]]
        good = good[np.unique(self.columns[good], return_index=True)[1]]
        found: np.ndarray = good
        return found

    def matched(self, threshold: float) -> np.ndarray:
        """(TP,) float64 ndarray: IoU of each of the `matches` at a threshold."""
        matched: np.ndarray = self.iou[self.matches(threshold)]
        return matched


def _count_pairs(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of labels that lie on each other and their pixels, background included as 0."""
    true, found = truth.ravel(), prediction.ravel()
    # label images are made of runs: a few for each nucleus and line instead of all its pixels
    starts = np.concatenate(
        [[0], 1 + np.flatnonzero((true[1:] != true[:-1]) | (found[1:] != found[:-1]))]
    )[: true.size]
    lengths = np.diff(starts, append=true.size)
    pairs = np.stack([true[starts], found[starts]], axis=1).astype(np.int64)
    return _sum_equal(np.maximum(pairs, 0), lengths)


def _sum_equal(pairs: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pair once, with its pixels added up; sorted."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, pixels = pairs[order], pixels[order]
    first = np.ones(len(pairs), bool)
    first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    starts = np.flatnonzero(first)
    return pairs[starts], np.add.reduceat(pixels, starts) if len(starts) else pixels
