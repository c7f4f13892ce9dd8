"""Tiles of a slide: their maps, made when a block needs them and kept on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np

from .tiling import Grid, Predict, ReadTile, iterate_tiles, place_weights, tile_places

# of the range of intensities: less varies in glass and empty background, averaged over 8×8 pixels
_FLAT = 0.03


class Window(NamedTuple):
    """Rows and columns of a part of a picture."""

    rows: slice
    columns: slice

    def grown(self, margin: int, shape: tuple[int, int]) -> Window:
        """The same with a margin on all sides, as far as there are pixels."""
        return Window(
            *(
                slice(max(0, part.start - margin), min(length, part.stop + margin))
                for part, length in zip(self, shape, strict=True)
            )
        )

    def within(self, other: Window) -> Window:
        """Its place in another window."""
        return Window(
            *(
                slice(part.start - o.start, part.stop - o.start)
                for part, o in zip(self, other, strict=True)
            )
        )


def blocks_of(shape: tuple[int, int], block_px: int) -> list[Window]:
    """Blocks that cover a picture without overlap, row by row."""
    return [
        Window(
            slice(top, min(top + block_px, shape[0])), slice(left, min(left + block_px, shape[1]))
        )
        for top in range(0, shape[0], block_px)
        for left in range(0, shape[1], block_px)
    ]


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
        self.folder, self.count = folder, count
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
        return any((self.folder / f"{number}.{kind}").exists() for kind in ("npy", "empty"))

    def result(self, number: int) -> np.ndarray | None:
        """What the network says of a tile; None of an empty one."""
        kept, empty = self.folder / f"{number}.npy", self.folder / f"{number}.empty"
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
            height, width = (p.stop - p.start for p in place)
            # beside its place and moved there: a run may be killed at any time, and two processes
            # may make the same tile
            fresh = self.folder / f"{number}.{uuid4().hex}.part.npy"
            np.save(fresh, found[0][1][:, :height, :width])
            os.replace(fresh, kept)
        return np.asarray(np.load(kept, mmap_mode="r"))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**self.__dict__, "predict": None, "prepare": None}

    def forget_above(self, row: int) -> None:
        """Delete what is kept of tiles that end above a row."""
        for file in self.folder.glob("*.npy"):
            stem = file.name.partition(".")[0]
            if self.places[int(stem)][0].stop <= row:
                file.unlink()


def is_flat(tile: np.ndarray) -> bool:
    """Whether a (C, h, w) rescaled tile shows nothing: glass, or background without a nucleus."""
    for component in tile[:1] if (tile[0] == tile[-1]).all() else tile:
        extra = [(0, -length % 8) for length in component.shape]
        whole = np.pad(component, extra, "edge")
        means = whole.reshape(whole.shape[0] // 8, 8, -1, 8).mean(axis=(1, 3))
        if float(means.max() - means.min()) > _FLAT:
            return False
    return True
