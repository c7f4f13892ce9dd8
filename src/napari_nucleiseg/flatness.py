"""Tiles that show nothing: glass beside tissue, or background without a nucleus."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# of the range of intensities: less varies in glass and empty background, averaged over 8×8 pixels
_FLAT = 0.03
_MEAN_PX = 8


def is_flat(tile: np.ndarray) -> bool:
    """Whether a (C, h, w) rescaled tile shows nothing: glass, or background without a nucleus."""
    return all(float(means.max() - means.min()) <= _FLAT for means in _means(tile))


def structure(tile: np.ndarray) -> float:
    """How much a (C, h, w) rescaled tile shows: the largest standard deviation of its means."""
    return max(float(means.std()) for means in _means(tile))


def _means(tile: np.ndarray) -> Iterator[np.ndarray]:
    """Means over 8×8 pixels, which noise hardly moves, of each component that differs."""
    for component in tile[:1] if (tile[0] == tile[-1]).all() else tile:
        extra = [(0, -length % _MEAN_PX) for length in component.shape]
        padded = np.pad(component, extra, "edge")
        yield padded.reshape(padded.shape[0] // _MEAN_PX, _MEAN_PX, -1, _MEAN_PX).mean(axis=(1, 3))
