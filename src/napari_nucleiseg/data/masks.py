"""Label images that are masks: one number for many nuclei, or for a whole field of them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..instances import label_sizes

_TOUCHING = np.ones((3, 3), bool)
MOST_NUMBERS = 4
LEAST_PIECES = 8
LARGE_SHARE = 0.1
LEAST_SOLIDITY = 0.8


def _pieces(labels: np.ndarray, number: int) -> int:
    """How many connected pieces a nucleus lies in."""
    (box,) = ndimage.find_objects((labels == number).astype(np.uint8))
    return int(ndimage.label(labels[box] == number, _TOUCHING)[1])


def why_no_instances(labels: np.ndarray) -> str:
    """Say why a label image cannot have one number per nucleus; empty if it can.

    Noticed are few numbers that each lie in many pieces, as in a mask with a number for each kind
    of pixel, and a number for a large part of the field and of no compact shape, as in a mask in
    which nuclei touch.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    """
    sizes = label_sizes(np.maximum(labels, 0))
    numbers = np.flatnonzero(sizes[1:]) + 1
    if not numbers.size:
        return ""
    if len(numbers) <= MOST_NUMBERS:
        counts = [_pieces(labels, int(n)) for n in numbers]
        if max(counts) >= LEAST_PIECES:
            which = int(numbers[int(np.argmax(counts))])
            return (
                f"it has {len(numbers)} {'number' if len(numbers) == 1 else 'numbers'} alone, and "
                f"number {which} lies in {max(counts)} pieces: it is a mask of all nuclei, not one "
                "number for each"
            )
    largest = int(sizes[1:].argmax()) + 1
    share = sizes[largest] / labels.size
    if share > LARGE_SHARE and _solidity(labels == largest) < LEAST_SOLIDITY:
        return (
            f"number {largest} covers {100 * share:.0f} % of the field and has no compact shape: "
            "it is a mask in which nuclei touch, not one number for each"
        )
    return ""


def _solidity(mask: np.ndarray) -> float:
    """Area over that of the convex hull."""
    from skimage.morphology import convex_hull_image

    return float(mask.sum() / convex_hull_image(mask).sum())
