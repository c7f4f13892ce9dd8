"""Plateau: down when the score on held-out micrographs no longer rises.

It is counted in scores, of which there is one every ``validate_every`` epochs.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from ..config import Config
from . import Schedule

SCORES = True


class Options(Config):
    """Settings of a plateau."""

    patience: int = Field(3, ge=1, description="scores without a gain before the rate falls")
    gamma: float = Field(0.3, gt=0, lt=1, description="factor of each fall")
    gain: float = Field(1e-3, ge=0, description="smallest rise of the score that counts")


def build(options: Options) -> Schedule:
    """Build the schedule."""

    def factor(_progress: float, scores: Sequence[float]) -> float:
        best, waited, falls = -1.0, 0, 0
        for score in scores:
            if score > best + options.gain:
                best, waited = score, 0
            else:
                waited += 1
            if waited == options.patience:
                waited, falls = 0, falls + 1
        return float(options.gamma**falls)

    return factor
