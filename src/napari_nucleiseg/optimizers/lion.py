"""Lion: steps by the sign of the momentum (Chen et al. 2023, arXiv 2302.06675).

Defaults are those of the paper, which advises a learning rate ten times smaller and a weight decay
ten times larger than those of AdamW; the decay is decoupled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from pytorch_optimizer import Lion

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 1e-4, 0.1


class Options(Config):
    """Settings of Lion beside learning rate and weight decay."""

    beta1: float = Field(0.9, ge=0, lt=1, description="share of the momentum in the step")
    beta2: float = Field(0.99, ge=0, lt=1, description="memory of the gradient")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return Lion(
        params,
        lr=learning_rate,
        betas=(options.beta1, options.beta2),
        weight_decay=weight_decay,
    )
