"""Ultrack: tracking with uncertain outlines, Bragantini, J. et al. (2024), arXiv:2308.04526.

The labels are an array of (T, Y, X) in Zarr 2, which ``ultrack.Tracker`` and its command line take.
The table has the columns that Ultrack itself exports, with -1 where there is no parent.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import FileError, reason
from ..io import needed
from ..tables import write_table
from . import Movie

TITLE = "Ultrack"
_NO_PARENT = -1


def build() -> Callable[[Path, Movie], list[Path]]:
    """Give the writer of ``NAME_ultrack.zarr`` and ``NAME_ultrack.csv``."""

    def write(stem: Path, movie: Movie) -> list[Path]:
        array = stem.with_name(f"{stem.name}_ultrack.zarr")
        table = stem.with_name(f"{stem.name}_ultrack.csv")
        _write_array(array, movie)
        found = movie.tracks()
        count = len(found["t"])
        ids = np.arange(1, count + 1)
        # rows of a track follow each other
        goes_on = np.zeros(count, bool)
        goes_on[1:] = found["track_id"][1:] == found["track_id"][:-1]
        columns = {
            "track_id": found["track_id"],
            "t": found["t"],
            "z": np.zeros(count),
            "y": found["y"],
            "x": found["x"],
            "id": ids,
            "parent_track_id": np.full(count, _NO_PARENT),
            "parent_id": np.where(goes_on, ids - 1, _NO_PARENT),
        }
        write_table(table, columns)
        return [array, table]

    return write


def _write_array(path: Path, movie: Movie) -> None:
    """Write the labels plane by plane beside their place, and move them there."""
    zarr = needed("zarr", "An array for Ultrack", "zarr")
    shape = movie.labels.shape
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as beside:
            part = Path(beside, path.name)
            array = zarr.create_array(
                str(part), shape=shape, chunks=(1, *shape[1:]), dtype="int32", zarr_format=2
            )
            for t, plane in enumerate(movie.labels):
                array[t] = np.asarray(plane).clip(0)
            if path.exists():
                shutil.rmtree(path)
            os.replace(part, path)
    except OSError as error:
        raise FileError(
            "The array could not be written",
            f"{path} ({reason(error)})",
            "Check free space and permissions",
        ) from error
