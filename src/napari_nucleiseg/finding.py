"""Finding nuclei in pixels: tiles through the network, decoding, and resampling if sizes differ."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .config import SegmentConfig
from .engine import Engine, build_engine
from .errors import NucleisegError, SettingError
from .events import Decoding, Event, Notice, TileDone
from .gathering import Gathering, gathering
from .instances import DecodeConfig, diameters, renumber
from .intensity import rescale
from .io._decoding import available_bytes
from .micrograph import Micrograph
from .nucleus_size import (
    LEAST,
    MOST,
    diameter_px,
    fits_memory,
    is_surer,
    magnification,
    proposed_magnification,
    words_of,
)
from .resampling import labels_at, resample
from .store import ModelCard
from .tiling import Grid
from .wording import number

SMALLEST_TILE = 256
# maps, labels and what decoding takes beside them, at the least
_BYTES_PER_PIXEL = 16

SMALLEST_AREA = SegmentConfig.model_fields["min_area_px"].default


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


def grid_of(model: ModelCard, config: SegmentConfig, largest_tile: int) -> Grid:
    """Sizes of the tiles that a model gets."""
    side = model.fixed_tile or min(config.tile_px, largest_tile)
    is_fixed = model.fixed_tile is not None
    return Grid(side, config.overlap_px, model.multiple, config.batch_size, is_fixed)


@dataclass(frozen=True)
class Found:
    """The nuclei of a micrograph, their classes, and how they were found."""

    labels: np.ndarray
    classes: list[int]
    sureness: float
    engine: Engine
    factor: float


def factor_given(
    pixel_size_um: tuple[float, float] | None, model: ModelCard, config: SegmentConfig
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
    return magnification(given, known)


def without_resampling(
    pixel_size_um: tuple[float, float] | None, model: ModelCard, config: SegmentConfig
) -> Iterator[Notice]:
    """Say why a diameter that the user has given changes nothing, where that is so."""
    given, known = diameter_px(config.nucleus_diameter, pixel_size_um), model.median_diameter_px
    if given is not None and known is not None and magnification(given, known) == 1:
        yield Notice(
            f"Nuclei of {given:.3g} px need no resampling: {model.name} knows those of "
            f"{number(LEAST * known)} to {number(MOST * known)} px"
        )


def check_enlarged(chosen: Micrograph, factor: float) -> None:
    """Refuse a picture that is too large once it is enlarged, where it is segmented as a whole."""
    if not fits_memory(chosen.shape, factor):
        raise NucleisegError(
            f"The micrograph is too large to be enlarged {number(factor)} times",
            "{} has {}×{} px".format(chosen.name, *chosen.shape),
            "Segment it block by block on the command line (--stream), crop it, or set the nucleus "
            "diameter to none",
        )


def find(
    chosen: Micrograph,
    ends: tuple[float, float],
    model: ModelCard,
    config: SegmentConfig,
    engine: Engine,
    factor: float,
) -> Generator[Event, None, Found]:
    """Find the nuclei in the image enlarged by a factor; the labels are as large as before."""
    pixels = chosen.pixels
    try:
        if factor != 1:
            pixels, ends = resample(pixels, *ends, factor), (0.0, 1.0)
        shape = (pixels.shape[0], pixels.shape[1])
        gathered = gathering(model.map_names, shape, decode_config(config, factor))
    except MemoryError as error:
        raise too_large(chosen) from error
    engine = yield from run_tiles(gathered, pixels, ends, model, config, engine)
    yield Decoding()
    try:
        labels, classes = gathered.labels()
        sureness = gathered.sureness(labels)
        if factor != 1:
            labels, classes = _without_lost(labels_at(labels, chosen.shape), classes)
    except MemoryError as error:
        raise too_large(chosen) from error
    return Found(labels, classes, sureness, engine, factor)


def _without_lost(labels: np.ndarray, classes: list[int]) -> tuple[np.ndarray, list[int]]:
    """Number what is left after shrinking without gaps, and its classes with it."""
    numbers = np.unique(labels[labels > 0])
    return renumber(labels), [classes[n - 1] for n in numbers] if classes else []


def look_again(
    chosen: Micrograph,
    ends: tuple[float, float],
    model: ModelCard,
    config: SegmentConfig,
    found: Found,
) -> Generator[Event, None, Found]:
    """Where nuclei are far from the size that the model knows: look in the image resampled."""
    known = model.median_diameter_px
    if known is None:
        return found
    factor, diameter = proposed_magnification(diameters(found.labels), known)
    if factor == 1:
        return found
    seen, resampled = words_of(diameter, known, model.name, factor)
    if not fits_memory(chosen.shape, factor):
        yield Notice(
            f"{seen}: small ones may be missed. Crop the micrograph, so that it can be {resampled}"
        )
        return found
    yield Notice(f"{seen}: looking again in the image {resampled}")
    again = yield from find(chosen, ends, model, config, found.engine, factor)
    if not is_surer(again.sureness, found.sureness, factor):
        yield Notice("That was no better: the first answer stays")
        return replace(found, engine=again.engine)
    return again


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


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text


def too_large(micrograph: Micrograph) -> NucleisegError:
    """Give the error for a micrograph that does not fit into memory."""
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
