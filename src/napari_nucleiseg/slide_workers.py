"""A slide on many workers: they run the network on its tiles, a little ahead of the blocks.

A worker writes the result of a tile to the folder that all of them see, as one process does, and
sends nothing back. Blocks are decoded elsewhere, in their order and from the same results, so the
label image is the same to the last number. A worker that ends costs the tile it was at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .cluster import gone, lost_scheduler
from .config import SegmentConfig
from .errors import ModelError
from .files import write_whole
from .slide_tiles import Tiles
from .windows import Window


@dataclass(frozen=True)
class SharedPixels:
    """Pixels in a file that every process opens by itself."""

    path: Path
    shape: tuple[int, ...]

    def __getitem__(self, place: Any) -> np.ndarray:
        return np.asarray(np.load(self.path, mmap_mode="r")[place])


class SlideWorkers:
    """Workers that make the maps of the tiles of one slide after the other.

    Parameters
    ----------
    client : distributed.Client
        Its workers see files and folders by the same paths.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._futures: dict[int, Any] = {}

    def share(self, pixels: np.ndarray, folder: Path) -> SharedPixels:
        """Put pixels that are in memory where all workers see them."""
        path = folder.resolve() / "pixels.npy"
        write_whole(path, lambda file: np.save(file, pixels))
        return SharedPixels(path, pixels.shape)

    def begin(
        self, tiles: Tiles, config: SegmentConfig, sha256: str, windows: Sequence[Window]
    ) -> None:
        """Make the tiles of a slide from now on.

        Parameters
        ----------
        tiles : Tiles
            Asks for the tiles that it needs by itself.
        config : SegmentConfig
        sha256 : str
            Of the model's weights: those of all workers must be the same.
        windows : sequence of Window
            What will be looked at, in this order.
        """
        # distributed brings it; it packs functions inside functions, too
        import cloudpickle

        tiles.folder = tiles.folder.resolve()
        self._tiles, self._packed = tiles, cloudpickle.dumps((tiles, config, sha256))
        self._futures = {}
        order = dict.fromkeys(number for window in windows for number in tiles.touching(window))
        self._rank = {number: rank for rank, number in enumerate(order)}
        self._coming = [number for number in order if not tiles.is_made(number)]
        self._heights = [window.rows.stop - window.rows.start for window in windows[:1]]
        tiles.prepare = self._wait

    def _wait(self, numbers: list[int]) -> None:
        with lost_scheduler():
            self._prepare(numbers)

    def _prepare(self, numbers: list[int]) -> None:
        """Wait until tiles are made, and let the next ones be begun meanwhile."""
        from distributed import KilledWorker

        self._submit([n for n in numbers if not self._tiles.is_made(n)])
        # results of one row of blocks ahead: the disk holds no more, however fast the workers are
        lowest = max(self._tiles.places[n][0].stop for n in numbers) + sum(self._heights)
        near = [n for n in self._coming if self._tiles.places[n][0].stop <= lowest]
        self._submit(near)
        for number in numbers:
            future = self._futures.pop(number, None)
            try:
                if future is not None:
                    future.result()
            except KilledWorker as error:
                raise gone(f"tile {number} of {self._tiles.folder.parents[1].name}") from error

    def _submit(self, numbers: list[int]) -> None:
        for number in numbers:
            if number not in self._futures:
                # a tile that only a grown window needs is waited for
                rank = self._rank.get(number, 0)
                self._futures[number] = self.client.submit(
                    _make_tile, self._packed, number, pure=False, priority=-rank
                )
        begun = set(numbers)
        self._coming = [n for n in self._coming if n not in begun]


def _make_tile(packed: bytes, number: int) -> None:
    """Make a tile's result on a worker."""
    _unpacked(packed).result(number)


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> Tiles:
    """Tiles of the slide under way with a network of this process."""
    import cloudpickle

    from .engine import build_engine
    from .store import find_model

    tiles, config, sha256 = cloudpickle.loads(packed)
    model = find_model(config.model)
    if model.sha256 != sha256:
        raise ModelError(
            "A worker has another model of this name",
            model.name,
            "Give the model by a file that all computers see: --model /net/NAME.safetensors",
        )
    made: Tiles = tiles
    made.use(build_engine(model, config))
    return made
