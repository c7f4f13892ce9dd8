"""Tiles of a slide: maps or detections, made when a block needs them and kept on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from .detections import Detection, from_tile
from .engine import Engine
from .flatness import is_flat
from .instances import DecodeConfig
from .slide_detections import load_detections, save_detections
from .tiling import Grid, Predict, ReadTile, iterate_tiles, place_weights, tile_places
from .windows import Window


class Tiles:
    """Maps of all tiles of a picture, made when a window needs them and kept on the disk.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the picture.
    grid : Grid
    predict : callable
        See `tiling.iterate_maps`.
    read : callable
        Rows and columns to (C, h, w) float32 pixels.
    folder : Path
        Where results are kept; those that are there are taken.
    count : int
        Number of maps.

    Attributes
    ----------
    places : list of (slice, slice)
        Rows and columns of each tile.
    prepare : callable or None
        Called with the numbers of tiles before their maps are looked at: may make them elsewhere.
    """

    ending = ".npy"

    def __init__(
        self,
        shape: tuple[int, int],
        grid: Grid,
        predict: Predict,
        read: ReadTile,
        folder: Path,
        count: int,
    ) -> None:
        self.grid, self.predict, self.read = grid, predict, read
        self.folder, self.count, self.shape = folder, count, shape
        self.prepare: Callable[[list[int]], None] | None = None
        self.places = tile_places(shape, grid)
        self.weights = place_weights(self.places, shape)

    def maps(self, window: Window) -> np.ndarray:
        """Blended maps of a window, (K, h, w) float32, equal to those of the whole picture."""
        if self.prepare is not None:
            self.prepare(self.touching(window))
        rows, columns = window
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        maps = np.zeros((self.count, *shape), np.float32)
        for number, place in enumerate(self.places):
            down, across = (
                slice(max(p.start, w.start), min(p.stop, w.stop))
                for p, w in zip(place, window, strict=True)
            )
            if down.start >= down.stop or across.start >= across.stop:
                continue
            result = self.result(number)
            if result is None:
                continue
            inner = Window(down, across).within(Window(*place))
            part = result[:, inner.rows, inner.columns]
            target = Window(down, across).within(window)
            if len(self.places) == 1:
                maps[:, target.rows, target.columns] = part
                continue
            y = self.weights[0][place[0].start][inner.rows]
            x = self.weights[1][place[1].start][inner.columns]
            # in the order of the whole picture, since sums of floats depend on it
            maps[:, target.rows, target.columns] += part * (y[:, None] * x)
        return maps

    def touching(self, window: Window) -> list[int]:
        """Numbers of the tiles that have pixels in a window."""
        return [
            number
            for number, place in enumerate(self.places)
            if all(
                p.start < w.stop and w.start < p.stop for p, w in zip(place, window, strict=True)
            )
        ]

    def is_made(self, number: int) -> bool:
        """Whether the result of a tile is there."""
        return any((self.folder / f"{number}{end}").exists() for end in (self.ending, ".empty"))

    def result(self, number: int) -> Any:
        """What the network says of a tile; None of an empty one."""
        kept, empty = self.folder / f"{number}{self.ending}", self.folder / f"{number}.empty"
        if empty.exists():
            return None
        if not kept.exists():
            pixels: dict[int, np.ndarray] = {0: self.read(*self.places[number])}
            if is_flat(pixels[0]):
                empty.touch()
                return None
            place = self.places[number]
            ((found, _),) = iterate_tiles(
                self.predict, lambda _rows, _columns: pixels.pop(0), [place], self.grid
            )
            # beside its place and moved there: a run may be killed at any time, and two processes
            # may make the same tile
            fresh = self.folder / f"{number}.{uuid4().hex}.part{self.ending}"
            self._save(fresh, found[0][1], place)
            os.replace(fresh, kept)
        return self._load(kept)

    def use(self, engine: Engine) -> None:
        """Let another process's network make the results."""
        self.predict = engine.predict

    def _save(self, path: Path, result: Any, place: tuple[slice, slice]) -> None:
        """Write what the network says of a tile, without its padding."""
        height, width = (p.stop - p.start for p in place)
        np.save(path, result[:, :height, :width])

    def _load(self, path: Path) -> Any:
        return np.asarray(np.load(path, mmap_mode="r"))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**self.__dict__, "predict": None, "prepare": None}

    def forget_above(self, row: int) -> None:
        """Delete what is kept of tiles that end above a row."""
        for file in self.folder.glob(f"*{self.ending}"):
            stem = file.name.partition(".")[0]
            if self.places[int(stem)][0].stop <= row:
                file.unlink()


class DetectedTiles(Tiles):
    """Detections of all tiles of a picture, made when a window needs them and kept on the disk.

    Parameters
    ----------
    shape, grid, read, folder
        See `Tiles`.
    engine : Engine
    decoding : DecodeConfig
        How sure a nucleus must be.
    """

    ending = ".npz"

    def __init__(
        self,
        shape: tuple[int, int],
        grid: Grid,
        engine: Engine,
        decoding: DecodeConfig,
        read: ReadTile,
        folder: Path,
    ) -> None:
        self.decoding = decoding
        super().__init__(shape, grid, partial(_detect, engine, decoding), read, folder, 0)

    def use(self, engine: Engine) -> None:
        """Let another process's network make the results."""
        self.predict = partial(_detect, engine, self.decoding)

    def _save(self, path: Path, result: Any, place: tuple[slice, slice]) -> None:  # noqa: ARG002
        save_detections(path, result)

    def _load(self, path: Path) -> Any:
        return load_detections(path)

    def detections(self, window: Window) -> list[Detection]:
        """All that share a pixel with a window, and others near it, placed in the picture."""
        numbers, found = self.touching(window), []
        if self.prepare is not None:
            self.prepare(numbers)
        for number in numbers:
            place = self.places[number]
            moved = (from_tile(d, place, self.shape) for d in self.result(number) or [])
            found += [d for d in moved if d is not None]
        return found


def _detect(engine: Engine, config: DecodeConfig, tiles: np.ndarray) -> Any:
    """Detections of tiles, as sure as a nucleus must be."""
    return engine.predict(tiles, config.probability)
