"""NAdam: Adam with Nesterov momentum (Dozat 2016, ICLR workshop).

Defaults are those of PyTorch; the momentum's own schedule is the paper's. Weight decay is added to
the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.0


class Options(Config):
    """Settings of NAdam beside learning rate and weight decay."""

    beta1: float = Field(0.9, ge=0, lt=1, description="memory of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="memory of the squared gradient")
    eps: float = Field(1e-8, gt=0, description="keeps the division finite")
    momentum_decay: float = Field(
        4e-3, ge=0, description="how fast the momentum reaches its full strength"
    )


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return torch.optim.NAdam(
        params,
        lr=learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        momentum_decay=options.momentum_decay,
        weight_decay=weight_decay,
    )
