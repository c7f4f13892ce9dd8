"""LAMB: Adam with a trust ratio for each layer (You et al. 2020, arXiv 1904.00962).

Defaults are those of the paper; the decay is part of the step that the ratio scales.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from pytorch_optimizer import Lamb

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2


class Options(Config):
    """Settings of LAMB beside learning rate and weight decay."""

    beta1: float = Field(0.9, ge=0, lt=1, description="memory of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="memory of the squared gradient")
    eps: float = Field(1e-6, gt=0, description="keeps the division finite")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return Lamb(
        params,
        lr=learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        weight_decay=weight_decay,
    )
