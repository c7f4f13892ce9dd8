"""What a network learns, made from label images: distances, offsets to the centre, borders."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

BORDER_PX = 5


def distance_and_offsets(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalised distance maps and centre offsets of a batch of label images.

    Parameters
    ----------
    labels : (B, H, W) integer ndarray
        0 is background, negative pixels are ignored, others one nucleus each.

    Returns
    -------
    distance : (B, 1, H, W) float32 ndarray
        Distance to the next pixel of another label, divided by the largest of the nucleus: 0 in
        the background, 1 at the deepest point of each nucleus. The border of the image is not an
        outline.
    offsets : (B, 2, H, W) float32 ndarray
        Vector (y, x) from the pixel to the centre of its nucleus, in units of the nucleus' deepest
        distance; 0 in the background.
    """
    import edt

    count, height, width = labels.shape
    distance = np.zeros((count, 1, height, width), np.float32)
    offsets = np.zeros((count, 2, height, width), np.float32)
    for i, image in enumerate(labels):
        at = np.nonzero(image > 0)
        if not at[0].size:
            continue
        ids, index = np.unique(image[at], return_inverse=True)
        depth = edt.edt(np.maximum(image, 0).astype(np.uint32), black_border=False, parallel=1)
        depth = np.minimum(depth[at], np.float32(height + width))
        deepest = np.zeros(len(ids), np.float32)
        np.maximum.at(deepest, index, depth)
        area = np.bincount(index)
        distance[i, 0][at] = depth / deepest[index]
        for axis in (0, 1):
            centre = np.bincount(index, at[axis]) / area
            offsets[i, axis][at] = (centre[index] - at[axis]) / np.maximum(deepest[index], 2)
    return distance, offsets


def borders(labels: np.ndarray) -> np.ndarray:
    """Where nuclei touch or nearly touch, in a batch of label images.

    Parameters
    ----------
    labels : (B, H, W) integer ndarray
        0 is background, negative pixels are ignored, others one nucleus each.

    Returns
    -------
    (B, 1, H, W) bool ndarray
        Whether a square of 5 px around the pixel meets two nuclei.
    """
    found = np.zeros((len(labels), 1, *labels.shape[1:]), bool)
    none = np.iinfo(np.int32).max
    for i, image in enumerate(labels):
        nuclei = image.astype(np.int32)
        largest = ndimage.maximum_filter(nuclei, BORDER_PX)
        smallest = ndimage.minimum_filter(np.where(nuclei > 0, nuclei, none), BORDER_PX)
        found[i, 0] = (largest > 0) & (smallest < largest)
    return found
