"""Segmentation: from a micrograph to its label image."""

from __future__ import annotations

import platform
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from . import __version__
from .channels import choose_pixels
from .config import SegmentConfig
from .engine import Engine, build_engine
from .errors import NucleisegError, SettingError
from .events import Decoding, DeviceChosen, Event, Notice, Segmented, TileDone
from .gathering import Gathering, gathering
from .instances import DecodeConfig, diameters, renumber
from .intensity import intensity_range, rescale
from .micrograph import Micrograph
from .nucleus_size import (
    SURENESS,
    diameter_px,
    fits_memory,
    labels_at,
    magnification,
    proposed_magnification,
    resample,
)
from .store import ModelCard, find_model
from .tiling import Grid

SMALLEST_TILE = 256
SMALLEST_AREA = SegmentConfig.model_fields["min_area_px"].default
NEUTRAL = SegmentConfig.model_fields["seed_sensitivity"].default


def decode_config(config: SegmentConfig, factor: float = 1.0) -> DecodeConfig:
    """Translate the user's settings into those of the decoding.

    Parameters
    ----------
    config : SegmentConfig
    factor : float
        How much the image is enlarged for the network. An area that was asked for counts in pixels
        of the micrograph, that of the default in those that the network sees.
    """
    area = config.min_area_px
    return DecodeConfig(
        probability=config.probability,
        sensitivity=config.seed_sensitivity,
        min_area_px=area if area == SMALLEST_AREA else round(area * factor**2),
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
    chosen, notices = choose_pixels(micrograph, config.channel, config.colour)
    for text in notices:
        yield Notice(text)
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
        factor = _factor_given(chosen, micrograph.pixel_size_um, model, config)
        found = yield from _find(chosen, (low, high), model, config, engine, factor)
        if config.nucleus_diameter == "auto":
            found = yield from _look_again(chosen, (low, high), model, config, found)
        labels, classes, engine, factor = found.labels, found.classes, found.engine, found.factor
        used: dict[str, Any] = {"device": engine.device, "engine": engine.name}
    else:
        yield Notice(f"{micrograph.name} is empty: nothing in it stands out from its background")
        labels, classes, factor = np.zeros(chosen.shape, np.int32), [], 1.0
        used = {"device": "none", "engine": "none"}
    sizes = diameters(labels)
    manifest = {
        "program": "napari-nucleiseg",
        "versions": dict(_versions()),
        "config": config.model_dump(mode="json"),
        "model": {"name": model.name, "sha256": model.sha256},
        **used,
        "input": {
            "name": micrograph.name,
            "path": None if micrograph.path is None else str(micrograph.path),
            "shape": list(chosen.shape),
            "dtype": str(pixels.dtype),
            "channel": list(chosen.channel_names) or None,
            "channel_number": _number_of(micrograph, chosen),
            "pixel_size_um": micrograph.pixel_size_um,
        },
        "intensity_range": [low, high],
        "magnification": factor,
        "nuclei": len(sizes),
    }
    if model.classes > 1:
        # of the nuclei 1..N, in this order
        manifest["classes"] = classes
    median = float(np.median(sizes)) if len(sizes) else 0.0
    yield Segmented(labels, len(sizes), median, time.monotonic() - started, manifest)


def segment_now(micrograph: Micrograph, config: SegmentConfig | None = None) -> Segmented:
    """Find every nucleus of a micrograph and return the result; see `segment`."""
    *_, last = segment(micrograph, config or SegmentConfig())
    if not isinstance(last, Segmented):
        raise TypeError(f"segment ended with {type(last).__name__}")
    return last


@dataclass(frozen=True)
class _Found:
    """The nuclei of a micrograph, their classes, and how they were found."""

    labels: np.ndarray
    classes: list[int]
    sureness: float
    engine: Engine
    factor: float


def _factor_given(
    chosen: Micrograph,
    pixel_size_um: tuple[float, float] | None,
    model: ModelCard,
    config: SegmentConfig,
) -> float:
    """How much to enlarge the image for the diameter that the user has given."""
    given = diameter_px(config.nucleus_diameter, pixel_size_um)
    if given is None:
        return 1.0
    known = model.median_diameter_px
    if known is None:
        raise SettingError(
            "The model does not say how large the nuclei are that it has learned from",
            f"{model.name}, nucleus diameter {config.nucleus_diameter}",
            "Leave the nucleus diameter at auto, or choose another model",
        )
    factor = magnification(given, known)
    if not fits_memory(chosen.shape, factor):
        raise NucleisegError(
            f"The micrograph is too large to be enlarged {factor:.2g} times",
            "{} has {}×{} px".format(chosen.name, *chosen.shape),
            "Crop it, or set the nucleus diameter to none",
        )
    return factor


def _find(
    chosen: Micrograph,
    ends: tuple[float, float],
    model: ModelCard,
    config: SegmentConfig,
    engine: Engine,
    factor: float,
) -> Generator[Event, None, _Found]:
    """Find the nuclei in the image enlarged by a factor; the labels are as large as before."""
    pixels = chosen.pixels
    try:
        if factor != 1:
            pixels, ends = resample(pixels, *ends, factor), (0.0, 1.0)
        shape = (pixels.shape[0], pixels.shape[1])
        gathered = gathering(model.map_names, shape, decode_config(config, factor))
    except MemoryError as error:
        raise _too_large(chosen) from error
    engine = yield from _fill(gathered, pixels, ends, model, config, engine)
    yield Decoding()
    try:
        labels, classes = gathered.labels()
        sureness = gathered.sureness(labels)
        if factor != 1:
            labels, classes = _without_lost(labels_at(labels, chosen.shape), classes)
    except MemoryError as error:
        raise _too_large(chosen) from error
    return _Found(labels, classes, sureness, engine, factor)


def _without_lost(labels: np.ndarray, classes: list[int]) -> tuple[np.ndarray, list[int]]:
    """Number what is left after shrinking without gaps, and its classes with it."""
    numbers = np.unique(labels[labels > 0])
    return renumber(labels), [classes[n - 1] for n in numbers] if classes else []


def _look_again(
    chosen: Micrograph,
    ends: tuple[float, float],
    model: ModelCard,
    config: SegmentConfig,
    found: _Found,
) -> Generator[Event, None, _Found]:
    """Where nuclei are far from the size that the model knows: look in the image resampled."""
    known = model.median_diameter_px
    if known is None:
        return found
    factor, diameter = proposed_magnification(found.labels, known)
    if factor == 1:
        return found
    verb, times = ("enlarged", factor) if factor > 1 else ("shrunk", 1 / factor)
    seen = f"Nuclei seem to be about {diameter:.2g} px wide, and {model.name} knows {known:.2g} px"
    if not fits_memory(chosen.shape, factor):
        yield Notice(
            f"{seen}: small ones may be missed. Crop the micrograph, so that it can be "
            f"{verb} {times:.2g} times"
        )
        return found
    yield Notice(f"{seen}: looking again in the image {verb} {times:.2g} times")
    again = yield from _find(chosen, ends, model, config, found.engine, factor)
    if again.sureness < found.sureness - SURENESS:
        yield Notice("That was no better: the first answer stays")
        return replace(found, engine=again.engine)
    return again


def _fill(
    gathered: Gathering,
    pixels: np.ndarray,
    ends: tuple[float, float],
    model: ModelCard,
    config: SegmentConfig,
    engine: Engine,
) -> Any:
    """Run all tiles; if memory runs out, with fewer and smaller ones, at last on the CPU."""
    height, width = pixels.shape[:2]
    is_fixed = model.fixed_tile is not None
    side = model.fixed_tile or min(config.tile_px, gathered.largest_tile)
    grid = Grid(side, config.overlap_px, model.multiple, config.batch_size, is_fixed)
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
    if micrograph.axes == "YX" or len(chosen.channel_names) != 1:
        return None
    names = ("red", "green", "blue") if micrograph.is_colour else micrograph.channels
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


@cache
def _versions() -> dict[str, str]:
    found = {"napari-nucleiseg": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "scikit-image", "torch", "openvino"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
