"""SGD: stochastic gradient descent with momentum (Sutskever et al. 2013)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field

from ..config import Config


class Options(Config):
    """Settings of SGD beside learning rate and weight decay."""

    momentum: float = Field(0.9, ge=0, lt=1, description="memory of the gradient")
    nesterov: bool = Field(False, description="look ahead before the step")


def build(
    params: Iterable[torch.nn.Parameter],
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
