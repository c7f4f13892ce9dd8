"""LARS: SGD with a trust ratio for each layer (You et al. 2017, arXiv 1708.03888).

Trust coefficient, momentum and weight decay are those of the paper. Its rates of 2 and more belong
to batches of 512 and more, and biases and normalisations take steps of plain SGD here, so the
default is that of SGD.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from pytorch_optimizer import LARS

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 0.1, 5e-4


class Options(Config):
    """Settings of LARS beside learning rate and weight decay."""

    momentum: float = Field(0.9, ge=0, lt=1, description="memory of the gradient")
    nesterov: bool = Field(False, description="look ahead before the step")
    trust_coefficient: float = Field(
        1e-3, gt=0, description="step as a share of the layer's weights, at a learning rate of 1"
    )


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return LARS(
        params,
        lr=learning_rate,
        momentum=options.momentum,
        nesterov=options.nesterov,
        trust_coefficient=options.trust_coefficient,
        weight_decay=weight_decay,
    )
