"""Intersection over union of the foreground, the Jaccard index.

References
----------
P. Jaccard, The distribution of the flora in the alpine zone, New Phytologist 11, 1912,
doi:10.1111/j.1469-8137.1912.tb05611.x.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._matching import Overlaps

TITLE = "IoU"


def score(overlaps: Overlaps) -> float:
    """Shared foreground over the foreground of either; 1 where neither has any."""
    shared = int(overlaps.shared.sum())
    either = int(overlaps.true_areas.sum()) + int(overlaps.found_areas.sum()) - shared
    return shared / either if either else 1.0


def iou(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Shared foreground over the foreground of either; 1 where neither has any.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images; everything above 0 is foreground.
    """
    return score(Overlaps.between(truth, prediction))


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Foreground IoU of two label images."""
    return iou
