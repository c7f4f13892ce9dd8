"""Scores of label images against true ones; one metric to a file."""

from ..registry import Registry

METRICS = Registry(__name__, "metric")
