"""Dice coefficient of the foreground (Dice 1945, doi:10.2307/1932409)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Twice the shared foreground over the sum of both; 1 where neither has any.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images; everything above 0 is foreground.
    """
    true, found = truth > 0, prediction > 0
    total = int(true.sum()) + int(found.sum())
    return 2 * int((true & found).sum()) / total if total else 1.0


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Foreground Dice of two label images."""
    return dice
