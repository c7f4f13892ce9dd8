"""Low rank: how much of a layer's weights is structure, and how much is noise.

The weights are taken for a matrix of low rank under Gaussian noise of unknown strength. The
empirical variational Bayes solution of that model is known in closed form but for the noise, which
takes a search over one number; it says how many singular values stand above the noise and how far
noise has lengthened them.

References
----------
Nakajima, Sugiyama, Babacan, Tomioka 2013, "Global Analytic Solution of Fully-observed Variational
Bayesian Matrix Factorization", Journal of Machine Learning Research 14: 1-37.
Nakajima, Tomioka, Sugiyama, Babacan 2015, "Condition for Perfect Dimensionality Recovery by
Variational Bayesian PCA", Journal of Machine Learning Research 16: 3757-3811 (the form used here).
Hosseini, Tuli, Plataniotis 2022, "Exploiting Explainable Metrics for Augmented SGD", CVPR,
doi:10.1109/CVPR52688.2022.01005, arXiv 2203.16723 (stable rank and condition of a layer).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from .errors import ShapeError


@dataclass(frozen=True)
class LowRank:
    """The low-rank part of a matrix.

    Attributes
    ----------
    values : (rank,) float64 ndarray
        Singular values of the low-rank part, largest first; empty where all is noise.
    noise_variance : float
        Variance of one entry of the noise.
    """

    values: np.ndarray
    noise_variance: float


@dataclass(frozen=True)
class Measure:
    """What the low-rank part of a layer is like; a convolution is the mean of its two unfoldings.

    Attributes
    ----------
    rank : float
        Number of singular values above the noise.
    stable_rank : float
        0, no structure, to 1, all directions are used alike.
    condition : float
        Largest singular value over the smallest one; 0 where there is no low-rank part.
    """

    rank: float
    stable_rank: float
    condition: float


def factorise(matrix: np.ndarray) -> LowRank:
    """Part a matrix into low rank and noise; empirical variational Bayes.

    Parameters
    ----------
    matrix : (m, n) float ndarray

    Returns
    -------
    LowRank
        Finite for every finite matrix: singular values that the precision of ``matrix`` cannot tell
        from zero count as just that small, since the logarithm of zero is no number.

    Raises
    ------
    ShapeError
        If it is no matrix or holds what is no number.
    """
    precision = np.finfo(matrix.dtype if matrix.dtype.kind == "f" else np.float64).eps
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise ShapeError("Only a matrix has a low-rank part", f"shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ShapeError("The weights hold values that are no numbers", f"shape {matrix.shape}")
    rows, columns = sorted(matrix.shape)
    gamma = np.linalg.svd(matrix, compute_uv=False)
    largest = float(gamma[0])
    if largest == 0:
        return LowRank(np.empty(0), 0.0)
    smallest = columns * float(precision)
    gamma = np.maximum(gamma / largest, smallest)
    variance = _noise_variance(gamma, columns)
    _, edge = _threshold(rows / columns)
    kept = gamma[gamma > max(math.sqrt(columns * variance * edge), smallest)]
    # shrinkage of the values above the threshold (2015, Theorem 2)
    ratio = variance / kept**2
    half = 1 - (rows + columns) * ratio
    values = 0.5 * kept * (half + np.sqrt(np.maximum(half**2 - 4 * rows * columns * ratio**2, 0)))
    return LowRank(values * largest, variance * largest**2)


@lru_cache(maxsize=4096)
def _threshold(alpha: float) -> tuple[float, float]:
    """Solve for the smallest tau and x = gamma^2 / (M sigma^2) of a kept value; alpha = L/M."""

    def crossing(tau: float) -> float:
        # Xi(tau; alpha) = Phi(tau) + Phi(tau / alpha), Phi(z) = log(z + 1) / z - 1/2
        return math.log1p(tau) / tau + math.log1p(tau / alpha) / (tau / alpha) - 1

    tau = float(brentq(crossing, 1e-9 * alpha, 10.0, xtol=1e-14))
    return tau, (1 + tau) * (1 + alpha / tau)


def _noise_variance(gamma: np.ndarray, columns: int) -> float:
    """Find the noise variance with the lowest free energy (2015, Theorem 3).

    The free energy has many valleys, about one for each singular value, so a grid comes first.
    """
    rows = len(gamma)
    alpha = rows / columns
    _, edge = _threshold(alpha)
    square = gamma**2
    signals = math.ceil(rows / (1 + alpha)) - 1  # the most values that can stand above the noise
    low = max(
        float(square[signals]) / (columns * edge),
        float(square[signals:].sum()) / (columns * (rows - signals)),
    )
    high = float(square.sum()) / (rows * columns)
    if low >= high:
        return high

    def energy(log_variance: np.ndarray | float) -> np.ndarray:
        x = square / (columns * np.exp(np.atleast_1d(log_variance)[:, None]))
        total = (x - np.log(x)).sum(1)
        above = np.maximum(x, edge)
        lead = above - (1 + alpha)
        tau = 0.5 * (lead + np.sqrt(np.maximum(lead**2 - 4 * alpha, 0)))
        gain = np.log1p(tau) + alpha * np.log1p(tau / alpha) - tau
        total += np.where(x > edge, gain, 0).sum(1)
        result: np.ndarray = total
        return result

    kinks = np.log(square / (columns * edge))
    first, last = math.log(low), math.log(high)
    grid = np.unique(
        [*np.linspace(first, last, 256), *kinks[(kinks > first) & (kinks < last)].tolist()]
    )
    energies = energy(grid)
    best = int(np.argmin(energies))
    around = (float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)]))
    found = minimize_scalar(
        lambda u: float(energy(u)[0]), bounds=around, method="bounded", options={"xatol": 1e-10}
    )
    lowest = found.x if found.fun < energies[best] else grid[best]
    return math.exp(float(lowest))


def stable_rank(values: np.ndarray, size: int, *, squared: bool = False) -> float:
    """Share of the directions that a low-rank part uses.

    Parameters
    ----------
    values : (rank,) float ndarray
        Singular values, largest first.
    size : int
        Most singular values that the matrix can have.
    squared : bool
        The paper prints equation 2 both with and without squares. Its released code sums
        ``values / values[0]`` as they are, and so does this; True squares them first, which is
        what the literature calls stable rank.

    Returns
    -------
    float
        0 where there is no low-rank part, 1 where all singular values are alike.
    """
    if not len(values):
        return 0.0
    share = values / values[0]
    return float((share**2 if squared else share).sum() / size)  # equation 2


def measure(weights: np.ndarray, *, squared: bool = False) -> Measure:
    """Measure a layer.

    Parameters
    ----------
    weights : float ndarray of two or more axes
        Outputs and inputs come first. More than two axes are a convolution: it is unfolded along
        its outputs and along its inputs, and the two are averaged.
    squared : bool
        See `stable_rank`.

    Raises
    ------
    ShapeError
        If it has fewer axes, or holds what is no number.
    """
    found = []
    for matrix in unfold(weights):
        values = factorise(matrix).values
        # equation 3
        condition = float(values[0] / values[-1]) if len(values) else 0.0
        found.append(
            Measure(len(values), stable_rank(values, min(matrix.shape), squared=squared), condition)
        )
    structured = [m.condition for m in found if m.rank]
    return Measure(
        float(np.mean([m.rank for m in found])),
        float(np.mean([m.stable_rank for m in found])),
        float(np.mean(structured)) if structured else 0.0,
    )


def unfold(weights: np.ndarray) -> list[np.ndarray]:
    """Matrices of a layer: itself, or those along its outputs and along its inputs."""
    if weights.ndim < 2 or not weights.size:
        raise ShapeError("Only weights of two or more axes are a layer", f"shape {weights.shape}")
    if weights.ndim == 2:
        return [weights]
    return [np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1) for axis in (0, 1)]


def quality(found: Measure) -> float:
    """How well conditioned a layer's structure is: arctan(s / kappa), 0 to pi/4."""
    return math.atan(found.stable_rank / found.condition) if found.condition else 0.0  # equation 4


def layers_of(axes: Mapping[str, int]) -> dict[str, str]:
    """Find the layer that each parameter follows.

    Parameters
    ----------
    axes : mapping of str to int
        Number of axes of each parameter by its name, in the order of the network.

    Returns
    -------
    dict
        For each name the weights it follows: weights of two or more axes themselves; a bias those
        of its own module; a normalisation those before it, and at the very beginning those after
        it. Empty where the network has none.
    """
    weights = [name for name, count in axes.items() if count > 1]
    if not weights:
        return {}
    own: dict[str, str] = {}
    for name in weights:
        own.setdefault(name.rpartition(".")[0], name)
    found, before = {}, weights[0]
    for name, count in axes.items():
        if count > 1:
            before = name
        found[name] = name if count > 1 else own.get(name.rpartition(".")[0], before)
    return found
