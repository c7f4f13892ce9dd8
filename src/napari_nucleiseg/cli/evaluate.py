"""``nucleiseg evaluate``: label images against the true ones."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import SOME_FAILED, JsonFile, in_words, progress_bar, say, show_or_write

if TYPE_CHECKING:
    from ..evaluation import Evaluated


@in_words
def evaluate(
    prediction: Annotated[
        Path,
        typer.Argument(
            metavar="PRED", show_default=False, help="A label image, or a folder of them."
        ),
    ],
    truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH", show_default=False, help="The true one, or a folder of them."
        ),
    ],
    json_file: JsonFile = None,
    index: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Count only images listed in the column image_id, and sum up by modality.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Count only images with this value in the index' column split."),
    ] = None,
    per_image: Annotated[
        bool, typer.Option("--per-image", help="Print a line for each image, too.")
    ] = False,
) -> None:
    """Compare label images with the true ones.

    Files belong together whose names are equal without suffix and without a trailing _labels.
    Every true image needs its prediction, and both have to be of one size. Predictions without a
    true image are named and left out, and the exit code is 1.

    Dice and IoU are those of the foreground. AP is matched nuclei over matched, missed and extra
    ones at an IoU of 0.5, 0.75, and the mean over 0.5, 0.55 ... 0.95; F1 and PQ (panoptic quality)
    are at 0.5. An image without true and without predicted nuclei scores 1. [bold]Mean[/bold] is
    the mean over images, [bold]pooled[/bold] takes the nuclei of all images together.

    [bold]Examples[/bold]

      nucleiseg evaluate results/ truth/
      nucleiseg evaluate results/ data/masks --index data/index.csv --split val --json scores.json
      nucleiseg evaluate results/ truth/ --json - > scores.json
    """
    from ..evaluation import Evaluated, ImageCompared
    from ..evaluation import evaluate as compare
    from ..events import LeftOut, Notice

    result: Evaluated | None = None
    left_out = False
    with progress_bar() as bar:
        task = None if bar is None else bar.add_task("comparing", total=None)
        for event in compare(prediction, truth, index=index, split=split):
            if isinstance(event, Notice):
                left_out |= isinstance(event, LeftOut)
                say(event.text)
            elif isinstance(event, ImageCompared) and bar is not None and task is not None:
                bar.update(task, completed=event.done, total=event.total)
            elif isinstance(event, Evaluated):
                result = event
    if result is None:
        raise TypeError("evaluate ended without a result")
    show_or_write(result.record(), json_file, partial(_print_scores, result, per_image=per_image))
    if left_out:
        raise typer.Exit(SOME_FAILED)


def _print_scores(result: Evaluated, *, per_image: bool) -> None:
    """Print the scores as a table to standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", overflow="fold")
    for title in ("images", "true", "found"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("Dice", "IoU", "AP@.5", "AP@.75", "AP", "F1", "PQ"):
        table.add_column(title, justify="right", no_wrap=True)

    def row(title: str, counts: tuple[object, ...], scores: Any, ap: dict[str, float]) -> None:
        values = (
            *(scores[k] for k in ("dice", "iou")),
            *(ap[k] for k in ("0.50", "0.75")),
            *(scores[k] for k in ("average_precision", "f1", "panoptic")),
        )
        # a name in brackets is no markup
        table.add_row(Text(title), *map(str, counts), *(f"{value:.3f}" for value in values))

    if per_image:
        for image in result.images:
            row(image.name, ("", image.true_count, image.found_count), image.scores, image.ap)
        table.add_section()
    for name, summary in result.summaries.items():
        counts = (summary.images, summary.true_count, summary.found_count)
        row(f"{name}, mean", counts, summary.mean, summary.mean_ap)
        row(f"{name}, pooled", ("", "", ""), summary.pooled, summary.pooled_ap)
    console = Console(file=sys.stdout, highlight=False)
    if not sys.stdout.isatty():
        console.width = 160  # a file has no edge to fold at
    console.print(table)
