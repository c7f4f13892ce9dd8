"""``nucleiseg measure``: size, shape, intensity and neighbours of all nuclei as a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import in_home, in_words, progress_bar, say


@in_words
def measure(
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS", show_default=False, help="A label image, or a folder of them."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            callback=in_home,
            show_default=False,
            help="File of the table: .csv or .parquet.",
        ),
    ],
    image: Annotated[
        Path | None,
        typer.Option(help="The micrograph, or a folder of them of the same names: intensities."),
    ] = None,
    pixel_size_um: Annotated[
        float | None,
        typer.Option(min=1e-6, help="Side of a pixel in µm, where the files do not say it."),
    ] = None,
    within_px: Annotated[
        float,
        typer.Option(min=1e-6, help="Nuclei nearer than this, edge to edge, are neighbours."),
    ] = 20.0,
) -> None:
    """Measure nuclei: size, shape, intensity, neighbours.

    The table has a row for each nucleus: area, diameter, perimeter, solidity, eccentricity,
    orientation; of every channel mean, standard deviation, sum and percentiles of the intensity;
    how many nuclei touch it or are near, and how far the nearest one is. Lengths are in pixels,
    and in µm where the pixel size is known. What each column means is in docs/measure.md.

    [bold]Examples[/bold]

      nucleiseg measure results/cells_labels.tif --image cells.tif --out cells.csv
      nucleiseg measure results/ --image scans/ --out nuclei.parquet
    """
    import numpy as np

    from ..events import Notice
    from ..measure import MeasureConfig
    from ..measure_files import Measured, measure_files
    from ..tables import check_ending, stacked, write_table
    from ..wording import nuclei

    check_ending(out)
    tables = []
    config = MeasureConfig(within_px=within_px)
    with progress_bar() as bar:
        task = None if bar is None else bar.add_task("measuring", total=None)
        for event in measure_files(labels, image, pixel_size_um=pixel_size_um, config=config):
            if isinstance(event, Notice):
                say(event.text)
            elif isinstance(event, Measured):
                names = np.full(len(event.table["label"]), event.name, object)
                tables.append({"image": names, **event.table})
                if bar is not None and task is not None:
                    bar.update(task, completed=event.done, total=event.total)
    whole = stacked(tables)
    write_table(out, whole)
    say(f"{nuclei(len(whole['label']))} of {len(tables)} images: {out}", sys.stdout)
