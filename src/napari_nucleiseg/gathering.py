"""What a network says of all tiles, gathered, and made into a label image.

There are two kinds: maps, which are blended and then decoded, and detections, which are joined.
Whoever segments, be it a micrograph or a held-out image in training, need not know which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from .detections import INSTANCES, Detection, from_tile, join
from .instances import DecodeConfig, decode
from .tiling import Grid, ReadTile, iterate_maps, iterate_tiles, tile_places

LARGEST_TILE = {True: 512, False: 8192}
"""Longest side of a tile that makes sense (px), by whether the network finds instances: of those it
finds no more in a tile than its limit."""


class Gathering(Protocol):
    """Results of tiles on their way to a label image.

    Attributes
    ----------
    largest_tile : int
        Longest side of a tile that makes sense (px).
    """

    largest_tile: int

    def tiles(
        self, run: Callable[..., Any], read: ReadTile, grid: Grid
    ) -> Iterator[tuple[int, int]]:
        """Run a network on all tiles, anew at each call; yields tiles done and in all."""

    def labels(self) -> tuple[np.ndarray, list[int]]:
        """The (H, W) int32 label image and, where the network tells, the class of each nucleus."""

    def sureness(self, labels: np.ndarray) -> float:
        """Mean probability inside the nuclei of ``labels()``, or mean score; 0 without any."""


class Maps:
    """Maps of the whole micrograph."""

    largest_tile = LARGEST_TILE[False]

    def __init__(self, names: Sequence[str], shape: tuple[int, int], config: DecodeConfig) -> None:
        self.names, self.config = names, config
        self.maps = np.zeros((len(names), *shape), np.float32)

    def tiles(
        self, run: Callable[..., Any], read: ReadTile, grid: Grid
    ) -> Iterator[tuple[int, int]]:
        """See `Gathering`."""
        return iterate_maps(run, read, self.maps, grid)

    def labels(self) -> tuple[np.ndarray, list[int]]:
        """See `Gathering`."""
        return decode(self.names, self.maps, self.config), []

    def sureness(self, labels: np.ndarray) -> float:
        """Mean probability inside nuclei; see `Gathering`."""
        inside = labels > 0
        probability = self.maps[list(self.names).index("probability")]
        return float(probability[inside].mean()) if inside.any() else 0.0


class _Detections:
    """Detections of all tiles."""

    largest_tile = LARGEST_TILE[True]

    def __init__(self, shape: tuple[int, int], config: DecodeConfig) -> None:
        self.shape, self.config = shape, config
        self.found: list[Detection] = []

    def tiles(
        self, run: Callable[..., Any], read: ReadTile, grid: Grid
    ) -> Iterator[tuple[int, int]]:
        self.found = []
        places = tile_places(self.shape, grid)
        for group, done in iterate_tiles(
            lambda tiles: run(tiles, self.config.probability), read, places, grid
        ):
            for place, detections in group:
                moved = (from_tile(d, place, self.shape) for d in detections)
                self.found += [d for d in moved if d is not None]
            yield done, len(places)

    def labels(self) -> tuple[np.ndarray, list[int]]:
        return join(self.found, self.shape, self.config.min_area_px)

    def sureness(self, labels: np.ndarray) -> float:  # noqa: ARG002 - each score is a nucleus'
        return float(np.mean([d.score for d in self.found])) if self.found else 0.0


def gathering(names: Sequence[str], shape: tuple[int, int], config: DecodeConfig) -> Gathering:
    """Begin to gather.

    Parameters
    ----------
    names : sequence of str
        What the network gives: names of maps, or `INSTANCES`.
    shape : (int, int)
        Height and width of the micrograph in pixels.
    config : DecodeConfig
        Of detections, ``probability`` is the least score and ``min_area_px`` counts; the other
        settings are for maps alone.
    """
    if tuple(names) == INSTANCES:
        return _Detections(shape, config)
    return Maps(names, shape, config)
