"""TIFF files of several planes, several pictures, or too large for the memory.

Small single pictures are left to `napari_nucleiseg.io.tiff`, which knows all ways to store colours.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, ShapeError
from ..micrograph import Micrograph
from . import tiff
from ._decoding import check_size, decoding, listening
from ._lazy import LAZY_BYTES, Stored, needed, order, to_dask
from ._ome import Ome, in_um, parse_ome
from ._planes import MOST_CHANNELS, TakenAsChannels, planes_assumed
from ._series import choose_series, names_in_words

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _YCBCR = 0, 1, 2, 3, 4, 6


def open_level(path: str, series: int, level: int) -> Any:
    """One level of a picture, for `Stored`: mapped where it lies in one piece, else by zarr."""
    import tifffile

    tif = tifffile.TiffFile(path, _multifile=False)
    source = tif.series[series]
    if source.levels[level].dataoffset is not None:
        mapped = source.asarray(level=level, out="memmap")
        tif.close()
        return mapped
    zarr = needed("zarr", f"A large TIFF file ({Path(path).name})", "zarr")
    array = zarr.open_array(source.aszarr(level=level), mode="r")
    weakref.finalize(array, tif.close)
    return array


def series_names(path: Path) -> tuple[str, ...]:
    """Names of the pictures in a file, less thumbnails; ("",) if there is one."""
    import tifffile

    with (
        decoding(path, tiff.NAME, tifffile.TiffFileError),
        listening("tifffile"),
        tifffile.TiffFile(path, _multifile=False) as tif,
    ):
        return _names(tif, _ome_of(tif, 0))


def _ome_of(tif: Any, index: int) -> Ome:
    description = tif.pages[0].description
    is_ome = isinstance(description, str) and description.rstrip().endswith("OME>")
    return parse_ome(description, index) if is_ome else Ome()


def _names(tif: Any, ome: Ome) -> tuple[str, ...]:
    count = len(tif.series)
    if count == 1:
        return ("",)
    names = ome.names if len(ome.names) == count else tuple(s.name for s in tif.series)
    numbers = tuple(str(i + 1) for i in range(count))
    unique = len({n.casefold() for n in names}) == count and all(names)
    return names if unique else numbers


def open_file(path: Path, series: str | int | None) -> Micrograph:
    """Open a TIFF file; pixels of more than `LAZY_BYTES` stay in it.

    Parameters
    ----------
    path : Path
    series : str, int or None
        Name of the picture or its number from 1; None: the first.
    """
    import tifffile

    with (
        decoding(path, tiff.NAME, tifffile.TiffFileError),
        listening("tifffile") as heard,
        tifffile.TiffFile(path, _multifile=False) as tif,
    ):
        names = _names(tif, _ome_of(tif, 0))
        tiff.refuse_damage(path, heard)
        chosen = choose_series(path, names, series)
        index = names.index(chosen)
        ome = _ome_of(tif, index)
        source = tif.series[index]
        is_large = math.prod(source.shape) * source.dtype.itemsize > LAZY_BYTES
        # what lies in pieces is read by zarr; without the extra, as a whole if it fits
        is_large &= find_spec("dask") is not None
        is_large &= source.dataoffset is not None or find_spec("zarr") is not None
        planes = source.get_axes(squeeze=True).replace("S", "")
        if ome.split or (index == 0 and len(planes) <= 3 and not is_large):
            sides = (n for a, n in zip(source.axes, source.shape, strict=True) if a != "S")
            is_stack = set(planes) & set("ZT") or (len(planes) == 3 and min(sides) > MOST_CHANNELS)
            if ome.split or not is_stack:
                found = tiff.read(path)
                return found if series is None else _without_count(found, chosen)
        tiff.refuse_lies(source, tif.filehandle.size, path, in_memory=not is_large)
        axes, shape = source.get_axes(squeeze=False), source.get_shape(squeeze=False)
        levels: list[Any] = []
        if is_large:
            levels = [_lazy(path, index, n, axes) for n in range(len(source.levels))]
        else:
            check_size(path, math.prod(shape) * source.dtype.itemsize)
            pixels = source.asarray(level=0).reshape(shape)
            levels = [pixels.astype(pixels.dtype.newbyteorder("="), copy=False)]
        tiff.refuse_damage(path, heard)
        page = source.keyframe
        imagej = (tif.imagej_metadata or {}) if tif.is_imagej else None
        description = tif.pages[0].description
        size, notices = tiff.pixel_size(page, ome, imagej, str(description or ""))
        axes, said = _named(axes, shape, path)
        notices = (*notices, *said)
        if len(names) > 1 and series is None:
            others = names_in_words(names[1:])
            notices = (
                *notices,
                f"The file holds {len(names)} pictures; the first was read. "
                f"The others are {others}.",
            )
        has_lookup_table = imagej is not None or bool(ome.names)
        interpreted = [_interpret(level, axes, page, path, has_lookup_table) for level in levels]
    pixels, wanted, said = interpreted[0]
    count = pixels.shape[wanted.index("C")] if "C" in wanted else 0
    channel_names = ome.channel_names if imagej is None else _channels(imagej, count)
    z_step = ome.z_step_um
    if imagej and imagej.get("spacing"):
        z_step = in_um(float(imagej["spacing"]), str(imagej.get("unit", "")))
    return Micrograph(
        pixels,
        wanted,
        pixel_size_um=size,
        channel_names=channel_names if count and len(channel_names) == count else (),
        path=path,
        notices=(*notices, *said),
        levels=tuple(level for level, _, _ in interpreted[1:]),
        z_step_um=z_step,
        emission_nm=ome.emission_nm if count and len(ome.emission_nm) == count else (),
        series=chosen,
    )


def _without_count(found: Micrograph, chosen: str) -> Micrograph:
    """The first picture where it was asked for: that there are others is known."""
    notices = tuple(n for n in found.notices if not n.endswith("the first was read."))
    return replace(found, notices=notices, series=chosen)


def _lazy(path: Path, series: int, level: int, axes: str) -> Any:
    """A level with all the axes of the first, also those of length 1."""
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as tif:
        source = tif.series[series].levels[level]
        short = source.get_axes(squeeze=True)
    stored = Stored(open_level, (str(path), series, level), tiff.NAME)
    pixels = to_dask(stored, short.index("Y"), short.index("X"))
    return pixels[tuple(slice(None) if axis in short else None for axis in axes)]


def _named(axes: str, shape: tuple[int, ...], path: Path) -> tuple[str, tuple[str, ...]]:
    """Axes with the letters of a micrograph; one that nothing names is taken as focal planes."""
    strange = [a for a, n in zip(axes, shape, strict=True) if a not in "TCZYXS" and n > 1]
    if not strange:
        return axes, ()
    is_z_free = all(n == 1 for a, n in zip(axes, shape, strict=True) if a == "Z")
    if len(strange) > 1 or not is_z_free:
        raise ShapeError(
            "The axes of the stack are not known",
            f"{path.name} has {'×'.join(map(str, shape))} as {axes}",
            "Save it again as OME-TIFF with named axes",
        )
    count = shape[axes.index(strange[0])]
    named = axes.replace("Z", "?").replace(strange[0], "Z")
    return named, (planes_assumed(count),)


def _interpret(
    pixels: Any, axes: str, page: Any, path: Path, has_lookup_table: bool
) -> tuple[Any, str, tuple[str, ...]]:
    """Put axes in order; stored samples become intensities or colours."""
    photometric = int(page.photometric)
    pixels, axes = order(pixels, axes)
    notices: tuple[str, ...] = ()
    if photometric == _WHITE_IS_ZERO and pixels.dtype.kind == "u":
        bits = page.bitspersample if isinstance(page.bitspersample, int) else None
        brightest = 2 ** (bits or pixels.dtype.itemsize * 8) - 1
        pixels = pixels.dtype.type(brightest) - pixels
        notices = ("White is stored as 0; the intensities were inverted, as displayed.",)
    elif (photometric == _PALETTE and not has_lookup_table) or photometric not in (
        _WHITE_IS_ZERO,
        _BLACK_IS_ZERO,
        _RGB,
        _PALETTE,
        _MASK,
        _YCBCR,
    ):
        name = getattr(page.photometric, "name", str(photometric))
        raise FileError(
            "The colours of a stack or a large picture cannot be converted",
            f"{path.name} has the colour space {name}",
            "Save it again as RGB or grey",
        )
    if not axes.endswith("S"):
        return pixels, axes, notices
    is_colour = photometric in (_RGB, _YCBCR)
    count = pixels.shape[-1]
    if is_colour and count == 4 and pixels.dtype == np.uint8:
        pixels, count = pixels[..., :3], 3
        notices = (*notices, "The transparency of the picture was left out.")
    if is_colour and count == 3 and pixels.dtype == np.uint8 and "C" not in axes:
        return pixels, axes, notices
    if "C" in axes:
        raise ShapeError(
            "The file has channels of several components each",
            f"{path.name} has {count} components in each channel",
            "Save the channels as a stack of grey pictures",
        )
    bits = pixels.dtype.itemsize * 8
    what = f"{count} {bits}-bit components were taken as channels, not as colours."
    return *order(pixels, axes.replace("S", "C")), (*notices, TakenAsChannels(what))


def _channels(imagej: dict[str, Any], count: int) -> tuple[str, ...]:
    """Names of channels from ImageJ's slice labels, of which each plane has one."""
    names = tiff.slice_names(imagej)
    return names if len(names) == count else ()
