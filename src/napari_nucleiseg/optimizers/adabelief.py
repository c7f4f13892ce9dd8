"""AdaBelief: steps by the belief in the gradient (Zhuang et al. 2020, arXiv 2010.07468).

Defaults are those of the paper's experiments with image networks; the decay is decoupled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from pytorch_optimizer import AdaBelief

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2


class Options(Config):
    """Settings of AdaBelief beside learning rate and weight decay."""

    beta1: float = Field(0.9, ge=0, lt=1, description="memory of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="memory of the squared gradient")
    eps: float = Field(1e-8, gt=0, description="keeps the division finite")
    rectify: bool = Field(False, description="rectify the first steps as RAdam does")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return AdaBelief(
        params,
        lr=learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        rectify=options.rectify,
        weight_decay=weight_decay,
    )
