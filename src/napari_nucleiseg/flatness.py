"""Tiles that show nothing: glass beside tissue, or background without a nucleus."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# of the range of intensities: less varies in glass and empty background, averaged over 8×8 pixels,
# and in noise at most twice as much
_FLAT = 0.03
_MEAN_PX = 8
# extremes of the means of Gaussian noise in a tile are about as far apart as its deviation
_SPREAD = 1.1
# mean difference of two pixels of Gaussian noise of deviation 1: 2 / sqrt(pi)
_DIFFERENCE = 1.128


def is_flat(tile: np.ndarray) -> bool:
    """Whether a (C, h, w) rescaled tile shows nothing: glass, or background without a nucleus."""
    for component in _components(tile):
        means = _means(component)
        # rows apart tell the noise as well as all
        differences = np.abs(np.diff(component[::4], axis=1, append=component[::4, -1:]))
        noise = float(differences.mean()) / _DIFFERENCE
        allowed = min(max(_FLAT, _SPREAD * noise), 2 * _FLAT)
        if float(means.max() - means.min()) > allowed:
            return False
    return True


def structure(tile: np.ndarray) -> float:
    """How much a (C, h, w) rescaled tile shows: the largest standard deviation of its means."""
    return max(float(_means(component).std()) for component in _components(tile))


def _components(tile: np.ndarray) -> Iterator[np.ndarray]:
    """Give the components that differ: one of a grey tile."""
    yield from tile[:1] if (tile[0] == tile[-1]).all() else tile


def _means(component: np.ndarray) -> np.ndarray:
    """Means over 8×8 pixels, which noise hardly moves."""
    extra = [(0, -length % _MEAN_PX) for length in component.shape]
    padded = np.pad(component, extra, "edge")
    blocks = padded.reshape(padded.shape[0] // _MEAN_PX, _MEAN_PX, -1, _MEAN_PX)
    return np.asarray(blocks.mean(axis=(1, 3)))
