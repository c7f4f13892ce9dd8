"""Whether one result is better than another: paired differences with their intervals, in words.

References
----------
Efron B, Tibshirani RJ (1993). An Introduction to the Bootstrap. Chapman & Hall; chapters 13 and 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
_AT_ONCE = 1000


@dataclass(frozen=True)
class Difference:
    """Mean of one result minus that of another, over the same images.

    Attributes
    ----------
    mean : float
    low, high : float
        Ends of the interval of confidence 0.95.
    images : int
    """

    mean: float
    low: float
    high: float
    images: int

    @property
    def is_significant(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def words(self, one: str, other: str) -> str:
        """Say it in plain words.

        Parameters
        ----------
        one, other : str
            What was compared.
        """
        if not self.is_significant:
            return f"no significant difference between {one} and {other} ({self._span()})"
        if self.mean > 0:
            return f"{one} is better than {other} ({self._span()})"
        turned = Difference(-self.mean, -self.high, -self.low, self.images)
        return turned.words(other, one)

    def _span(self) -> str:
        return f"{self.mean:+.3f}, 95 % interval {self.low:+.3f} to {self.high:+.3f}"


def paired_bootstrap(
    one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray, seed: int = 0
) -> Difference:
    """Difference of two results on the same images, with its bootstrap interval.

    Images are drawn with replacement, each with both of its values (percentile interval, Efron and
    Tibshirani 1993, section 13.3).

    Parameters
    ----------
    one, other : (N,) array of float
        Scores, image by image in the same order.
    seed : int

    Returns
    -------
    Difference

    Raises
    ------
    ValueError
        If they are not of one length, or empty.
    """
    values = np.asarray(one, float) - np.asarray(other, float)
    if values.ndim != 1 or np.shape(one) != np.shape(other) or not values.size:
        raise ValueError(f"{np.shape(one)} and {np.shape(other)} are no pairs of values")
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[rng.integers(0, values.size, (_AT_ONCE, values.size))].mean(1)
            for _ in range(RESAMPLES // _AT_ONCE)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Difference(float(values.mean()), float(low), float(high), int(values.size))
