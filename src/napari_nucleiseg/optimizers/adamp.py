"""AdamP: Adam that lets scale-invariant weights not grow (Heo et al. 2021, arXiv 2006.08217).

Defaults are those of the paper's code; the decay is decoupled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from pytorch_optimizer import AdamP

from ..config import Config
from ._layout import contiguous

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2


class Options(Config):
    """Settings of AdamP beside learning rate and weight decay."""

    beta1: float = Field(0.9, ge=0, lt=1, description="memory of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="memory of the squared gradient")
    eps: float = Field(1e-8, gt=0, description="keeps the division finite")
    delta: float = Field(
        0.1,
        gt=0,
        le=1,
        description="weights whose gradient is closer to a right angle are projected",
    )
    wd_ratio: float = Field(
        0.1, ge=0, le=1, description="share of the weight decay for projected weights"
    )
    nesterov: bool = Field(False, description="look ahead before the step")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return AdamP(
        contiguous(params),
        lr=learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        delta=options.delta,
        wd_ratio=options.wd_ratio,
        nesterov=options.nesterov,
        weight_decay=weight_decay,
    )
