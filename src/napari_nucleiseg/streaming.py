"""Whole slides: block after block from the file to an OME-Zarr label image, in bounded memory.

The tiles are those of the whole picture, blended as in memory. A block's maps are decoded together
with a margin, which grows until every piece of foreground that reaches into the block is whole; so
each nucleus comes out as if the whole picture had been decoded at once. It belongs to the block in
which its first pixel lies, and is written by that block alone.

Results of tiles are kept beside the unfinished label image until no block needs them. With the
record of finished blocks, a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from . import __version__
from .channels import choose_pixels
from .config import SegmentConfig
from .engine import build_engine
from .errors import SettingError
from .events import DeviceChosen, Event, Notice, Streamed, TileDone
from .files import write_text
from .finding import decode_config, factor_given, grid_of
from .instances import DecodeConfig, decode
from .intensity import intensity_range, rescale
from .io.ome_zarr import LabelStore
from .micrograph import Micrograph
from .segmentation import describe_run
from .slide_tiles import Tiles, Window, blocks_of
from .store import find_model

if TYPE_CHECKING:
    from .slide_workers import SlideWorkers

BLOCK_PX = 2048
MARGIN_PX = 256
_LARGEST_TILE = 8192
# a window may become this many blocks wide before a piece of foreground is cut
_WIDEST = 5
# the depth of a foreground without distance map depends on what lies this near
_REACH_PX = 12


def stream(
    micrograph: Micrograph,
    config: SegmentConfig,
    out: Path,
    *,
    block_px: int = BLOCK_PX,
    workers: SlideWorkers | None = None,
) -> Iterator[Event]:
    """Find every nucleus of a micrograph of any size, and write the label image as it grows.

    Parameters
    ----------
    micrograph : Micrograph
        One plane, or a stack of which ``config`` chooses one; its pixels may be in the file.
    config : SegmentConfig
    out : Path
        The OME-Zarr to be; until it is complete, ``NAME.part.ome.zarr`` lies beside it. What is
        there of an earlier run with the same settings on the same file is gone on with.
    block_px : int
        Side of a block. Memory grows with its square and not with the picture.
    workers : SlideWorkers, optional
        Processes that run the network; blocks are decoded and written here, in their order.

    Yields
    ------
    Event
        `Notice` and `DeviceChosen`, `TileDone` after each block, and last `Streamed`.

    Raises
    ------
    NucleisegError
        If model, channel or device are not there, or the file is damaged somewhere.
    """
    started = time.monotonic()
    model = find_model(config.model)
    if model.finds_instances:
        raise SettingError(
            "The model cannot segment block by block",
            model.name,
            "Choose a model that gives maps, or crop the micrograph",
        )
    plane = micrograph.one_plane(config.z, config.t)
    chosen, notices = choose_pixels(plane, config.channel, config.colour, config.merge)
    if factor_given(chosen, micrograph.pixel_size_um, model, config) != 1:
        raise SettingError(
            "What is segmented block by block is not resampled for the network",
            f"nucleus diameter {config.nucleus_diameter}",
            "Open a smaller level of the picture, or set the nucleus diameter to none",
        )
    for text in (*micrograph.notices, *notices):
        yield Notice(text)
    shape, pixels = chosen.shape, chosen.pixels
    blocks = blocks_of(shape, block_px)
    progress = _Progress.resume(
        out, _fingerprint(micrograph, chosen, config, model.sha256, block_px)
    )
    if progress.done:
        yield Notice(f"Going on after {progress.done} of {len(blocks)} blocks of an earlier run")
    if progress.ends is None:
        progress.ends = intensity_range(pixels, model.normalise)
    low, high = progress.ends
    labels = LabelStore(progress.folder, shape, chosen.pixel_size_um)
    used: dict[str, Any] = {"device": "none", "engine": "none"}
    if high > low:
        if workers is not None and not chosen.is_lazy:
            pixels = workers.share(pixels, progress.record.parent)
        engine = build_engine(model, config)
        for text in engine.notices:
            yield Notice(text)
        yield DeviceChosen(engine.device, engine.name, engine.reason)
        used = {"device": engine.device, "engine": engine.name}

        def read(rows: slice, columns: slice) -> np.ndarray:
            return rescale(np.asarray(pixels[rows, columns]), low, high, model.normalise.clip)

        grid = grid_of(model, config, _LARGEST_TILE)
        tiles = Tiles(shape, grid, engine.predict, read, progress.tiles, len(model.map_names))
        if workers is not None:
            windows = [block.grown(MARGIN_PX, shape) for block in blocks[progress.done :]]
            workers.begin(tiles, config, model.sha256, windows)
        was_cut = False
        for number, block in enumerate(blocks):
            if number < progress.done:
                continue
            tiles.forget_above(block.rows.start - block_px)
            decoding = decode_config(config)
            found, window, is_cut = decode_block(block, shape, tiles, model.map_names, decoding)
            if is_cut and not was_cut:
                was_cut = True
                yield Notice(
                    "Nuclei hang together over more than "
                    f"{_WIDEST * block_px} px; there they were separated in parts"
                )
            areas = _write_own(labels, found, window, block, progress.nuclei)
            progress.add(areas)
            yield TileDone(number + 1, len(blocks))
    else:
        yield Notice(f"{micrograph.name} is empty: nothing in it stands out from its background")
    labels.finish()
    manifest = describe_run(micrograph, chosen, model, config, (low, high), used, progress.nuclei)
    median = progress.median_diameter
    progress.finish(out)
    yield Streamed(out, progress.nuclei, median, time.monotonic() - started, manifest)


def _fingerprint(
    micrograph: Micrograph, chosen: Micrograph, config: SegmentConfig, model: str, block_px: int
) -> dict[str, Any]:
    """What must be the same for a run to go on with the blocks of an earlier one."""
    path = micrograph.path
    return {
        "program": "napari-nucleiseg",
        "version": __version__,
        "path": None if path is None else os.path.abspath(path),
        "changed": None if path is None else path.stat().st_mtime_ns,
        "series": micrograph.series,
        "shape": list(chosen.shape),
        "dtype": str(chosen.pixels.dtype),
        "config": config.model_dump(mode="json"),
        "model": model,
        "block_px": block_px,
    }


class _Progress:
    """The record of finished blocks, beside the unfinished label image."""

    def __init__(self, folder: Path, fingerprint: dict[str, Any]) -> None:
        self.folder, self.fingerprint = folder, fingerprint
        self.tiles = folder / "unfinished" / "tiles"
        self.record = folder / "unfinished" / "progress.json"
        self.done = self.nuclei = 0
        self.areas: Counter[int] = Counter()
        self.ends: tuple[float, float] | None = None

    @classmethod
    def resume(cls, out: Path, fingerprint: dict[str, Any]) -> _Progress:
        """Read what there is of an earlier run, or begin anew."""
        name = out.name.removesuffix(".ome.zarr")
        progress = cls(out.with_name(f"{name}.part.ome.zarr"), fingerprint)
        try:
            known = json.loads(progress.record.read_text("utf-8"))
        except (OSError, ValueError):
            known = {}
        if known.get("fingerprint") == fingerprint:
            progress.done, progress.nuclei = known["done"], known["nuclei"]
            progress.areas = Counter({int(a): n for a, n in known["areas"].items()})
            progress.ends = (known["ends"][0], known["ends"][1])
        elif progress.folder.exists():
            shutil.rmtree(progress.folder)
        progress.tiles.mkdir(parents=True, exist_ok=True)
        return progress

    def add(self, areas: np.ndarray) -> None:
        """Record one more block and the areas of its nuclei; its labels are written already."""
        self.done += 1
        self.nuclei += len(areas)
        self.areas.update(areas.tolist())
        known = {
            "fingerprint": self.fingerprint,
            "done": self.done,
            "nuclei": self.nuclei,
            "areas": self.areas,
            "ends": self.ends,
        }
        write_text(self.record, json.dumps(known))

    @property
    def median_diameter(self) -> float:
        """Median equivalent-circle diameter in pixels."""
        if not self.areas:
            return 0.0
        areas, counts = (np.array(part) for part in zip(*sorted(self.areas.items()), strict=True))
        return float(np.median(np.sqrt(4 * np.repeat(areas, counts) / np.pi)))

    def finish(self, out: Path) -> None:
        """Move the complete label image to its place."""
        shutil.rmtree(self.record.parent)
        earlier = self.folder.with_name(f"{self.folder.name}.old")
        if out.exists():
            os.replace(out, earlier)
        os.replace(self.folder, out)
        shutil.rmtree(earlier, ignore_errors=True)


def decode_block(
    block: Window,
    shape: tuple[int, int],
    tiles: Tiles,
    names: tuple[str, ...],
    config: DecodeConfig,
) -> tuple[np.ndarray, Window, bool]:
    """Decode a block with a margin wide enough that nothing that reaches into it is cut.

    Returns
    -------
    (h, w) int32 ndarray
        Labels of a window around the block.
    Window
        Where it lies.
    bool
        Whether a piece of foreground was cut nevertheless, since it is larger than a window may be.
    """
    side = max(part.stop - part.start for part in block)
    most = max(MARGIN_PX, (_WIDEST - 1) * side // 2)
    reach = 1 if "distance" in names else _REACH_PX
    margin = MARGIN_PX
    while True:
        window = block.grown(margin, shape)
        maps = tiles.maps(window)
        foreground = maps[list(names).index("probability")] > config.probability
        is_cut = _is_cut(foreground, block.within(window), window, shape, reach)
        if not is_cut or margin >= most:
            return decode(names, maps, config), window, is_cut
        margin = min(2 * margin, most)


def _is_cut(
    foreground: np.ndarray, core: Window, window: Window, shape: tuple[int, int], reach: int
) -> bool:
    """Whether a piece of foreground reaches from the core to where the picture goes on."""
    pieces, count = ndimage.label(foreground)
    at_edge = np.zeros(count + 1, bool)
    if window.rows.start > 0:
        at_edge[pieces[:reach]] = True
    if window.rows.stop < shape[0]:
        at_edge[pieces[-reach:]] = True
    if window.columns.start > 0:
        at_edge[pieces[:, :reach]] = True
    if window.columns.stop < shape[1]:
        at_edge[pieces[:, -reach:]] = True
    at_edge[0] = False
    return bool(at_edge[pieces[core.rows, core.columns]].any())


def _write_own(
    store: LabelStore, labels: np.ndarray, window: Window, block: Window, before: int
) -> np.ndarray:
    """Write the nuclei that begin in a block, numbered on from ``before``; returns their areas."""
    present = np.flatnonzero(labels)
    if not present.size:
        return np.zeros(0, np.int64)
    first = np.full(int(labels.max()) + 1, -1, np.int64)
    # of several values for one index the last one stays, so the first pixel comes last
    first[labels.ravel()[present[::-1]]] = present[::-1]
    core = block.within(window)
    y, x = np.divmod(first, labels.shape[1])
    is_own = (
        (first >= 0)
        & (y >= core.rows.start)
        & (y < core.rows.stop)
        & (x >= core.columns.start)
        & (x < core.columns.stop)
    )
    if not is_own.any():
        return np.zeros(0, np.int64)
    numbers = np.zeros(len(first), np.int32)
    own = np.flatnonzero(is_own)
    numbers[own[np.argsort(first[own])]] = before + 1 + np.arange(len(own))
    mine = numbers[labels]
    ((rows, columns),) = ndimage.find_objects((mine > 0).astype(np.uint8))
    place = (
        slice(window.rows.start + rows.start, window.rows.start + rows.stop),
        slice(window.columns.start + columns.start, window.columns.start + columns.stop),
    )
    mine = mine[rows, columns]
    earlier = store.array[place]
    # numbers above are from this very block, of a run that was stopped while writing
    mine = np.where((mine > 0) & ((earlier == 0) | (earlier > before)), mine, 0)
    store.array[place] = np.where(mine > 0, mine, np.where(earlier > before, 0, earlier))
    return np.bincount(mine.ravel(), minlength=before + 1 + len(own))[before + 1 :]
