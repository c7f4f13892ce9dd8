"""Scores of label images against true ones; one metric to a file.

``METRICS.names()`` lists them. A metric's ``build()`` gives a function of two label images, truth
first. Most have a ``score(overlaps)``, too: it computes the same number from an `Overlaps` table,
which is made once for all metrics of an image, and joined for the pooled score of many. They lie
between 0 and 1, and 1 is best. Those without look at outlines: distances in pixels, 0 is best, and
not a number where one of the images is empty. ``TITLE`` is what tables call it.
"""

from __future__ import annotations

from ..registry import Registry

METRICS = Registry(__name__, "metric")


def scores_of_nuclei() -> list[str]:
    """Names of the metrics that need an `Overlaps` table and no more; they can be pooled."""
    return [name for name in METRICS.names() if hasattr(METRICS.module(name), "score")]


def distances_of_outlines() -> list[str]:
    """Names of the metrics that need the images; in pixels, smaller is better."""
    return [name for name in METRICS.names() if not hasattr(METRICS.module(name), "score")]


def title(name: str) -> str:
    """What tables call a metric."""
    return str(getattr(METRICS.module(name), "TITLE", name.replace("_", " ")))
