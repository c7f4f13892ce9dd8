"""Which predicted nucleus is which true one: overlaps and one-to-one matches."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

THRESHOLDS = tuple(float(t) for t in np.round(np.arange(0.5, 0.96, 0.05), 2))


def iou_matrix(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """IoU of every true nucleus (row) with every predicted one (column), both in label order."""
    true_ids, true_at = np.unique(truth, return_inverse=True)
    found_ids, found_at = np.unique(prediction, return_inverse=True)
    size = len(true_ids) * len(found_ids)
    overlap = np.bincount(true_at.ravel() * len(found_ids) + found_at.ravel(), minlength=size)
    overlap = overlap.reshape(len(true_ids), len(found_ids))
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    iou: np.ndarray = (overlap / union)[true_ids > 0][:, found_ids > 0]
    return iou


def match(iou: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Most matches with IoU >= threshold, and among those the ones with the largest sum of IoU.

    Returns
    -------
    rows, columns : (M,) int ndarrays
        Matched true and predicted nuclei.
    """
    good = iou >= threshold
    if not good.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows, columns = linear_sum_assignment(-good.astype(float) - iou / (2 * min(iou.shape)))
    kept = good[rows, columns]
    return rows[kept], columns[kept]
