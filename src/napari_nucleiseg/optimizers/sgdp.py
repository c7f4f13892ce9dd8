"""SGDP: SGD that lets scale-invariant weights not grow (Heo et al. 2021, arXiv 2006.08217).

Defaults are those of the paper's experiments on ImageNet; weight decay is added to the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from pytorch_optimizer import SGDP

from ..config import Config
from ._layout import contiguous

LEARNING_RATE, WEIGHT_DECAY = 0.1, 1e-4


class Options(Config):
    """Settings of SGDP beside learning rate and weight decay."""

    momentum: float = Field(0.9, ge=0, lt=1, description="memory of the gradient")
    nesterov: bool = Field(True, description="look ahead before the step")
    delta: float = Field(
        0.1,
        gt=0,
        le=1,
        description="weights whose gradient is closer to a right angle are projected",
    )
    wd_ratio: float = Field(
        0.1, ge=0, le=1, description="share of the weight decay for projected weights"
    )
    eps: float = Field(1e-8, gt=0, description="keeps the division finite")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return SGDP(
        contiguous(params),
        lr=learning_rate,
        momentum=options.momentum,
        nesterov=options.nesterov,
        delta=options.delta,
        wd_ratio=options.wd_ratio,
        eps=options.eps,
        weight_decouple=False,
        weight_decay=weight_decay,
    )
