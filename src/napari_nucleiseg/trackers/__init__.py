"""Nuclei through time as files for programs that track them; one program to a file.

``TRACKERS.names()`` lists them. A module has ``build()``, which gives a function of the stem of
the files to be and a `Movie`; it writes them and returns their paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import center_of_mass

from ..errors import ShapeError
from ..events import Event, Saved
from ..io import name_of, open_micrograph
from ..registry import Registry

TRACKERS = Registry(__name__, "tracker")


@dataclass(frozen=True)
class TracksSaved(Saved):
    """A file for a program that tracks nuclei was written."""


@dataclass(frozen=True)
class Movie:
    """Nuclei with numbers that stay from one time point to the next.

    Attributes
    ----------
    labels : (T, H, W) integer array
        May be mapped from a file.
    pixel_size_um : (float, float) or None
        Height and width of a pixel.
    interval_s : float or None
        Time from one point to the next in seconds.
    """

    labels: Any
    pixel_size_um: tuple[float, float] | None = None
    interval_s: float | None = None

    def tracks(self) -> dict[str, np.ndarray]:
        """Where each nucleus is when; one row for each nucleus and time point, track after track.

        Returns
        -------
        dict of (N,) ndarray
            ``track_id``, the number in the labels; ``t`` from 0; ``y`` and ``x`` of the centre and
            ``area`` in pixels.
        """
        parts = []
        for t, plane in enumerate(self.labels):
            labels = np.asarray(plane)
            numbers, areas = np.unique(labels[labels > 0], return_counts=True)
            centres = np.array(center_of_mass(labels > 0, labels, numbers)).reshape(-1, 2)
            parts.append(np.column_stack([numbers, np.full(len(numbers), t), centres, areas]))
        rows = np.concatenate(parts) if parts else np.zeros((0, 5))
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        whole = {"track_id": 0, "t": 1, "area": 4}
        return {
            "track_id": rows[:, whole["track_id"]].astype(np.int64),
            "t": rows[:, whole["t"]].astype(np.int64),
            "y": rows[:, 2],
            "x": rows[:, 3],
            "area": rows[:, whole["area"]].astype(np.int64),
        }


def open_movie(path: Path, interval_s: float | None = None) -> Movie:
    """Open a label image of all time points.

    Raises
    ------
    ShapeError
        If it has other axes than time, height and width.
    FileError
        If it cannot be read.
    """
    found = open_micrograph(path)
    if found.axes == "CYX" and found.unnamed:
        found = found.with_axes("TYX")
    if found.axes == "ZYX" and found.unnamed:
        found = found.with_axes("TYX")
    if found.axes != "TYX" or found.pixels.dtype.kind not in "iu":
        raise ShapeError(
            "Tracks are made of a label image of time points",
            f"{path.name} has the axes {found.axes} and holds {found.pixels.dtype}",
            "Make one by nucleiseg segment --join t",
        )
    return Movie(found.pixels, found.pixel_size_um, interval_s)


def write_tracks(
    movie: Movie, out: Path, name: str, programs: Sequence[str] | None = None
) -> Iterator[Event]:
    """Write what programs that track nuclei read.

    Parameters
    ----------
    movie : Movie
    out : Path
        Folder of the files.
    name : str
        What their names begin with.
    programs : sequence of str, optional
        Names of `TRACKERS`; by itself all.

    Yields
    ------
    Event
        `TracksSaved` for each file.

    Raises
    ------
    NucleisegError
        If a program is not known, or a file cannot be written.
    """
    writers = [(p, TRACKERS[p]()) for p in programs or TRACKERS.names()]
    for program, write in writers:
        paths: Iterable[Path] = write(out / name, movie)
        for path in paths:
            yield TracksSaved(path, f"for {TRACKERS.module(program).TITLE}")


def stem_of(path: Path) -> str:
    """Name of the micrograph that a label image is of: without ``_labels``."""
    return name_of(path).removesuffix("_labels")
