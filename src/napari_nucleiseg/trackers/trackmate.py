"""TrackMate in Fiji: Ershov, D. et al. (2022), https://doi.org/10.1038/s41592-022-01507-1.

The label image is an ImageJ hyperstack for TrackMate's label image detector, with pixel size and
frame interval. The table is for the TrackMate CSV importer, which also takes the tracks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_whole
from ..tables import write_table
from . import Movie

TITLE = "TrackMate"


def build() -> Callable[[Path, Movie], list[Path]]:
    """Give the writer of ``NAME_trackmate.tif`` and ``NAME_trackmate.csv``."""

    def write(stem: Path, movie: Movie) -> list[Path]:
        picture = stem.with_name(f"{stem.name}_trackmate.tif")
        table = stem.with_name(f"{stem.name}_trackmate.csv")
        _write_hyperstack(picture, movie)
        found = movie.tracks()
        height, width = movie.pixel_size_um or (1.0, 1.0)
        # lengths in the unit of the picture; ImageJ's positions are of the pixels' centres, too
        columns = {
            "ID": np.arange(len(found["t"])),
            "TRACK_ID": found["track_id"],
            "FRAME": found["t"],
            "POSITION_X": found["x"] * width,
            "POSITION_Y": found["y"] * height,
            "POSITION_Z": np.zeros(len(found["t"])),
            "RADIUS": np.sqrt(found["area"] * height * width / np.pi),
        }
        write_table(table, columns)
        return [picture, table]

    return write


def _write_hyperstack(path: Path, movie: Movie) -> None:
    """Write labels as ImageJ has them: 16 bits, or decimal numbers where these do not suffice."""
    import tifffile

    most = max((int(np.max(plane, initial=0)) for plane in movie.labels), default=0)
    dtype = np.dtype(np.uint16 if most <= np.iinfo(np.uint16).max else np.float32)
    count, height, width = movie.labels.shape
    known: dict[str, Any] = {"axes": "TYX"}
    options: dict[str, Any] = {}
    if movie.pixel_size_um is not None:
        known["unit"] = "micron"
        options["resolution"] = tuple(1 / size for size in reversed(movie.pixel_size_um))
    if movie.interval_s is not None:
        known |= {"finterval": movie.interval_s, "tunit": "sec"}

    def write(file: Any) -> None:
        tifffile.imwrite(
            file,
            (np.asarray(plane).clip(0).astype(dtype) for plane in movie.labels),
            shape=(count, height, width),
            dtype=dtype,
            imagej=True,
            metadata=known,
            **options,
        )

    write_whole(path, write)
