"""Files of microscope makers through the plug-ins of bioio (Allen Institute for Cell Science)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..errors import ShapeError
from ..micrograph import Micrograph
from ._decoding import check_size, damaged, decoding
from ._lazy import needed, order
from ._ome import emission_nm
from ._series import choose_series, names_in_words


@lru_cache(maxsize=4)
def _reader(path: str, module: str, _changed: int) -> Any:
    return needed(module, "", "").Reader(path)


@contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what a plug-in raises into a `FileError`."""
    refused = import_module("bioio_base.exceptions").UnsupportedFileFormatError
    with decoding(path, kind, refused):
        yield


def _open(path: Path, kind: str, module: str, extra: str) -> Any:
    needed(module, f"A {kind} file ({path.name})", extra)
    with _reading(path, kind):
        reader = _reader(str(path), module, path.stat().st_mtime_ns)
        # some plug-ins look into the file here only
        if not reader.scenes:
            raise damaged(path, kind, "it lists no pictures")
        return reader


def series_names(path: Path, kind: str, module: str, extra: str) -> tuple[str, ...]:
    """Names of the scenes in a file; their numbers where names repeat."""
    return _scene_names(_open(path, kind, module, extra))


def _scene_names(reader: Any) -> tuple[str, ...]:
    scenes = tuple(str(scene) for scene in reader.scenes)
    if len(scenes) == 1:
        return ("",)
    unique = len({scene.casefold() for scene in scenes}) == len(scenes) and all(scenes)
    return scenes if unique else tuple(str(i + 1) for i in range(len(scenes)))


def open_file(
    path: Path, series: str | int | None, kind: str, module: str, extra: str
) -> Micrograph:
    """Open a scene of a vendor's file as dask array.

    Parameters
    ----------
    path : Path
    series : str, int or None
        Name of the scene or its number from 1; None: the first.
    kind : str
        Name of the format, for messages.
    module : str
        The plug-in; its ``Reader`` is used.
    extra : str
        The extra that installs it.
    """
    reader = _open(path, kind, module, extra)
    names = _scene_names(reader)
    chosen = choose_series(path, names, series)
    with _reading(path, kind):
        reader.set_scene(names.index(chosen))
        data = reader.xarray_dask_data
        axes = "".join(str(name) for name in data.dims)
        pixels = data.data
        sizes = reader.physical_pixel_sizes
        labels = [str(name) for name in reader.channel_names or ()]
    strange = [a for a, n in zip(axes, pixels.shape, strict=True) if a not in "TCZYXS" and n > 1]
    notices: tuple[str, ...] = ()
    if strange:
        counts = dict(zip(axes, pixels.shape, strict=True))
        found = ", ".join(f"{counts[a]} along {a}" for a in strange)
        notices = (f"{path.name} has {found}; the first was taken.",)
    pixels, axes = order(pixels, axes, drop="".join(strange))
    if axes.endswith("S") and ("C" in axes or pixels.shape[-1] != 3):
        raise ShapeError(
            "The file has channels of several components each",
            f"{path.name} has {pixels.shape[-1]} components",
            "Export the picture as OME-TIFF",
        )
    if len(names) > 1 and series is None:
        notices = (
            *notices,
            f"The file holds {len(names)} pictures; the first ({chosen}) was read. "
            f"The others are {names_in_words(names[1:])}.",
        )
    count = pixels.shape[axes.index("C")] if "C" in axes else 0
    height, width = sizes.Y, sizes.X
    return Micrograph(
        pixels,
        axes,
        pixel_size_um=(float(height), float(width)) if height and width else None,
        channel_names=tuple(labels) if count and len(labels) == count else (),
        path=path,
        notices=notices,
        z_step_um=float(sizes.Z) if sizes.Z else None,
        emission_nm=_emissions(reader, names.index(chosen), count),
        series=chosen,
    )


def read(path: Path, kind: str, module: str, extra: str) -> Micrograph:
    """Read the first scene into memory."""
    micrograph = open_file(path, None, kind, module, extra)
    if micrograph.is_stack:
        raise ShapeError(
            "The file is a stack, and one plane is expected",
            f"{path.name} has the axes {micrograph.axes}",
            "Choose the plane (--z, --t), or save it as its own file",
        )
    check_size(path, micrograph.pixels.nbytes)
    with _reading(path, kind):
        return micrograph.loaded()


def _emissions(reader: Any, index: int, count: int) -> tuple[float | None, ...]:
    """Wavelengths where the plug-in gives its metadata as OME-XML."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about settings of the microscope that are left empty
            xml = reader.ome_metadata.to_xml()
        root = ElementTree.fromstring(xml.encode())
    except (NotImplementedError, AttributeError, ValueError, ElementTree.ParseError):
        return ()
    images = root.findall("{*}Image")
    if index >= len(images) or not count:
        return ()
    waves = tuple(emission_nm(c) for c in images[index].findall("{*}Pixels/{*}Channel"))
    return waves if len(waves) == count and any(waves) else ()
