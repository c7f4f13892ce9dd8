"""AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101).

Defaults are those of PyTorch: the paper's Adam with a decay of 0.01.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2


class Options(Config):
    """Settings of AdamW beside learning rate and weight decay."""

    beta1: float = Field(0.9, ge=0, lt=1, description="memory of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="memory of the squared gradient")
    eps: float = Field(1e-8, gt=0, description="keeps the division finite")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
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
