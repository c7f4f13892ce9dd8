"""Agreement of the numbers of nuclei: the smaller over the larger one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._matching import Overlaps

TITLE = "Count"


def score(overlaps: Overlaps) -> float:
    """Smaller number of nuclei over the larger one; 1 where neither image holds a nucleus."""
    fewer, more = sorted((len(overlaps.true_areas), len(overlaps.found_areas)))
    return fewer / more if more else 1.0


def count_agreement(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Smaller number of nuclei over the larger one; 1 where neither image holds a nucleus.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images.
    """
    return score(Overlaps.between(truth, prediction))


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Agreement of the counts of two label images."""
    return count_agreement
