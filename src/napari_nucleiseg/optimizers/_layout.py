"""Memory layout of weights, for optimizers that look at them row by row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


def contiguous(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
) -> list[torch.nn.Parameter] | list[dict[str, Any]]:
    """Lay out weights row by row, in place; their gradients take the layout of the weights.

    Networks are trained with channels last, and the views of pytorch-optimizer's projections
    cannot cross that.
    """
    listed: list[Any] = list(params)
    for entry in listed:
        for weights in entry["params"] if isinstance(entry, dict) else [entry]:
            weights.data = weights.data.contiguous()
    return listed
