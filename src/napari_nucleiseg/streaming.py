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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

from . import __version__
from .channels import choose_pixels
from .config import SegmentConfig
from .engine import build_engine
from .events import DeviceChosen, Event, Notice, Streamed, TileDone
from .files import write_text
from .finding import decode_config, grid_of
from .gathering import LARGEST_TILE
from .instances import DecodeConfig, decode
from .intensity import intensity_range, rescale
from .io.ome_zarr import LabelStore
from .micrograph import Micrograph
from .resampling import labels_at, resample, resampled_shape
from .segmentation import describe_run, without_effect
from .slide_detections import join_own
from .slide_size import slide_factor
from .slide_tiles import DetectedTiles, Tiles
from .store import find_model
from .windows import Window, blocks_of

if TYPE_CHECKING:
    from .slide_workers import SlideWorkers

BLOCK_PX = 2048
MARGIN_PX = 256
# of the record of finished blocks: an earlier one is not gone on with
_RECORD = 2
# a window may become this many blocks wide before a piece of foreground is cut
_WIDEST = 5
# the depth of a foreground without distance map depends on what lies this near
_REACH_PX = 12
# blocks of a slide that is shrunk for the network become smaller, but not smaller than this
_SMALLEST_PX = 256


def stream(
    micrograph: Micrograph,
    config: SegmentConfig,
    out: Path,
    *,
    block_px: int = BLOCK_PX,
    workers: SlideWorkers | None = None,
    stamp: Mapping[str, Any] | None = None,
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
    stamp : mapping, optional
        What tells the files from later ones of the same names; by itself the time of the first.

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
    plane = micrograph.one_plane(config.z, config.t)
    chosen, notices = choose_pixels(plane, config.channel, config.colour, config.merge)
    for text in (*micrograph.notices, *notices):
        yield Notice(text)
    pixels = chosen.pixels
    progress = _Progress.resume(
        out, _fingerprint(micrograph, chosen, config, model.sha256, block_px, stamp)
    )
    if progress.ends is None:
        progress.ends = intensity_range(pixels, model.normalise)
    low, high = progress.ends
    labels = LabelStore(progress.folder, chosen.shape, chosen.pixel_size_um)
    used: dict[str, Any] = {"device": "none", "engine": "none"}
    if high > low:
        if workers is not None and not chosen.is_lazy:
            pixels = workers.share(pixels, progress.record.parent)
        engine = build_engine(model, config)
        for text in engine.notices:
            yield Notice(text)
        yield DeviceChosen(engine.device, engine.name, engine.reason)
        yield from without_effect(model, config)
        used = {"device": engine.device, "engine": engine.name}
        if progress.factor is None:
            factor, places = yield from slide_factor(
                chosen, micrograph.pixel_size_um, (low, high), model, config, engine
            )
            progress.begin(factor, places)
        factor = progress.factor or 1.0
        shape = chosen.shape if factor == 1 else resampled_shape(chosen.shape, factor)
        side = _block_side(block_px, factor)
        blocks = blocks_of(shape, side)
        if progress.done:
            yield Notice(
                f"Going on after {progress.done} of {len(blocks)} blocks of an earlier run"
            )

        def read(rows: slice, columns: slice) -> np.ndarray:
            if factor == 1:
                return rescale(np.asarray(pixels[rows, columns]), low, high, model.normalise.clip)
            part = resample(pixels, low, high, factor, (rows, columns))
            return rescale(part, 0.0, 1.0, model.normalise.clip)

        grid = grid_of(model, config, LARGEST_TILE[model.finds_instances])
        decoding = decode_config(config, factor)
        tiles = (
            DetectedTiles(shape, grid, engine, decoding, read, progress.tiles)
            if model.finds_instances
            else Tiles(shape, grid, engine.predict, read, progress.tiles, len(model.map_names))
        )
        if workers is not None:
            windows = [block.grown(MARGIN_PX, shape) for block in blocks[progress.done :]]
            workers.begin(tiles, config, model.sha256, windows)
        was_cut = False
        for number, block in enumerate(blocks):
            if number < progress.done:
                continue
            tiles.forget_above(block.rows.start - max(side, MARGIN_PX))
            found = (
                join_block(block, shape, tiles, decoding)
                if isinstance(tiles, DetectedTiles)
                else decode_block(block, shape, tiles, model.map_names, decoding)
            )
            if found.is_cut and not was_cut:
                was_cut = True
                yield Notice(
                    "Nuclei hang together over more than "
                    f"{round(_WIDEST * side / factor)} px; there they were separated in parts"
                )
            areas, classes = _write_own(labels, found, block, shape, progress.nuclei)
            progress.add(areas, classes if model.classes > 1 else [])
            yield TileDone(number + 1, len(blocks))
    else:
        yield Notice(f"{micrograph.name} is empty: nothing in it stands out from its background")
    manifest = describe_run(
        micrograph,
        chosen,
        model,
        config,
        (low, high),
        used,
        progress.nuclei,
        progress.factor or 1.0,
    )
    if progress.places:
        # where the sizes of nuclei were looked at: rows and columns
        manifest["size_seen_at"] = progress.places
    if model.classes > 1:
        manifest["classes"] = progress.classes
    median = progress.median_diameter
    progress.finish(out)
    yield Streamed(out, progress.nuclei, median, time.monotonic() - started, manifest)


def _block_side(block_px: int, factor: float) -> int:
    """Side of a block in pixels that the network sees, so that neither side of it is larger."""
    return block_px if factor >= 1 else max(min(block_px, _SMALLEST_PX), round(block_px * factor))


def unfinished(out: Path) -> Path:
    """Where a label image lies until it is complete."""
    return out.with_name(f"{out.name.removesuffix('.ome.zarr')}.part.ome.zarr")


def _fingerprint(
    micrograph: Micrograph,
    chosen: Micrograph,
    config: SegmentConfig,
    model: str,
    block_px: int,
    stamp: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What must be the same for a run to go on with the blocks of an earlier one."""
    path = micrograph.path
    return {
        "program": "napari-nucleiseg",
        "version": __version__,
        "record": _RECORD,
        "path": None if path is None else os.path.abspath(path),
        "changed": None if path is None else path.stat().st_mtime_ns,
        "stamp": None if stamp is None else dict(stamp),
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
        self.classes: list[int] = []
        self.ends: tuple[float, float] | None = None
        self.factor: float | None = None
        self.places: list[list[list[int]]] = []

    @classmethod
    def resume(cls, out: Path, fingerprint: dict[str, Any]) -> _Progress:
        """Read what there is of an earlier run, or begin anew."""
        progress = cls(unfinished(out), fingerprint)
        try:
            known = json.loads(progress.record.read_text("utf-8"))
        except (OSError, ValueError):
            known = {}
        if known.get("fingerprint") == fingerprint:
            progress.done, progress.nuclei = known["done"], known["nuclei"]
            progress.areas = Counter({int(a): n for a, n in known["areas"].items()})
            progress.ends = (known["ends"][0], known["ends"][1])
            progress.factor, progress.places = known["factor"], known["places"]
            progress.classes = known["classes"]
        elif progress.folder.exists():
            shutil.rmtree(progress.folder)
        progress.tiles.mkdir(parents=True, exist_ok=True)
        return progress

    def begin(self, factor: float, places: list[Window]) -> None:
        """Record how the picture is resampled, for all of it and for good."""
        self.factor = factor
        self.places = [[[part.start, part.stop] for part in place] for place in places]
        self._write()

    def add(self, areas: np.ndarray, classes: list[int]) -> None:
        """Record one more block and its nuclei; their labels are written already."""
        self.done += 1
        self.nuclei += len(areas)
        self.areas.update(areas.tolist())
        self.classes += classes
        self._write()

    def _write(self) -> None:
        known = {
            "fingerprint": self.fingerprint,
            "done": self.done,
            "nuclei": self.nuclei,
            "areas": self.areas,
            "classes": self.classes,
            "ends": self.ends,
            "factor": self.factor,
            "places": self.places,
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


class FoundInBlock(NamedTuple):
    """Labels of a window around a block.

    Attributes
    ----------
    labels : (h, w) int32 ndarray
    window : Window
        Where they lie.
    is_cut : bool
        Whether something that reaches into the block is larger than a window may be.
    classes : list of int
        Kind of each nucleus, where the network tells.
    """

    labels: np.ndarray
    window: Window
    is_cut: bool
    classes: Sequence[int] = ()


def join_block(
    block: Window, shape: tuple[int, int], tiles: DetectedTiles, config: DecodeConfig
) -> FoundInBlock:
    """Join detections in a window wide enough to hold all that has to do with the block."""
    margin, most = MARGIN_PX, _widest_margin(block)
    while True:
        window = block.grown(margin, shape)
        labels, classes, around, is_cut = join_own(
            tiles.detections(window), block, window, shape, config.min_area_px
        )
        if not is_cut or margin >= most:
            return FoundInBlock(labels, around, is_cut, classes)
        margin = min(2 * margin, most)


def decode_block(
    block: Window,
    shape: tuple[int, int],
    tiles: Tiles,
    names: tuple[str, ...],
    config: DecodeConfig,
) -> FoundInBlock:
    """Decode a block with a margin wide enough that nothing that reaches into it is cut."""
    margin, most = MARGIN_PX, _widest_margin(block)
    reach = 1 if "distance" in names else _REACH_PX
    while True:
        window = block.grown(margin, shape)
        maps = tiles.maps(window)
        foreground = maps[list(names).index("probability")] > config.probability
        is_cut = _is_cut(foreground, block.within(window), window, shape, reach)
        if not is_cut or margin >= most:
            return FoundInBlock(decode(names, maps, config), window, is_cut)
        margin = min(2 * margin, most)


def _widest_margin(block: Window) -> int:
    side: int = max(part.stop - part.start for part in block)
    return max(MARGIN_PX, (_WIDEST - 1) * side // 2)


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
    store: LabelStore, found: FoundInBlock, block: Window, seen: tuple[int, int], before: int
) -> tuple[np.ndarray, list[int]]:
    """Write the nuclei that begin in a block, numbered on from ``before``.

    Parameters
    ----------
    store : LabelStore
    found : FoundInBlock
        In the pixels that the network sees, as is the block.
    block : Window
    seen : (int, int)
        Height and width of the picture in these pixels.
    before : int
        Number of nuclei of earlier blocks.

    Returns
    -------
    (N,) integer ndarray, list of int
        Areas in pixels of the picture, and classes where the network tells.
    """
    labels, window = found.labels, found.window
    nothing: tuple[np.ndarray, list[int]] = (np.zeros(0, np.int64), [])
    present = np.flatnonzero(labels)
    if not present.size:
        return nothing
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
        return nothing
    own = np.flatnonzero(is_own)
    own = own[np.argsort(first[own])]
    ((rows, columns),) = ndimage.find_objects(is_own[labels].astype(np.uint8))
    shape = store.shape
    place = Window(
        *(
            _at_full_size(slice(part.start + start, part.stop + start), old, new)
            for part, start, old, new in zip(
                (rows, columns), (window.rows.start, window.columns.start), seen, shape, strict=True
            )
        )
    )
    origin = (window.rows.start, window.columns.start)
    full = labels_at(labels, shape, origin=origin, whole=seen, part=place)
    areas = np.bincount(full.ravel(), minlength=len(first))
    # smaller than a pixel, it is lost
    own = own[areas[own] > 0]
    numbers = np.zeros(len(first), np.int32)
    numbers[own] = before + 1 + np.arange(len(own))
    mine = numbers[full]
    earlier = store.read(place)
    # numbers above are from this very block, of a run that was stopped while writing
    mine = np.where((mine > 0) & ((earlier == 0) | (earlier > before)), mine, 0)
    store.write(place, np.where(mine > 0, mine, np.where(earlier > before, 0, earlier)))
    areas = np.bincount(mine.ravel(), minlength=before + 1 + len(own))[before + 1 :]
    return areas, [found.classes[n - 1] for n in own.tolist()] if found.classes else []


def _at_full_size(part: slice, seen: int, full: int) -> slice:
    """Pixels of the picture in which something can lie that the network sees in a part."""
    step = seen / full
    # outlines run out over one more pixel
    start = max(int(np.floor((part.start - 1) / step)), 0)
    return slice(start, min(int(np.ceil((part.stop + 1) / step)), full))
