"""Dice coefficient of the foreground (Dice 1945, doi:10.2307/1932409)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._matching import Overlaps

TITLE = "Dice"


def score(overlaps: Overlaps) -> float:
    """Twice the shared foreground over the sum of both; 1 where neither has any."""
    total = int(overlaps.true_areas.sum()) + int(overlaps.found_areas.sum())
    return 2 * int(overlaps.shared.sum()) / total if total else 1.0


def dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Twice the shared foreground over the sum of both; 1 where neither has any.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images; everything above 0 is foreground.
    """
    return score(Overlaps.between(truth, prediction))


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Foreground Dice of two label images."""
    return dice
