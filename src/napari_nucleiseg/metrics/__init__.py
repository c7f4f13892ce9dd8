"""Scores of label images against true ones; one metric to a file.

``METRICS.names()`` lists them. A metric's ``build()`` gives a function of two label images, truth
first. Most have a ``score(overlaps)``, too: it computes the same number from an `Overlaps` table,
which is made once for all metrics of an image, and joined for the pooled score of many. They lie
between 0 and 1, and 1 is best. Those without look at outlines: distances in pixels, 0 is best, and
not a number where one of the images is empty; their ``of_distances`` takes the distances of the
outlines' points. ``TITLE`` is what tables call it.
"""

from __future__ import annotations

import numpy as np

from ..registry import Registry
from ._surfaces import foreground_distances, without

METRICS = Registry(__name__, "metric")


def scores_of_nuclei() -> list[str]:
    """Names of the metrics that need an `Overlaps` table and no more; they can be pooled."""
    return [name for name in METRICS.names() if hasattr(METRICS.module(name), "score")]


def distances_of_outlines() -> list[str]:
    """Names of the metrics that need the images; in pixels, smaller is better."""
    return [name for name in METRICS.names() if not hasattr(METRICS.module(name), "score")]


def outline_distances(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """All `distances_of_outlines` of two label images; the slow part is done once."""
    distances = foreground_distances(truth, prediction)
    if distances is None:
        return dict.fromkeys(distances_of_outlines(), without(truth, prediction))
    return {name: METRICS.module(name).of_distances(distances) for name in distances_of_outlines()}


def title(name: str) -> str:
    """What tables call a metric."""
    return str(getattr(METRICS.module(name), "TITLE", name.replace("_", " ")))
