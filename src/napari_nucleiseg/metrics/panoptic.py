"""Panoptic quality at IoU 0.5: how many nuclei are matched, and how well (Kirillov et al. 2019).

References
----------
A. Kirillov, K. He, R. Girshick, C. Rother, P. Dollár, Panoptic segmentation, CVPR 2019,
doi:10.1109/CVPR.2019.00963.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._matching import Overlaps

TITLE = "PQ"


def score(overlaps: Overlaps, threshold: float = 0.5) -> float:
    """Sum of matched IoU over TP + FP/2 + FN/2; 1 where neither image holds a nucleus."""
    if not overlaps.nuclei:
        return 1.0
    # equation 1 of the paper; TP + FP/2 + FN/2 is half of all nuclei. The paper matches at
    # IoU > 0.5, this (as AP does) at IoU >= 0.5
    return 2 * float(overlaps.matched(threshold).sum()) / overlaps.nuclei


def panoptic_quality(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Sum of matched IoU over TP + FP/2 + FN/2; 1 where neither image holds a nucleus.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images.
    """
    return score(Overlaps.between(truth, prediction))


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Panoptic quality of two label images."""
    return panoptic_quality
