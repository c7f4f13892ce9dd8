"""Step: down at milestones (He et al. 2016, arXiv 1512.03385).

The milestones at 1/2 and 3/4 are those of the paper's CIFAR networks.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from ..config import Config
from . import Schedule


class Options(Config):
    """Settings of steps."""

    milestones: tuple[float, ...] = Field(
        (0.5, 0.75), description="shares of the training after which the rate falls"
    )
    gamma: float = Field(0.1, gt=0, lt=1, description="factor of each fall")


def build(options: Options) -> Schedule:
    """Build the schedule."""

    def factor(progress: float, _scores: Sequence[float]) -> float:
        return float(options.gamma ** sum(progress >= m for m in options.milestones))

    return factor
