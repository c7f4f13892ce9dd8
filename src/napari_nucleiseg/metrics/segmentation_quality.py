"""SQ, the part of panoptic quality that looks at outlines: mean IoU of the matched nuclei.

References
----------
A. Kirillov, K. He, R. Girshick, C. Rother, P. Dollár, Panoptic segmentation, CVPR 2019,
doi:10.1109/CVPR.2019.00963, equation 2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._matching import Overlaps

TITLE = "SQ"


def score(overlaps: Overlaps, threshold: float = 0.5) -> float:
    """Mean IoU of matches at IoU 0.5; 0 without a match, 1 where neither image holds a nucleus."""
    if not overlaps.nuclei:
        return 1.0
    matched = overlaps.matched(threshold)
    return float(matched.mean()) if len(matched) else 0.0


def segmentation_quality(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean IoU of matches at IoU 0.5; 0 without a match, 1 where neither image holds a nucleus.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images.
    """
    return score(Overlaps.between(truth, prediction))


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Segmentation quality of two label images."""
    return segmentation_quality
