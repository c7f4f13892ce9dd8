"""Cosine: half a wave from the peak to zero (Loshchilov & Hutter 2017, arXiv 1608.03983)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..config import Config
from . import Schedule


class Options(Config):
    """Settings of a cosine; there are none."""


def build(_options: Options) -> Schedule:
    """Build the schedule."""

    def factor(progress: float, _scores: Sequence[float]) -> float:
        return 0.5 * (1 + math.cos(math.pi * progress))

    return factor
