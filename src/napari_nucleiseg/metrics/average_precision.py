"""AP: matched nuclei over matched, missed and extra ones (Kaggle Data Science Bowl 2018)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ._matching import THRESHOLDS, iou_matrix, match


def average_precision(
    truth: np.ndarray, prediction: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> np.ndarray:
    """TP / (TP + FP + FN) at each IoU threshold; 1 where neither image holds a nucleus.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images.
    thresholds : sequence of float
        Least IoU of a match.

    Returns
    -------
    (T,) float64 ndarray
    """
    iou = iou_matrix(truth, prediction)
    total = sum(iou.shape)
    if not total:
        return np.ones(len(thresholds))
    hits = np.array([len(match(iou, t)[0]) for t in thresholds])
    return hits / (total - hits)


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Mean AP over IoU 0.50, 0.55, ... 0.95."""
    return lambda truth, prediction: float(average_precision(truth, prediction).mean())
