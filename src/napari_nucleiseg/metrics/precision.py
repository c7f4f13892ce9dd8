"""Precision at IoU 0.5: matched nuclei over all found ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._matching import Overlaps

TITLE = "Precision"


def score(overlaps: Overlaps, threshold: float = 0.5) -> float:
    """TP / (TP + FP) at an IoU threshold; without any nucleus 1, without a found one 0."""
    if not overlaps.nuclei:
        return 1.0
    found = len(overlaps.found_areas)
    return len(overlaps.matches(threshold)) / found if found else 0.0


def precision(truth: np.ndarray, prediction: np.ndarray, threshold: float = 0.5) -> float:
    """TP / (TP + FP); without any nucleus 1, without a found one 0.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images.
    threshold : float
        Least IoU of a match, 0.5 to 1.
    """
    return score(Overlaps.between(truth, prediction), threshold)


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Precision at IoU 0.5 of two label images."""
    return precision
