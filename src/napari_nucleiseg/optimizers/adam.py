"""Adam: adaptive moments (Kingma & Ba 2015, arXiv 1412.6980).

Defaults are those of the paper's algorithm 1; it has no weight decay, which here is added to the
gradient (for decoupled decay take AdamW).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.0


class Options(Config):
    """Settings of Adam beside learning rate and weight decay."""

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
    return torch.optim.Adam(
        params,
        lr=learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        weight_decay=weight_decay,
    )
