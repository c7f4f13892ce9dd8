"""Mean distance between the outlines of the foregrounds, both ways, in pixels; 0 is best.

References
----------
T. Heimann et al., Comparison and evaluation of methods for liver segmentation from CT datasets,
IEEE Transactions on Medical Imaging 28, 2009, doi:10.1109/TMI.2009.2013851.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._surfaces import foreground_distances, without

TITLE = "ASD (px)"


def surface_distance(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean distance of the points of either outline to the other one.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images; everything above 0 is foreground.

    Returns
    -------
    float
        In pixels, as MONAI computes it; 0 where both are empty, not a number where one is.
    """
    distances = foreground_distances(truth, prediction)
    return of_distances(distances) if distances is not None else without(truth, prediction)


def of_distances(distances: tuple[np.ndarray, np.ndarray]) -> float:
    """The same from the distances of either outline's points to the other one."""
    return float(np.concatenate(distances).mean())


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Mean surface distance of two label images."""
    return surface_distance
