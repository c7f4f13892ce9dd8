"""Optimizers, one to a file; ``OPTIMIZERS.names()`` lists them."""

from ..registry import Registry

OPTIMIZERS = Registry(__name__, "optimizer")
