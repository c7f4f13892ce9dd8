"""SAM: steps towards flat minima, two passes each (Foret et al. 2021, arXiv 2010.01412).

The first pass finds the worst weights within ``rho``, the second one the gradient there, by which
SGD with momentum then steps. Radius and weight decay are the paper's for image networks; the decay
is added to the gradient. A step costs twice the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from pytorch_optimizer import SAM

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 0.1, 5e-4
TWO_PASSES = True


class Options(Config):
    """Settings of SAM and of the SGD below it beside learning rate and weight decay."""

    rho: float = Field(0.05, gt=0, description="how far around to look for the worst weights")
    adaptive: bool = Field(
        False, description="measure distance relative to the weights (ASAM, Kwon et al. 2021)"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="memory of the gradient")
    nesterov: bool = Field(False, description="look ahead before the step")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return SAM(
        params,
        torch.optim.SGD,
        rho=options.rho,
        adaptive=options.adaptive,
        lr=learning_rate,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=weight_decay,
    )
