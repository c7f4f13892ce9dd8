"""Cosine with warm restarts (SGDR, Loshchilov & Hutter 2017, arXiv 1608.03983)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from ..config import Config
from . import Schedule


class Options(Config):
    """Settings of cosines with restarts."""

    cycles: int = Field(3, ge=1, le=20, description="number of cosines")
    growth: float = Field(
        2.0, ge=1, le=10, description="length of a cosine, compared with the one before it"
    )


def build(options: Options) -> Schedule:
    """Build the schedule."""

    def factor(progress: float, _scores: Sequence[float]) -> float:
        lengths = [options.growth**n for n in range(options.cycles)]
        left = progress * sum(lengths)
        for length in lengths[:-1]:
            if left < length:
                break
            left -= length
        else:
            length = lengths[-1]
        return 0.5 * (1 + math.cos(math.pi * min(left / length, 1.0)))

    return factor
