"""AJI, the aggregated Jaccard index: shared pixels of partners over all their pixels.

References
----------
N. Kumar et al., A dataset and a technique for generalized nuclear segmentation for computational
pathology, IEEE Transactions on Medical Imaging 36, 2017, doi:10.1109/TMI.2017.2677499, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._matching import Overlaps

TITLE = "AJI"


def score(overlaps: Overlaps) -> float:
    """Shared over united pixels of each true nucleus and its best prediction, extra ones added.

    A prediction may be the best of several true nuclei, as in the paper. Without any nucleus it
    is 1.
    """
    best = overlaps.best_pairs()
    has_partner = best >= 0
    pairs = best[has_partner]
    shared = overlaps.shared[pairs]
    partners = overlaps.columns[pairs]
    united = overlaps.true_areas[has_partner] + overlaps.found_areas[partners] - shared
    unused = np.ones(len(overlaps.found_areas), bool)
    unused[partners] = False
    total = (
        int(united.sum())
        + int(overlaps.true_areas[~has_partner].sum())
        + int(overlaps.found_areas[unused].sum())
    )
    return int(shared.sum()) / total if total else 1.0


def aggregated_jaccard(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Aggregated Jaccard index; 1 where neither image holds a nucleus.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images; which is which matters.
    """
    return score(Overlaps.between(truth, prediction))


def build() -> Callable[[np.ndarray, np.ndarray], float]:
    """Aggregated Jaccard index of two label images."""
    return aggregated_jaccard
