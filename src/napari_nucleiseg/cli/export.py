"""``nucleiseg export``: label images for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import EXPORT_NAMES, Out, in_words, say


@in_words
def export(
    labels: Annotated[
        list[Path],
        typer.Argument(
            metavar="LABELS", show_default=False, help="Label images, and folders of them."
        ),
    ],
    to: Annotated[
        list[str],
        typer.Option(
            show_default=False,
            metavar="NAME",
            help=f"What to write: {EXPORT_NAMES}. May be repeated.",
        ),
    ],
    out: Out,
) -> None:
    """Export nuclei to QuPath, Fiji and others.

    Of each label image NAME_labels.tif, files NAME.geojson, NAME_rois.zip and NAME_coco.json are
    written, as --to says. Outlines run along the edges of pixels and hold just the pixels of their
    nucleus, which keeps its number. How the programs open them is in docs/export.md.

    [bold]Examples[/bold]

      nucleiseg export results/cells_labels.tif --to geojson --out for-qupath
      nucleiseg export results/ --to imagej-roi --to coco --out exports
    """
    from ..events import Notice
    from ..export_files import Exported, export_files

    total = 0
    for event in export_files(labels, out, to):
        if isinstance(event, Notice):
            say(event.text)
        elif isinstance(event, Exported):
            total = event.total
            for path in event.paths:
                say(f"{event.name} -> {path}")
    say(f"{total} label images exported: {out}", sys.stdout)
