"""Constant: the learning rate stays."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import Config
from . import Schedule


class Options(Config):
    """Settings of a constant rate; there are none."""


def build(_options: Options) -> Schedule:
    """Build the schedule."""

    def factor(_progress: float, _scores: Sequence[float]) -> float:
        return 1.0

    return factor
