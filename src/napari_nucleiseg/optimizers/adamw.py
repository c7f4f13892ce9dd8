"""AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field

from ..config import Config


class Options(Config):
    """Settings of AdamW beside learning rate and weight decay."""

    beta1: float = Field(0.9, ge=0, lt=1, description="memory of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="memory of the squared gradient")
    eps: float = Field(1e-8, gt=0, description="keeps the division finite")


def build(
    params: Iterable[torch.nn.Parameter],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return torch.optim.AdamW(
        params,
        lr=learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        weight_decay=weight_decay,
    )
