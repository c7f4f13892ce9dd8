"""Segmentation: from a micrograph to its label image."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from . import __version__
from .channels import choose_pixels
from .config import SegmentConfig
from .engine import Engine, build_engine
from .errors import NucleisegError
from .events import Decoding, DeviceChosen, Event, Notice, Segmented, TileDone
from .gathering import Gathering, gathering
from .instances import DecodeConfig, diameters
from .intensity import intensity_range, rescale
from .io._decoding import available_bytes
from .micrograph import Micrograph
from .store import ModelCard, find_model
from .tiling import Grid

SMALLEST_TILE = 256
NEUTRAL = SegmentConfig.model_fields["seed_sensitivity"].default

# maps, labels and what decoding takes beside them, at the least
_BYTES_PER_PIXEL = 16


def decode_config(config: SegmentConfig) -> DecodeConfig:
    """Translate the user's settings into those of the decoding."""
    return DecodeConfig(
        probability=config.probability,
        sensitivity=config.seed_sensitivity,
        min_area_px=config.min_area_px,
    )


def segment(micrograph: Micrograph, config: SegmentConfig) -> Iterator[Event]:
    """Find every nucleus of a micrograph.

    Parameters
    ----------
    micrograph : Micrograph
    config : SegmentConfig

    Yields
    ------
    Event
        `Notice` and `DeviceChosen`, `TileDone` after each tile, `Decoding`, and last `Segmented`.

    Raises
    ------
    NucleisegError
        If model, channel or device are not there, or memory does not suffice.
    TypeError
        If it is given anything but a micrograph, for example its pixels alone.
    """
    if not isinstance(micrograph, Micrograph):
        raise TypeError(
            f"segment takes a Micrograph, not {type(micrograph).__name__}. Make one of pixels by "
            'Micrograph(pixels, "YX"), or read a file by read_micrograph(path)'
        )
    started = time.monotonic()
    model = find_model(config.model)
    for text in micrograph.notices:
        yield Notice(text)
    plane = micrograph.one_plane(config.z, config.t)
    chosen, notices = choose_pixels(plane, config.channel, config.colour, config.merge)
    for text in notices:
        yield Notice(text)
    if chosen.is_lazy:
        check_fits(micrograph.name, chosen.shape)
    try:
        chosen = chosen.loaded()
    except MemoryError as error:
        raise _too_large(micrograph) from error
    pixels = chosen.pixels
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        yield Notice(f"{micrograph.name} holds pixels that are not numbers; they count as dark")
    low, high = intensity_range(pixels, model.normalise)
    if high > low:
        engine = build_engine(model, config)
        for text in engine.notices:
            yield Notice(text)
        yield DeviceChosen(engine.device, engine.name, engine.reason)
        if model.finds_instances and config.seed_sensitivity != NEUTRAL:
            yield Notice(
                f"seed_sensitivity has no effect: {model.name} finds every nucleus by itself, "
                "without seeds"
            )
        try:
            gathered = gathering(model.map_names, chosen.shape, decode_config(config))
        except MemoryError as error:
            raise _too_large(micrograph) from error
        engine = yield from run_tiles(gathered, pixels, (low, high), model, config, engine)
        yield Decoding()
        try:
            labels, classes = gathered.labels()
        except MemoryError as error:
            raise _too_large(micrograph) from error
        used: dict[str, Any] = {"device": engine.device, "engine": engine.name}
    else:
        yield Notice(f"{micrograph.name} is empty: nothing in it stands out from its background")
        labels, classes = np.zeros(chosen.shape, np.int32), []
        used = {"device": "none", "engine": "none"}
    sizes = diameters(labels)
    manifest = describe_run(micrograph, chosen, model, config, (low, high), used, len(sizes))
    if model.classes > 1:
        # of the nuclei 1..N, in this order
        manifest["classes"] = classes
    median = float(np.median(sizes)) if len(sizes) else 0.0
    yield Segmented(labels, len(sizes), median, time.monotonic() - started, manifest)


def describe_run(
    micrograph: Micrograph,
    chosen: Micrograph,
    model: ModelCard,
    config: SegmentConfig,
    ends: tuple[float, float],
    used: dict[str, Any],
    count: int,
) -> dict[str, Any]:
    """Record all that is needed to repeat a segmentation: the manifest of its result."""
    return {
        "program": "napari-nucleiseg",
        "versions": dict(_versions()),
        "config": config.model_dump(mode="json"),
        "model": {"name": model.name, "sha256": model.sha256},
        **used,
        "input": {
            "name": micrograph.name,
            "path": None if micrograph.path is None else str(micrograph.path),
            "series": micrograph.series or None,
            "shape": list(chosen.shape),
            "dtype": str(chosen.pixels.dtype),
            "channel": list(chosen.channel_names) or None,
            "channel_number": _number_of(micrograph, chosen),
            "pixel_size_um": micrograph.pixel_size_um,
        },
        "intensity_range": list(ends),
        "nuclei": count,
    }


def segment_now(micrograph: Micrograph, config: SegmentConfig | None = None) -> Segmented:
    """Find every nucleus of a micrograph and return the result; see `segment`."""
    *_, last = segment(micrograph, config or SegmentConfig())
    if not isinstance(last, Segmented):
        raise TypeError(f"segment ended with {type(last).__name__}")
    return last


def grid_of(model: ModelCard, config: SegmentConfig, largest_tile: int) -> Grid:
    """Sizes of the tiles that a model gets."""
    side = model.fixed_tile or min(config.tile_px, largest_tile)
    is_fixed = model.fixed_tile is not None
    return Grid(side, config.overlap_px, model.multiple, config.batch_size, is_fixed)


def run_tiles(
    gathered: Gathering,
    pixels: np.ndarray,
    ends: tuple[float, float],
    model: ModelCard,
    config: SegmentConfig,
    engine: Engine,
) -> Any:
    """Run all tiles; if memory runs out, with fewer and smaller ones, at last on the CPU."""
    height, width = pixels.shape[:2]
    grid = grid_of(model, config, gathered.largest_tile)
    side, is_fixed = grid.tile, grid.is_fixed
    unset = SegmentConfig()
    if side != config.tile_px != unset.tile_px:
        yield Notice(f"{model.name} takes tiles of {side} px, not of {config.tile_px} px")
    is_asked = (config.tile_px, config.overlap_px) != (unset.tile_px, unset.overlap_px)
    if is_asked and 2 * config.overlap_px > side < max(height, width):
        yield Notice(
            f"Tiles overlap by half of their {side} px, not by {config.overlap_px} px: "
            "more than half of a tile is not possible"
        )

    def read(rows: slice, columns: slice) -> np.ndarray:
        return rescale(pixels[rows, columns], *ends, model.normalise.clip)

    while True:
        try:
            for done, total in gathered.tiles(engine.predict, read, grid):
                yield TileDone(done, total)
            return engine
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            cause = error
        # outside of the handler the failed tile's arrays are no longer held by its traceback
        if grid.batch > 1:
            grid = replace(grid, batch=grid.batch // 2)
            yield Notice(f"Memory ran out: going on with {grid.batch} tiles at a time")
        elif grid.tile > SMALLEST_TILE and not is_fixed:
            smaller = max(SMALLEST_TILE, min(grid.tile, max(height, width)) // 2)
            grid = replace(grid, tile=smaller)
            yield Notice(f"Memory ran out: going on with tiles of {smaller} px")
        elif engine.device != "cpu":
            yield Notice(f"Memory of the {engine.device} device ran out: going on on the CPU")
            engine = build_engine(model, config.model_copy(update={"device": "cpu"}))
            grid = Grid(side, config.overlap_px, model.multiple, 1, is_fixed)
        else:
            raise NucleisegError(
                "There is not enough memory",
                f"for a micrograph of {height}×{width} px",
                "Close other programs or crop the micrograph",
            ) from cause


def _number_of(micrograph: Micrograph, chosen: Micrograph) -> int | None:
    """Number of the channel that was looked at, from 1; None where there was no choice."""
    names = ("red", "green", "blue") if micrograph.is_colour else micrograph.channels
    if len(chosen.channel_names) != 1 or chosen.channel_names[0] not in names:
        return None
    return names.index(chosen.channel_names[0]) + 1


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text


def _too_large(micrograph: Micrograph) -> NucleisegError:
    return NucleisegError(
        "There is not enough memory",
        "{} has {}×{} px".format(micrograph.name, *micrograph.shape),
        "Close other programs or crop the micrograph",
    )


def check_fits(name: str, shape: tuple[int, int]) -> None:
    """Refuse a picture that is still in its file and whose maps cannot fit into the memory.

    Parameters
    ----------
    name : str
        What to call it.
    shape : (int, int)
        Height and width in pixels.

    Raises
    ------
    NucleisegError
        If segmenting it as a whole takes more than the computer has free.
    """
    height, width = shape
    free, needed = available_bytes(), height * width * _BYTES_PER_PIXEL
    if free is not None and needed > free:
        raise NucleisegError(
            "The picture is too large to be segmented as a whole",
            f"{name} has {height:,}×{width:,} px, which takes about {needed / 2**30:.1f} GiB, "
            f"and {free / 2**30:.1f} GiB are free",
            "Segment it block by block on the command line, "
            "nucleiseg segment FILE --out FOLDER --stream, and open the label image in napari",
        )


@cache
def _versions() -> dict[str, str]:
    found = {"napari-nucleiseg": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "scikit-image", "torch", "openvino"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
