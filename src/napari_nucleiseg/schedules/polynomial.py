"""Polynomial: (1 - progress) to a power (Chen et al. 2017, arXiv 1606.00915)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from ..config import Config
from . import Schedule


class Options(Config):
    """Settings of a polynomial."""

    power: float = Field(0.9, gt=0, description="1 falls in a straight line")


def build(options: Options) -> Schedule:
    """Build the schedule."""

    def factor(progress: float, _scores: Sequence[float]) -> float:
        return float((1 - progress) ** options.power)

    return factor
