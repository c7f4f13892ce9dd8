"""Hausdorff distance of the foreground at its 95th percentile, in pixels; 0 is best.

References
----------
D. P. Huttenlocher, G. A. Klanderman, W. J. Rucklidge, Comparing images using the Hausdorff
distance, IEEE Transactions on Pattern Analysis and Machine Intelligence 15, 1993,
doi:10.1109/34.232073.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._surfaces import foreground_distances, without

TITLE = "HD95 (px)"


def hausdorff_95(truth: np.ndarray, prediction: np.ndarray) -> float:
    """95 % of either outline lie within this distance of the other one.

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
    return float(max(np.percentile(d, 95) for d in distances))


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Hausdorff distance at the 95th percentile of two label images."""
    return hausdorff_95
