"""Pixels that stay in their file until they are looked at, as dask arrays."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import DependencyError
from ._decoding import decoding

LAZY_BYTES = 256 << 20
"""Larger pictures stay in their file."""

_CHUNK_SIDE = 512
_lock = threading.Lock()


def needed(module: str, what: str, extra: str) -> ModuleType:
    """Import an optional library.

    Parameters
    ----------
    module : str
    what : str
        What it is needed for, as the beginning of a sentence: "A Zeiss CZI file (a.czi)".
    extra : str
        The extra of this package that installs it.

    Raises
    ------
    DependencyError
        If it is not installed; with the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(
            f"{what} needs a package that is not installed",
            module.replace("_", "-"),
            f'Install it: pip install "napari-nucleiseg[{extra}]"',
        ) from error


@lru_cache(maxsize=16)
def _opened(opener: Callable[..., Any], args: tuple[Any, ...], _changed: int) -> Any:
    return opener(*args)


class Stored:
    """An array in a file, read where it is indexed; can be sent to other processes.

    Parameters
    ----------
    opener : callable
        A function of a module, which opens the array: something with ``shape`` and ``dtype`` that
        is indexed by slices.
    args : tuple
        What it is called with, the file's path first.
    kind : str
        Name of the format, for messages.
    """

    def __init__(self, opener: Callable[..., Any], args: tuple[Any, ...], kind: str) -> None:
        self.opener, self.args, self.kind = opener, args, kind
        self.path = Path(args[0])
        self._changed = os.stat(self.path).st_mtime_ns
        array = self._array()
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)
        self.ndim = len(self.shape)
        # what is not cut into chunks can be cut anywhere
        self.chunks: tuple[int, ...] = tuple(getattr(array, "chunks", None) or (1,) * self.ndim)

    def _array(self) -> Any:
        with _lock:
            return _opened(self.opener, self.args, self._changed)

    def __getitem__(self, index: Any) -> np.ndarray:
        with decoding(self.path, self.kind):
            pixels = np.asarray(self._array()[index])
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def to_dask(stored: Stored, height: int, width: int) -> Any:
    """A dask array over stored pixels, in pieces that are neither tiny nor large.

    Parameters
    ----------
    stored : Stored
    height, width : int
        Which of its axes are height and width.
    """
    import dask.array

    # small tiles are read several at a time: a slide has millions of them
    sides = []
    for axis, (piece, length) in enumerate(zip(stored.chunks, stored.shape, strict=True)):
        if axis in (height % stored.ndim, width % stored.ndim):
            whole = max(1, _CHUNK_SIDE // piece) * piece
            sides.append(min(whole, length))
        else:
            sides.append(length if stored.shape[axis] <= 4 and axis == stored.ndim - 1 else 1)
    return dask.array.from_array(stored, chunks=tuple(sides), asarray=False, name=False)


def whole_file(read: Callable[[str], np.ndarray], path: Path, example: np.ndarray) -> Any:
    """A dask array over a file that is read as a whole, like another array in shape and depth."""
    dask = needed("dask.array", "A stack of several files", "zarr")
    from dask.delayed import delayed

    return dask.from_delayed(delayed(read)(str(path)), example.shape, example.dtype)


def stacked(pieces: list[Any], axis: int) -> Any:
    """Dask arrays along a new axis."""
    import dask.array

    return dask.array.stack(pieces, axis=axis)


def order(pixels: Any, axes: str, drop: str = "") -> tuple[Any, str]:
    """Put axes in the order TCZYXS, without those of length 1 except height and width.

    Parameters
    ----------
    pixels : array
    axes : str
        One letter for each axis.
    drop : str
        Axes of which the first is taken.

    Returns
    -------
    array, str
    """
    place = tuple(
        0 if axis in drop or (n == 1 and axis not in "YX") else slice(None)
        for axis, n in zip(axes, pixels.shape, strict=True)
    )
    kept = "".join(axis for axis, p in zip(axes, place, strict=True) if p != 0)
    wanted = "".join(axis for axis in "TCZYXS" if axis in kept)
    return np.transpose(pixels[place], [kept.index(axis) for axis in wanted]), wanted
