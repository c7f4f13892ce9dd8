"""``nucleiseg tracks``: nuclei through time for programs that track them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import in_home, in_words, say


@in_words
def tracks(
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS", show_default=False, help="The label image of all time points."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", callback=in_home, show_default=False, help="Folder of the files."
        ),
    ],
    program: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            show_default="all",
            help="Program that shall read it: btrack, trackmate or ultrack; can be repeated.",
        ),
    ] = None,
    interval_s: Annotated[
        float | None,
        typer.Option(min=1e-9, help="Time from one point to the next in seconds."),
    ] = None,
) -> None:
    """Write the nuclei of a time series for btrack, TrackMate and Ultrack.

    LABELS is what [bold]nucleiseg segment --join t[/bold] writes, or any label image of time
    points. How each program opens the files is in docs/formats.md.

    [bold]Examples[/bold]

      nucleiseg tracks results/movie_labels.ome.tif --out tracks
      nucleiseg tracks results/movie_labels.ome.tif --out tracks --for trackmate --interval-s 60
    """
    from ..events import Saved
    from ..trackers import open_movie, stem_of, write_tracks

    movie = open_movie(labels, interval_s)
    for event in write_tracks(movie, out, stem_of(labels), program):
        if isinstance(event, Saved):
            say(f"{event.path} {event.what}", sys.stdout)
