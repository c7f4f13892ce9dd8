"""One cycle: up, then far down, both by cosine (Smith & Topin 2019, arXiv 1708.07120).

Shares and factors are those of PyTorch's ``OneCycleLR``; the momentum stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from ..config import Config
from . import Schedule


class Options(Config):
    """Settings of one cycle."""

    rise: float = Field(0.3, gt=0, lt=1, description="share of the training that goes up")
    start: float = Field(25.0, ge=1, description="peak over the first rate")
    end: float = Field(1e4, ge=1, description="first over the last rate")


def _between(first: float, last: float, share: float) -> float:
    """Half a cosine wave from one value to another."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * share))


def build(options: Options) -> Schedule:
    """Build the schedule."""

    def factor(progress: float, _scores: Sequence[float]) -> float:
        first = 1 / options.start
        if progress < options.rise:
            return _between(first, 1.0, progress / options.rise)
        return _between(1.0, first / options.end, (progress - options.rise) / (1 - options.rise))

    return factor
