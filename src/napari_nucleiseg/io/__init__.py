"""Reading micrographs and label images, writing label images.

One file per format. A format's module has

- ``NAME``, for messages; ``SUFFIXES``, in lower case; ``MAGIC``, the bytes its files begin with;
- ``read(path, *, numbers=False) -> Micrograph``; with ``numbers`` the stored numbers are wanted, as
  in a label image: palette entries are not looked up and greys not inverted;
- ``open_file(path, *, series=None) -> Micrograph``, if it can hold stacks, several pictures or more
  than fits into memory: any axes, large pixels as dask arrays; and ``series_names(path)``;
- ``write(path, labels, pixel_size_um)``, if it can hold label images; it uses `write_whole`.

Heavy libraries are imported inside these functions, so that the names of formats cost nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np

from ..errors import FileError, ShapeError
from ..micrograph import Micrograph
from ..registry import Registry
from . import _lazy, _series
from ._decoding import check_size
from ._file_stacks import files_assumed, in_order, name_of_stack
from ._label_numbers import BinaryMask, ColourMask, LooksLikeMicrograph, to_labels, whole_numbers
from ._label_stack import write_label_stack
from ._lazy import needed
from ._planes import TakenAsChannels

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "BinaryMask",
    "ColourMask",
    "Labels",
    "LooksLikeMicrograph",
    "in_order",
    "is_zarr",
    "name_of",
    "name_of_stack",
    "needed",
    "open_labels",
    "open_micrograph",
    "open_stack",
    "pixel_size_of",
    "read_labels",
    "read_micrograph",
    "series_names",
    "with_colour",
    "write_label_stack",
    "write_labels",
]

Colour = Literal["auto", "colour", "channels"]

FORMATS = Registry("napari_nucleiseg.io", "file format")


@cache  # looking for formats of other distributions takes longer than reading a picture
def _formats() -> tuple[ModuleType, ...]:
    return tuple(FORMATS.module(name) for name in FORMATS.names())


SUFFIXES: tuple[str, ...] = tuple(s for module in _formats() for s in module.SUFFIXES)
"""Endings of the files that can be read, in lower case."""

# what people try to open and get a clear answer for: (first bytes or suffixes, what it is)
_NOT_YET = (
    ((b"\x89HDF\r\n", ".ims", ".h5", ".hdf5"), "an HDF5 or Imaris file"),
    ((b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51", ".jp2"), "a JPEG 2000 file"),
    ((b"GIF8",), "a GIF picture"),
    ((b"RIFF", ".webp"), "a WebP picture"),
    ((".oib", ".oif", ".vsi"), "an Olympus file"),
    ((b"PK\x03\x04", ".zip"), "a ZIP archive"),
    ((b"%PDF",), "a PDF document"),
)


class Labels(NamedTuple):
    """A label image as read, and what was converted on the way.

    Attributes
    ----------
    image : (H, W) int32 ndarray
        0 background, 1..N one nucleus each (the file's own numbers); -1 where ignored.
    notices : tuple of str
        One sentence each, to be shown.
    """

    image: np.ndarray
    notices: tuple[str, ...]


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store, as OME-Zarr is, by its name or by what lies in it."""
    marks = (".zgroup", ".zarray", "zarr.json")
    # a folder that may not be looked into is none
    return os.path.isdir(path) and (
        path.suffix.lower() == ".zarr" or any(os.path.isfile(path / mark) for mark in marks)
    )


def _not_yet(path: Path, head: bytes) -> FileError | None:
    """The error for a kind of file that is known and not read yet."""
    for signs, what in _NOT_YET:
        for sign in signs:
            if head.startswith(sign) if isinstance(sign, bytes) else path.suffix.lower() == sign:
                return FileError(
                    f"{what[0].upper()}{what[1:]} cannot be opened yet",
                    path.name,
                    "Export the plane to segment as OME-TIFF, TIFF or PNG",
                )
    return None


def _format_of(path: Path) -> ModuleType:
    """The module that reads the file, by its first bytes; its name can be anything."""
    if is_zarr(path):
        return FORMATS.module("ome_zarr")
    if path.is_dir():
        raise FileError(
            "A picture file is expected, not a folder",
            path.name or str(path),
            "Choose a file in it",
        )
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise FileError("There is no such file", str(path), "Check the name") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError(
            "The file cannot be opened", f"{path.name} ({reason})", "Check who may read it"
        ) from error
    if not head:
        raise FileError("The file is empty", path.name, "Copy or download it again")
    for module in _formats():
        if any(head.startswith(magic) for magic in module.MAGIC):
            return module
    raise _not_yet(path, head) or FileError(
        "The file is not a picture of a known format",
        path.name,
        f"Readable are {', '.join(m.NAME for m in _formats())}; save it again as one of them",
    )


def name_of(path: Path) -> str:
    """Name of a file without its format: the suffix is left out only if it is one of `SUFFIXES`."""
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    return re.sub(r"\.ome$", "", stem, flags=re.IGNORECASE) or path.name


def read_micrograph(
    path: Path | str,
    *,
    colour: Colour = "auto",
    series: str | int | None = None,
    z: str | int | None = None,
    t: str | int | None = None,
) -> Micrograph:
    """Read a micrograph of one plane into memory.

    Parameters
    ----------
    path : Path or str
        A PNG, JPEG, BMP, TIFF, ImageJ TIFF, OME-TIFF, OME-Zarr, NumPy or (with the extras) CZI, LIF
        or ND2 file, whatever its name. Of a pyramid the full resolution is read.
    colour : {"auto", "colour", "channels"}
        Whether three components are one colour picture or three channels. By itself, 8-bit RGB is
        colour (grey, if all three are equal) and anything else channels. Does not matter where
        there are not three.
    series : str, int or None
        Which picture of a file with several: its name (see `series_names`) or number from 1; None:
        the first.
    z, t : str, int or None
        Which focal plane and time point of a stack: number from 1, ``"middle"``, or ``"max"`` or
        ``"mean"`` of all.

    Returns
    -------
    Micrograph
        Pixels in the file's own numbers. Its notices say what was assumed or converted.

    Raises
    ------
    FileError
        If the file is missing, damaged, incomplete, too large for the memory, or not a picture.
    ShapeError
        If it is a stack of which no plane was chosen, or has no pixels.
    SettingError
        If there is no such picture or plane.
    DependencyError
        If a package for this format is not installed.
    """
    path = Path(path)
    module = _format_of(path)
    if series is None and z is None and t is None and hasattr(module, "MAGIC") and module.MAGIC:
        micrograph = module.read(path)
    else:
        micrograph = open_micrograph(path, series=series).one_plane(z, t)
        check_size(path, micrograph.pixels.nbytes)
        micrograph = micrograph.loaded()
    return replace(with_colour(micrograph, colour), name=name_of(path), path=path)


def open_micrograph(path: Path | str, *, series: str | int | None = None) -> Micrograph:
    """Open a micrograph with all its planes, reading as little as possible.

    Parameters
    ----------
    path : Path or str
        As for `read_micrograph`.
    series : str, int or None
        Which picture of a file with several: its name (see `series_names`) or number from 1; None:
        the first.

    Returns
    -------
    Micrograph
        Of any axes. What takes more than 256 MiB is a dask array that is read where it is looked
        at; all of an OME-Zarr and of vendors' files is.

    Raises
    ------
    NucleisegError
        As `read_micrograph` does; damage inside large files is told when it is come across.
    """
    path = Path(path)
    module = _format_of(path)
    micrograph: Micrograph
    if hasattr(module, "open_file"):
        micrograph = module.open_file(path, series=series)
    else:
        _series.choose_series(path, ("",), None if str(series) == "1" else series)
        micrograph = module.read(path)
    return replace(micrograph, name=name_of(path), path=path)


def series_names(path: Path | str) -> tuple[str, ...]:
    """Names of the pictures in a file, in their order; ("",) for one that has no name.

    Raises
    ------
    NucleisegError
        If the file cannot be read.
    """
    path = Path(path)
    module = _format_of(path)
    names: tuple[str, ...] = module.series_names(path) if hasattr(module, "series_names") else ("",)
    return names


def open_stack(
    paths: Sequence[Path | str], axis: Literal["Z", "T", "C"] | None = "Z"
) -> Micrograph:
    """Open several files as one stack.

    Parameters
    ----------
    paths : sequence of Path or str
        In their order; `in_order` gives it.
    axis : {"Z", "T", "C"} or None
        What they differ in; none of them may have this axis itself. None: nobody knows; focal
        planes are assumed, or time points of files with focal planes, and a notice says so.

    Returns
    -------
    Micrograph
        Its pixels are a dask array: a file is read when its plane is looked at.

    Raises
    ------
    ShapeError
        If they differ in size, axes or depth, or have this axis themselves.
    FileError
        If there are none, or one cannot be read.
    """
    if not paths:
        raise FileError("A stack needs files", "none are given")
    files = [Path(path) for path in paths]
    first = open_micrograph(files[0])
    assumed = files_assumed(len(files), first.axes) if axis is None else None
    if axis is None:
        if assumed is None:
            raise ShapeError(
                "The files have focal planes and time points already",
                f"{files[0].name} is {first.axes}",
                "Open them one by one",
            )
        axis = "Z" if assumed.letter == "Z" else "T"
    if axis in first.axes or (axis == "C" and first.is_colour):
        raise ShapeError(
            "The files have this axis themselves", f"{files[0].name} is {first.axes}, axis {axis}"
        )
    pieces = []
    for file in files:
        # opened one after the other, so that one is in memory at a time
        one = first if file == files[0] else open_micrograph(file)
        if (one.axes, one.pixels.shape) != (first.axes, first.pixels.shape):
            raise ShapeError(
                "The files of a stack differ in size",
                f"{file.name} is {one.axes} {one.pixels.shape}, "
                f"{files[0].name} {first.axes} {first.pixels.shape}",
                "Choose files of one kind",
            )
        if one.pixels.dtype != first.pixels.dtype:
            raise ShapeError(
                "The files of a stack differ in depth",
                f"{file.name} is {one.pixels.dtype}, {files[0].name} {first.pixels.dtype}",
                "Choose files of one kind",
            )
        pieces.append(one.pixels if one.is_lazy else _lazy.whole_file(_pixels_of, file, one.pixels))
    axes = "".join(a for a in "TCZYXS" if a in first.axes + axis)
    names = tuple(name_of(file) for file in files) if axis == "C" else first.channel_names
    return replace(
        first,
        pixels=_lazy.stacked(pieces, axes.index(axis)),
        axes=axes,
        channel_names=names,
        levels=(),
        name=name_of_stack([name_of(file) for file in files]),
        notices=first.notices if assumed is None else (*first.notices, assumed),
    )


def _pixels_of(path: str) -> np.ndarray:
    return np.asarray(open_micrograph(path).pixels)


def open_labels(path: Path | str) -> tuple[tuple[str, Micrograph], ...]:
    """Open the label images that lie inside a picture, as in OME-Zarr.

    Returns
    -------
    tuple of (str, Micrograph)
        Name and numbers of each; of any axes but channels.
    """
    path = Path(path)
    module = _format_of(path)
    found = module.labels_inside(path) if hasattr(module, "labels_inside") else ()
    return tuple((name, replace(labels, name=name, path=path)) for name, labels in found)


def with_colour(micrograph: Micrograph, colour: Colour) -> Micrograph:
    """Take three components for a colour picture or for channels.

    Parameters
    ----------
    micrograph : Micrograph
        In memory. A stack is returned as it is.
    colour : {"auto", "colour", "channels"}
        See `read_micrograph`.
    """
    pixels = micrograph.pixels
    if micrograph.is_stack:
        return micrograph
    if micrograph.is_colour and colour == "channels":
        return replace(
            micrograph,
            pixels=np.ascontiguousarray(np.moveaxis(pixels, -1, 0)),
            axes="CYX",
            channel_names=("red", "green", "blue"),
        )
    if micrograph.axes == "CYX" and pixels.shape[0] == 3 and colour == "colour":
        return replace(
            micrograph,
            pixels=np.ascontiguousarray(np.moveaxis(pixels, 0, -1)),
            axes="YXS",
            channel_names=(),
            notices=tuple(n for n in micrograph.notices if not isinstance(n, TakenAsChannels)),
        )
    if micrograph.is_colour and colour == "auto" and (pixels == pixels[..., :1]).all():
        return replace(
            micrograph,
            pixels=np.ascontiguousarray(pixels[..., 0]),
            axes="YX",
            notices=(*micrograph.notices, "Red, green and blue are equal; it was read as grey."),
        )
    return micrograph


def read_labels(path: Path | str) -> Labels:
    """Read a label image.

    Parameters
    ----------
    path : Path or str
        A file with one number per nucleus, a black-and-white mask or a picture with one colour per
        nucleus (their connected pieces become nuclei, and a notice says how many); or a folder that
        holds one mask file per nucleus.

    Returns
    -------
    Labels
        Numbers as in the file, also with gaps; negative ones become -1, which is ignored.

    Raises
    ------
    FileError
        If the file cannot be read, or its numbers cannot be labels.
    ShapeError
        If it has several planes, or the masks of a folder differ in size.
    """
    path = Path(path)
    if path.is_dir() and not is_zarr(path):
        return _read_folder(path)
    picture = _format_of(path).read(path, numbers=True)
    return Labels(*to_labels(picture, path.name))


def pixel_size_of(path: Path | str) -> tuple[float, float] | None:
    """Height and width of a pixel in µm as a picture file states them, micrograph or label image.

    Parameters
    ----------
    path : Path or str

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    picture: Micrograph = _format_of(Path(path)).read(Path(path), numbers=True)
    return picture.pixel_size_um


def _read_folder(folder: Path) -> Labels:
    """One file per nucleus, as in the 2018 Data Science Bowl, numbered by the order of names."""
    files = sorted(
        p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    )
    if not files:
        raise FileError(
            "The folder holds no mask files", folder.name, f"Expected are {', '.join(SUFFIXES)}"
        )
    image = np.zeros((0, 0), np.int32)
    count = shared = empty = 0
    for file in files:
        picture = _format_of(file).read(file, numbers=True)
        pixels = picture.pixels
        if picture.is_colour and (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]
        if pixels.ndim != 2:
            raise ShapeError("The mask of one nucleus is black and white", file.name)
        mask = whole_numbers(pixels, file.name)
        if not image.size:
            image = np.zeros(mask.shape, np.int32)
        if mask.shape != image.shape:
            raise ShapeError(
                "The masks of a folder differ in size",
                f"{file.name} is {mask.shape[0]}×{mask.shape[1]}, "
                f"{files[0].name} is {image.shape[0]}×{image.shape[1]}",
            )
        inside = mask > 0
        if not inside.any():
            empty += 1
            continue
        if (mask[inside] != mask[inside][0]).any():
            raise FileError(
                "In a folder of masks each file holds one nucleus",
                f"{file.name} holds several numbers",
                "Choose the label image itself",
            )
        count += 1
        shared += int((inside & (image > 0)).sum())
        image[inside & (image == 0)] = count
    notices = [f"The folder's {count} mask files became {count} nuclei."]
    if shared:
        notices.append(f"{shared} pixels in two masks stayed with the first.")
    if empty:
        notices.append(f"{empty} empty mask files were left out.")
    return Labels(image, tuple(notices))


# formats that hold stacks of label images
STACK_SUFFIXES = (".tif", ".tiff", ".npy")


def write_labels(
    path: Path | str, labels: np.ndarray, pixel_size_um: tuple[float, float] | None = None
) -> Path:
    """Write a label image, with as few bits as hold its numbers: 8, 16 or 32.

    Parameters
    ----------
    path : Path or str
        The suffix chooses the format: ``.tif``, ``.png`` (up to 65,535) or ``.npy``. An earlier
        file of this name is replaced when the new one is complete.
    labels : (H, W) integer ndarray
        0 background, 1..N one nucleus each. Ignored pixels (negative) are written as -1, which
        makes the numbers signed and needs TIFF or NumPy. So does a stack, (Z, H, W) or
        (T, Z, H, W).
    pixel_size_um : (float, float), optional
        Height and width of a pixel in µm; TIFF keeps it, in ImageJ's way.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    FileError
        If the format cannot hold label images or these numbers, or the disk is full.
    ShapeError
        If these are no whole numbers, or a stack for a format that holds one plane.
    """
    path, labels = Path(path), np.asarray(labels)
    if labels.ndim > 2 and path.suffix.lower() not in STACK_SUFFIXES:
        raise ShapeError(
            "A stack of label images cannot be written to such a file",
            f"{path.name}, with {labels.ndim} axes",
            f"Use one of {', '.join(STACK_SUFFIXES)}",
        )
    if not 2 <= labels.ndim <= 4 or labels.dtype.kind not in "biu" or not labels.size:
        raise ShapeError(
            "A label image is a plane or a stack of whole numbers",
            f"got {labels.dtype} of shape {labels.shape} for {path.name}",
        )
    writers = {
        suffix: module
        for module in _formats()
        if hasattr(module, "write")
        for suffix in module.SUFFIXES
    }
    module = writers.get(path.suffix.lower())
    if module is None:
        known = ", ".join(suffix for suffix in writers)
        raise FileError("Labels cannot be written to such a file", path.name, f"Use one of {known}")
    numbers = _fewest_bits(whole_numbers(labels, path.name))
    module.write(path, numbers, pixel_size_um)
    return path


def _fewest_bits(labels: np.ndarray) -> np.ndarray:
    """The smallest dtype that holds all numbers and that other programs read.

    With 32 bits it is signed: OpenCV 4 does not read unsigned ones, and labels are never larger.
    """
    low, high = int(labels.min()), int(labels.max())
    dtypes = (np.int16, np.int32) if low < 0 else (np.uint8, np.uint16, np.int32)
    return labels.astype(next(d for d in dtypes if high <= np.iinfo(d).max))
