"""AdaBound: Adam that turns into SGD (Luo et al. 2019, arXiv 1902.09843).

Defaults are those of the paper; weight decay is added to the gradient, as there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from pytorch_optimizer import AdaBound

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 5e-4


class Options(Config):
    """Settings of AdaBound beside learning rate and weight decay."""

    beta1: float = Field(0.9, ge=0, lt=1, description="memory of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="memory of the squared gradient")
    eps: float = Field(1e-8, gt=0, description="keeps the division finite")
    final_lr: float = Field(0.1, gt=0, description="learning rate of the SGD it turns into")
    gamma: float = Field(1e-3, gt=0, description="how fast it turns into SGD")
    amsbound: bool = Field(False, description="keep the largest squared gradient, as AMSGrad does")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return AdaBound(
        params,
        lr=learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        final_lr=options.final_lr,
        gamma=options.gamma,
        ams_bound=options.amsbound,
        weight_decouple=False,
        weight_decay=weight_decay,
    )
