"""btrack: Bayesian tracking, Ulicna, K. et al. (2021), https://doi.org/10.3389/fcomp.2021.734559.

``btrack.io.import_CSV`` reads one row for each nucleus and time point. All columns are numbers;
those that btrack does not know become properties of its objects. Its own column ``label`` is a
state of the cell, so the number of the nucleus is called otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..tables import write_table
from . import Movie

TITLE = "btrack"


def build() -> Callable[[Path, Movie], list[Path]]:
    """Give the writer of ``NAME_btrack.csv``: t, x, y, z in pixels; nucleus, area."""

    def write(stem: Path, movie: Movie) -> list[Path]:
        found = movie.tracks()
        path = stem.with_name(f"{stem.name}_btrack.csv")
        columns = {name: found[name] for name in ("t", "x", "y")}
        columns |= {"z": np.zeros(len(found["t"]))}
        write_table(path, {**columns, "nucleus": found["track_id"], "area": found["area"]})
        return [path]

    return write
