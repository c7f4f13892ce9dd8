"""F1 at IoU 0.5: twice the matched nuclei over all true and all found ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._matching import Overlaps

TITLE = "F1"


def score(overlaps: Overlaps, threshold: float = 0.5) -> float:
    """2 TP / (2 TP + FP + FN) at an IoU threshold; 1 where neither image holds a nucleus."""
    if not overlaps.nuclei:
        return 1.0
    return 2 * len(overlaps.matched(threshold)) / overlaps.nuclei


def f1(truth: np.ndarray, prediction: np.ndarray, threshold: float = 0.5) -> float:
    """2 TP / (2 TP + FP + FN); 1 where neither image holds a nucleus.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images.
    threshold : float
        Least IoU of a match, 0.5 to 1.
    """
    return score(Overlaps.between(truth, prediction), threshold)


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """F1 at IoU 0.5 of two label images."""
    return f1
