"""Classes of nuclei, carried by the numbers of a label image.

With K classes the n-th nucleus has the number (n - 1) K + c, where c is its class, 1..K. Whoever
knows nothing of classes sees distinct numbers and nothing else; with one class they are 1, 2, ...
"""

from __future__ import annotations

import numpy as np


def class_of(numbers: np.ndarray, classes: int) -> np.ndarray:
    """Class, 1..``classes``, of each positive number."""
    return np.asarray((numbers - 1) % classes + 1)


def with_class(nuclei: np.ndarray, kinds: np.ndarray, classes: int) -> np.ndarray:
    """Numbers that carry their class.

    Parameters
    ----------
    nuclei : integer ndarray
        Which nucleus, from 1.
    kinds : integer ndarray
        Class of each of them, 1..``classes``.
    classes : int
    """
    return np.asarray((nuclei - 1) * classes + kinds)
