"""Recall at IoU 0.5: matched nuclei over all true ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._matching import Overlaps

TITLE = "Recall"


def score(overlaps: Overlaps, threshold: float = 0.5) -> float:
    """TP / (TP + FN) at an IoU threshold; without any nucleus 1, without a true one 0."""
    if not overlaps.nuclei:
        return 1.0
    true = len(overlaps.true_areas)
    return len(overlaps.matches(threshold)) / true if true else 0.0


def recall(truth: np.ndarray, prediction: np.ndarray, threshold: float = 0.5) -> float:
    """TP / (TP + FN); without any nucleus 1, without a true one 0.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images.
    threshold : float
        Least IoU of a match, 0.5 to 1.
    """
    return score(Overlaps.between(truth, prediction), threshold)


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Recall at IoU 0.5 of two label images."""
    return recall
