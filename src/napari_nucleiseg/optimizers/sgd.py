"""SGD: stochastic gradient descent with momentum (Sutskever et al. 2013).

Defaults are those that image networks are mostly trained with (He et al. 2016, arXiv 1512.03385);
weight decay is added to the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 0.1, 1e-4


class Options(Config):
    """Settings of SGD beside learning rate and weight decay."""

    momentum: float = Field(0.9, ge=0, lt=1, description="memory of the gradient")
    nesterov: bool = Field(False, description="look ahead before the step")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return torch.optim.SGD(
        params,
        lr=learning_rate,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=weight_decay,
    )
