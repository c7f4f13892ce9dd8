"""Adafactor: Adam with little memory (Shazeer & Stern 2018, arXiv 1804.04235).

Defaults are those of the paper's algorithm 4: steps relative to the size of the weights, at most
1e-2 of them; the decay is decoupled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field

from ..config import Config

LEARNING_RATE, WEIGHT_DECAY = 1e-2, 0.0


class Options(Config):
    """Settings of Adafactor beside learning rate and weight decay."""

    beta2_decay: float = Field(
        -0.8, lt=0, description="exponent by which the memory of the squared gradient grows"
    )
    smallest: float = Field(
        1e-3, gt=0, description="weights smaller than this move as if of this size"
    )
    clip: float = Field(1.0, gt=0, description="longer updates are shortened to this (RMS)")


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return torch.optim.Adafactor(
        params,
        lr=learning_rate,
        beta2_decay=options.beta2_decay,
        eps=(None, options.smallest),
        d=options.clip,
        weight_decay=weight_decay,
    )
