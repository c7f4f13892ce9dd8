"""Architectures, one to a file; ``MODELS.names()`` lists them."""

from ..registry import Registry

MODELS = Registry(__name__, "architecture")
