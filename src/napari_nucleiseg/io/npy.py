"""NPY: one NumPy array, NumPy developers, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ..errors import ShapeError
from ..files import write_whole
from ..micrograph import Micrograph
from ._decoding import check_size, decoding
from ._planes import MOST_CHANNELS, channels_first

NAME = "NumPy"
SUFFIXES = (".npy",)
MAGIC = (b"\x93NUMPY",)


def read(path: Path, *, numbers: bool = False) -> Micrograph:  # noqa: ARG001 (all are numbers)
    """Read an array of numbers; see `napari_nucleiseg.io.read_micrograph`.

    An array says nothing of its axes: (H, W, 3) of 8 bits is taken as colour, a first or last axis
    of up to six as channels.
    """
    with decoding(path, NAME), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers that Python 2 wrote
        # mapping compares the claimed size with the file's before anything is allocated
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        check_size(path, mapped.nbytes)
        pixels = np.array(mapped, dtype=mapped.dtype.newbyteorder("="))
    pixels = pixels.reshape(
        [n for i, n in enumerate(pixels.shape) if n != 1 or i >= pixels.ndim - 2]
    )
    if pixels.ndim == 2:
        return Micrograph(pixels, "YX", path=path)
    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8:
        return Micrograph(pixels, "YXS", path=path)
    if pixels.ndim == 3 and min(pixels.shape[0], pixels.shape[2]) <= MOST_CHANNELS:
        pixels, notice = channels_first(pixels)
        return Micrograph(pixels, "CYX", path=path, notices=(notice,))
    raise ShapeError(
        "The array is neither a plane nor channels",
        f"{path.name} has the shape {pixels.shape}",
        "Save one plane, as (height, width) or (channels, height, width)",
    )


def write(path: Path, labels: np.ndarray, pixel_size_um: object = None) -> None:  # noqa: ARG001
    """Write a label image; see `napari_nucleiseg.io.write_labels`."""
    write_whole(path, lambda file: np.save(file, labels, allow_pickle=False))
