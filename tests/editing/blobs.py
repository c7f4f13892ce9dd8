"""Label images made up from a seed."""

from __future__ import annotations

import numpy as np
from skimage.draw import disk


def blobs(seed: int, size: int = 40, count: int = 7) -> np.ndarray:
    """Discs that touch and cut each other, with gaps in the numbers and some ignored pixels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((size, size), np.int32)
    for number in rng.choice(np.arange(1, 50), count, replace=False):
        labels[disk(rng.uniform(0, size, 2), rng.uniform(2, 9), shape=labels.shape)] = number
    labels[0, : rng.integers(0, 5)] = -1
    return labels
