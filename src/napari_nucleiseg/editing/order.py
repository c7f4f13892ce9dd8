"""In which order nuclei are looked through."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..errors import SettingError, ShapeError

ORDERS = ("reading", "size", "uncertain")
BORDER_PX = 2


def order(
    labels: np.ndarray, by: str = "reading", probability: np.ndarray | None = None
) -> list[int]:
    """Numbers of the nuclei in the order they are looked through.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    by : {"reading", "size", "uncertain"}
        ``reading``: rows from the top, as high as a nucleus, each from the left. ``size``: small
        ones first, where most mistakes are. ``uncertain``: those first where the model's
        probability fits least, inside the nucleus (where it should be 1) and on a border of 2 px
        around it (where it should be 0).
    probability : (H, W) float ndarray, optional
        Needed for ``uncertain``.

    Raises
    ------
    SettingError
        If there is no such order, or the probability is missing.
    """
    if by not in ORDERS:
        raise SettingError("Unknown order of nuclei", repr(by), f"Known: {', '.join(ORDERS)}")
    labels = np.maximum(labels, 0)
    boxes = ndimage.find_objects(labels)
    numbers = np.array([n for n, box in enumerate(boxes, start=1) if box], np.int64)
    if not numbers.size:
        return []
    if by == "reading":
        # centres of the boxes: as good as those of mass to read by
        found = [box for box in boxes if box]
        y = np.array([box[0].start + box[0].stop for box in found]) / 2
        x = np.array([box[1].start + box[1].stop for box in found]) / 2
        height = np.median([box[0].stop - box[0].start for box in found])
        ranked = np.lexsort((x, y // height))
    elif by == "size":
        ranked = np.argsort(np.bincount(labels.ravel())[numbers], kind="stable")
    else:
        if probability is None:
            raise SettingError(
                "The order needs the model's probability",
                by,
                "Segment with a model that gives it, or choose another order",
            )
        ranked = np.argsort(_certainty(labels, probability)[numbers], kind="stable")
    return [int(n) for n in numbers[ranked]]


def _certainty(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Mean agreement of the probability with each nucleus and the border around it, 0..1."""
    if labels.shape != probability.shape:
        raise ShapeError(
            "Labels and probability differ in size", f"{labels.shape} and {probability.shape}"
        )
    around = ndimage.maximum_filter(labels, 2 * BORDER_PX + 1)
    wide = np.where(labels > 0, labels, around)
    agreement = np.where(labels > 0, probability, 1 - probability)
    size = int(labels.max()) + 1
    total = np.bincount(wide.ravel(), agreement.ravel(), minlength=size)
    return np.asarray(total / np.maximum(np.bincount(wide.ravel(), minlength=size), 1))
