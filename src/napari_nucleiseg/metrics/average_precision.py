"""AP: matched nuclei over matched, missed and extra ones (Kaggle Data Science Bowl 2018).

References
----------
J. C. Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl,
Nature Methods 16, 2019, doi:10.1038/s41592-019-0612-7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ._matching import THRESHOLDS, Overlaps

TITLE = "AP"


def ap_at(overlaps: Overlaps, thresholds: Sequence[float] = THRESHOLDS) -> np.ndarray:
    """TP / (TP + FP + FN) at each IoU threshold; see `average_precision`."""
    if not overlaps.nuclei:
        return np.ones(len(thresholds))
    hits = np.array([len(overlaps.matched(t)) for t in thresholds])
    ap: np.ndarray = hits / (overlaps.nuclei - hits)
    return ap


def average_precision(
    truth: np.ndarray, prediction: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> np.ndarray:
    """TP / (TP + FP + FN) at each IoU threshold; 1 where neither image holds a nucleus.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images.
    thresholds : sequence of float
        Least IoU of a match, 0.5 to 1.

    Returns
    -------
    (T,) float64 ndarray
    """
    return ap_at(Overlaps.between(truth, prediction), thresholds)


def score(overlaps: Overlaps) -> float:
    """Mean AP over IoU 0.50, 0.55, ... 0.95."""
    return float(ap_at(overlaps).mean())


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Mean AP over IoU 0.50, 0.55, ... 0.95 of two label images."""
    return lambda truth, prediction: score(Overlaps.between(truth, prediction))
