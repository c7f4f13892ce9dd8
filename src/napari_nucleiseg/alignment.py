"""Whether a label image lies on its micrograph, or beside it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage, signal
from skimage.segmentation import find_boundaries

MOST_PX = 40
LEAST_PX = 3
LEAST_GAIN = 0.08
LEAST_RATIO = 1.5


class Offset(NamedTuple):
    """How far labels lie beside their nuclei, (y, x) in pixels, and how much better they fit there.

    Attributes
    ----------
    y, x : int
        To be added to the position of the labels.
    fit, fit_there : float
        Correlation of outlines with edges where the labels are, and where they fit best.
    """

    y: int
    x: int
    fit: float
    fit_there: float

    @property
    def is_shifted(self) -> bool:
        """Whether the labels fit that much better elsewhere that they cannot be right."""
        far = max(abs(self.y), abs(self.x)) >= LEAST_PX
        better = self.fit_there > max(self.fit, 0) * LEAST_RATIO
        return far and better and self.fit_there - self.fit > LEAST_GAIN


def best_offset(grey: np.ndarray, labels: np.ndarray, most_px: int = MOST_PX) -> Offset:
    """Find where the outlines of a label image meet the edges of the micrograph best.

    Parameters
    ----------
    grey : (H, W) float ndarray
        Intensities of the micrograph.
    labels : (H, W) integer ndarray
    most_px : int
        The largest offset looked at.
    """
    edges = ndimage.gaussian_gradient_magnitude(grey.astype(np.float32), 1.5)
    # one bright nucleus must not outweigh all dim ones
    edges = np.minimum(edges, np.percentile(edges, 95))
    outlines = ndimage.gaussian_filter(
        find_boundaries(np.maximum(labels, 0)).astype(np.float32), 1.0
    )
    edges, outlines = edges - edges.mean(), outlines - outlines.mean()
    scale = float(np.sqrt((edges**2).sum() * (outlines**2).sum()))
    if scale == 0:
        return Offset(0, 0, 0.0, 0.0)
    fits = signal.fftconvolve(edges, outlines[::-1, ::-1]) / scale
    middle = (labels.shape[0] - 1, labels.shape[1] - 1)
    reach = tuple(min(most_px, m) for m in middle)
    near = fits[tuple(slice(m - r, m + r + 1) for m, r in zip(middle, reach, strict=True))]
    best = np.unravel_index(int(near.argmax()), near.shape)
    y, x = (int(b) - r for b, r in zip(best, reach, strict=True))
    return Offset(y, x, float(fits[middle]), float(near[best]))


def moved(labels: np.ndarray, offset: Offset) -> np.ndarray:
    """Labels moved by an offset; what is uncovered is ignored (-1).

    Returns
    -------
    (H, W) int32 ndarray
    """
    result = np.full(labels.shape, -1, np.int32)
    height, width = labels.shape
    y, x = offset.y, offset.x
    result[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)] = labels[
        max(0, -y) : height + min(0, -y), max(0, -x) : width + min(0, -x)
    ]
    return result
