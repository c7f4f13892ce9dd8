"""Losses of semantic networks, one to a file; ``LOSSES.names()`` lists them.

A file has ``Options``, its settings, and ``build(options)``, which gives a `Loss`. Pixels that do
not count are left out of every sum, so that nothing in them reaches the loss or its gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]
"""From logits (B, 2, H, W) of background and foreground, the truth (B, 1, H, W), 1 in nuclei, and
which pixels count (B, 1, H, W), to a scalar."""

LOSSES = Registry(__name__, "loss")
