"""Whether one result is better than another: paired differences with their intervals, in words.

References
----------
Efron B, Tibshirani RJ (1993). An Introduction to the Bootstrap. Chapman & Hall; chapters 13 and 16.

Hesterberg TC (2015). What Teachers Should Know About the Bootstrap. The American Statistician 69,
371-386, doi:10.1080/00031305.2015.1089789: percentile intervals of few values are too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

RESAMPLES = 20_000
CONFIDENCE = 0.95
LEAST_IMAGES = 6
"""Of fewer images the difference says nothing about others."""

_AT_ONCE = 1000


@dataclass(frozen=True)
class Difference:
    """Mean of one result minus that of another, over the same images.

    Attributes
    ----------
    mean : float
    low, high : float
        Ends of the interval of confidence 0.95, for all ``comparisons`` together.
    images : int
    seeds : int
        Trainings of each, over which the results were averaged.
    comparisons : int
        Differences that are looked at together.
    """

    mean: float
    low: float
    high: float
    images: int
    seeds: int = 1
    comparisons: int = 1

    @property
    def can_tell(self) -> bool:
        """Whether there are enough images to say anything."""
        return self.images >= LEAST_IMAGES

    @property
    def is_significant(self) -> bool:
        """Whether there are enough images, and the interval leaves out 0."""
        return self.can_tell and (self.low > 0 or self.high < 0)

    def words(self, one: str, other: str) -> str:
        """Say it in plain words.

        Parameters
        ----------
        one, other : str
            What was compared.
        """
        if not self.can_tell:
            return (
                f"too few images to tell {one} from {other} "
                f"({self.images}, and {LEAST_IMAGES} are needed)"
            )
        if not self.is_significant:
            return f"no significant difference between {one} and {other} ({self._span()})"
        if self.mean > 0:
            return f"{one} is better than {other} ({self._span()})"
        turned = replace(self, mean=-self.mean, low=-self.high, high=-self.low)
        return turned.words(other, one)

    def _span(self) -> str:
        return f"{self.mean:+.3f}, 95 % interval {self.low:+.3f} to {self.high:+.3f}"


def paired_bootstrap(
    one: Sequence[float] | np.ndarray,
    other: Sequence[float] | np.ndarray,
    seed: int = 0,
    comparisons: int = 1,
) -> Difference:
    """Difference of two results on the same images, with its bootstrap interval.

    Images are drawn with replacement, each with both of its values (percentile interval, Efron and
    Tibshirani 1993, section 13.3), and where there are several trainings of each, these as well.
    The interval is as wide as few images require (expanded percentiles, Hesterberg 2015).

    Parameters
    ----------
    one, other : (N,) or (S, N) array of float
        Scores, image by image in the same order; of S trainings with the same S seeds.
    seed : int
    comparisons : int
        Differences that are looked at together: the interval is so wide that all of them hold
        with the confidence of 0.95 (Bonferroni).

    Returns
    -------
    Difference

    Raises
    ------
    ValueError
        If they are not of one shape, or empty.
    """
    from scipy.stats import norm, t

    values = np.asarray(one, float) - np.asarray(other, float)
    if values.ndim not in (1, 2) or np.shape(one) != np.shape(other) or not values.size:
        raise ValueError(f"{np.shape(one)} and {np.shape(other)} are no pairs of values")
    values = np.atleast_2d(values)
    seeds, images = values.shape
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(RESAMPLES // _AT_ONCE):
        drawn = rng.integers(0, images, (_AT_ONCE, images))
        if seeds == 1:
            parts.append(values[0, drawn].mean(1))
        else:
            trained = rng.integers(0, seeds, (_AT_ONCE, seeds))
            parts.append(values[trained[:, :, None], drawn[:, None, :]].mean((1, 2)))
    tail = (1 - CONFIDENCE) / comparisons / 2
    if images > 1:
        tail = float(norm.cdf(np.sqrt(images / (images - 1)) * t.ppf(tail, images - 1)))
    low, high = np.quantile(np.concatenate(parts), [tail, 1 - tail])
    return Difference(
        float(values.mean()), float(low), float(high), images, seeds, max(comparisons, 1)
    )
