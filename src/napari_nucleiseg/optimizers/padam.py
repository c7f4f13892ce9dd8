"""Padam: partly adaptive moments, between Adam and SGD (Chen et al. 2018, arXiv 1806.06763).

Adam divides by the square root of the mean squared gradient, that is, to the power p = 1/2. A
smaller p adapts less: at 1/2 this is AMSGrad, towards 0 SGD with momentum. Defaults are those of
the paper's experiments; weight decay is added to the gradient, as there.

References
----------
Chen, Zhou, Tang, Yang, Cao, Gu 2018, "Closing the Generalization Gap of Adaptive Gradient Methods
in Training Deep Neural Networks", arXiv 1806.06763, algorithm 1; the corrections of the start are
those of Adam (Kingma & Ba 2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from pydantic import Field

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 0.1, 5e-4


class Options(Config):
    """Settings of Padam beside learning rate and weight decay."""

    p: float = Field(0.125, gt=0, le=0.5, description="how far to adapt: 0.5 is Adam, near 0 SGD")
    beta1: float = Field(0.9, ge=0, lt=1, description="memory of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="memory of the squared gradient")
    eps: float = Field(1e-8, gt=0, description="keeps the division finite")
    amsgrad: bool = Field(True, description="keep the largest squared gradient, as the paper does")


class Padam(torch.optim.Optimizer):
    """See the module's first lines."""

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
        learning_rate: float,
        weight_decay: float,
        options: Options,
    ) -> None:
        super().__init__(
            params, {"lr": learning_rate, "weight_decay": weight_decay, **options.model_dump()}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step by the gradients that are there, or that ``closure`` computes."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    self._move(weights, weights.grad, group)
        return loss

    def _move(self, weights: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        beta1, beta2 = group["beta1"], group["beta2"]
        state = self.state[weights]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(weights)
            state["square"] = torch.zeros_like(weights)
            if group["amsgrad"]:
                state["largest"] = torch.zeros_like(weights)
        state["step"] += 1
        if group["weight_decay"]:
            gradient = gradient.add(weights, alpha=group["weight_decay"])
        mean, square = state["mean"], state["square"]
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if group["amsgrad"]:
            square = torch.maximum(state["largest"], square, out=state["largest"])
        start = math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
        # theta <- theta - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps)^(2p)
        divisor = square.sqrt().add_(group["eps"]).pow_(2 * group["p"])
        weights.addcdiv_(mean, divisor, value=-group["lr"] * start)


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return Padam(params, learning_rate, weight_decay, options)
