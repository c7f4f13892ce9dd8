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


def pieces_of(labels: np.ndarray, number: int) -> tuple[tuple[slice, ...], np.ndarray, int]:
    """Box of a nucleus, its connected pieces in it by number, and how many they are."""
    box = ndimage.find_objects((labels == number).astype(np.uint8))[0]
    pieces, count = ndimage.label(labels[box] == number, _TOUCHING)
    return box, pieces, int(count)


def why_no_instances(labels: np.ndarray) -> str:
    """Say why a label image cannot have one number per nucleus; empty if it can.

    Noticed are few numbers that each lie in many pieces, as in a mask with a number for each kind
    of pixel, and a single number for a large field of no compact shape, as in a mask in which all
    nuclei touch.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    """
    sizes = label_sizes(np.maximum(labels, 0))
    numbers = np.flatnonzero(sizes[1:]) + 1
    if not 0 < len(numbers) <= MOST_NUMBERS:
        return ""
    counts = [pieces_of(labels, int(n))[2] for n in numbers]
    if max(counts) >= LEAST_PIECES:
        which = int(numbers[int(np.argmax(counts))])
        return (
            f"it has {len(numbers)} {'number' if len(numbers) == 1 else 'numbers'} alone, and "
            f"number {which} lies in {max(counts)} pieces: it is a mask of all nuclei, not one "
            "number for each"
        )
    share = sizes[numbers[0]] / labels.size
    if len(numbers) == 1 and share > LARGE_SHARE and _solidity(labels > 0) < LEAST_SOLIDITY:
        return (
            f"all of its {100 * share:.0f} % of foreground is one nucleus of no compact shape: it "
            "is a mask in which nuclei touch, not one number for each"
        )
    return ""


def _solidity(mask: np.ndarray) -> float:
    """Area over that of the convex hull."""
    from skimage.morphology import convex_hull_image

    return float(mask.sum() / convex_hull_image(mask).sum())
