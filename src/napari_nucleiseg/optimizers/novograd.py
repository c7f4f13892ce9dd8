"""NovoGrad: steps by the gradient's norm in each layer (Ginsburg et al. 2019, arXiv 1905.11286).

Memories are those of the paper, rate and decay close to those of its image networks; the decay is
added to the normalised gradient, as there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from pytorch_optimizer import NovoGrad

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 1e-2, 1e-3


class Options(Config):
    """Settings of NovoGrad beside learning rate and weight decay."""

    beta1: float = Field(0.95, ge=0, lt=1, description="memory of the mean gradient")
    beta2: float = Field(0.98, ge=0, lt=1, description="memory of the squared norm")
    eps: float = Field(1e-8, gt=0, description="keeps the division finite")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return NovoGrad(
        params,
        lr=learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        weight_decay=weight_decay,
    )
