"""Numbers of nuclei from run to run: the same nucleus keeps its number, and so its colour."""

from __future__ import annotations

import numpy as np


def keep_numbers(labels: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Give each nucleus the number of the earlier nucleus that it shares most pixels with.

    Each earlier number is given once, to the nucleus with the largest share; nuclei without a
    partner take the lowest free numbers.

    Parameters
    ----------
    labels : (H, W) int32 ndarray
        A new label image, 0 background.
    earlier : (H, W) integer ndarray
        A label image of the same field; numbers below 1 are background. One of another size is of
        another field: then the new numbers stay.

    Returns
    -------
    (H, W) int32 ndarray
        The same nuclei; the numbers may have gaps.
    """
    if labels.shape != earlier.shape or not labels.any():
        return labels
    both = (labels > 0) & (earlier > 0)
    pairs, shared = np.unique(
        labels[both].astype(np.int64) << 32 | earlier[both].astype(np.int64), return_counts=True
    )
    new, old = pairs >> 32, pairs & 0xFFFFFFFF
    partner: dict[int, int] = {}
    given: set[int] = set()
    for i in np.argsort(-shared, kind="stable"):
        number, before = int(new[i]), int(old[i])
        if number not in partner and before not in given:
            partner[number] = before
            given.add(before)
    used = np.unique(labels[labels > 0])
    alone = [int(number) for number in used if int(number) not in partner]
    # so many candidates that enough are free, whatever was given
    candidates = np.setdiff1d(np.arange(1, len(used) + len(given) + 1), list(given))
    partner.update(zip(alone, candidates.tolist(), strict=False))
    table = np.zeros(int(used[-1]) + 1, np.int32)
    table[list(partner)] = list(partner.values())
    numbered: np.ndarray = table[labels]
    return numbered
