"""Scores of label images against true ones; one metric to a file.

``METRICS.names()`` lists them. A metric's ``build()`` gives a function of two label images, truth
first; its ``score(overlaps)`` computes the same number from an `Overlaps` table, which is made once
for all metrics of an image, and joined for the pooled score of many.
"""

from ..registry import Registry

METRICS = Registry(__name__, "metric")
