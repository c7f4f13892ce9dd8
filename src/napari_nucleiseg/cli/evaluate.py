"""``nucleiseg evaluate``: label images against the true ones."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import (
    SOME_FAILED,
    STANDARD_OUTPUT,
    JsonFile,
    in_home,
    in_words,
    progress_bar,
    say,
    show_or_write,
)

if TYPE_CHECKING:
    from ..evaluation import Evaluated
    from ..model_comparison import ModelsCompared


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
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="PRED",
            help="Another model's label images: tell on which images PRED is better than this one.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for a report: tables of nuclei and images, a summary, a page to look at.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the micrographs, of the same names, shown in the report; or the one."
        ),
    ] = None,
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
    group: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Sum up by this column of the index, not by modality."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="IoU from which a nucleus counts as correct, 0.5 to 1.")
    ] = 0.5,
    pixel_size_um: Annotated[
        float | None,
        typer.Option(min=1e-6, help="Side of a pixel in µm, where the files do not say it."),
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

    A nucleus is correct, missed, extra, merged, split, or has a poor outline. --out writes
    nuclei.csv, images.csv, summary.json and report.html; the page needs no other file. With
    --compare it writes differences.csv, comparison.json and comparison.html instead.

    [bold]Examples[/bold]

      nucleiseg evaluate results/ truth/
      nucleiseg evaluate results/ data/masks --index data/index.csv --split val --json scores.json
      nucleiseg evaluate results/ truth/ --json - > scores.json
      nucleiseg evaluate results/ truth/ --out report --images scans/
      nucleiseg evaluate new/ truth/ --compare old/ --out new-or-old
    """
    if out is not None:
        from ..batch import prepare_folder

        out = in_home(out)
        prepare_folder(out)
    options = {
        "index": index,
        "split": split,
        "group": group,
        "images": images,
        "threshold": threshold,
        "pixel_size_um": pixel_size_um,
    }
    result, left_out = _run(prediction, truth, options)
    about = sys.stderr if json_file == STANDARD_OUTPUT else sys.stdout
    if compare is None:
        show = partial(_print_scores, result, per_image=per_image)
        show_or_write(result.record(), json_file, show)
        if out is not None:
            from ..report import write_report

            heading = f"{prediction.name or prediction} compared with {truth.name or truth}"
            say(f"Report: {write_report(result, out, heading)}", about)
    else:
        from ..model_comparison import compare_models

        other, more = _run(compare, truth, options)
        left_out |= more
        compared = compare_models(result, other, _names(prediction, compare))
        show = partial(_print_differences, compared, per_image=per_image)
        show_or_write(compared.record(), json_file, show)
        if out is not None:
            from ..report import write_comparison

            say(f"Report: {write_comparison(compared, out)}", about)
    if left_out:
        raise typer.Exit(SOME_FAILED)


def _run(prediction: Path, truth: Path, options: dict[str, Any]) -> tuple[Evaluated, bool]:
    """Compare, with a bar; whether predictions were left out comes with the result."""
    from ..evaluation import Evaluated, ImageCompared, evaluate
    from ..events import LeftOut, Notice

    result: Evaluated | None = None
    left_out = False
    with progress_bar() as bar:
        task = None if bar is None else bar.add_task("comparing", total=None)
        for event in evaluate(prediction, truth, **options):
            if isinstance(event, Notice):
                left_out |= isinstance(event, LeftOut)
                say(event.text)
            elif isinstance(event, ImageCompared) and bar is not None and task is not None:
                bar.update(task, completed=event.done, total=event.total)
            elif isinstance(event, Evaluated):
                result = event
    if result is None:
        raise TypeError("evaluate ended without a result")
    return result, left_out


def _names(one: Path, other: Path) -> tuple[str, str]:
    """What two models are called: their folders' names, or the paths where those are equal."""
    names = one.resolve().name, other.resolve().name
    return names if names[0] != names[1] else (str(one), str(other))


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
    kinds = result.summaries["all"].kinds
    words = " · ".join(f"{count} {kind}" for kind, count in kinds.items())
    say(f"At IoU {result.threshold:g}: {words}", sys.stdout)


def _print_differences(compared: ModelsCompared, *, per_image: bool) -> None:
    """Print how two models differ to standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", overflow="fold")
    for heading in (*compared.names, "difference", "95 % interval"):
        table.add_column(Text(heading), justify="right", overflow="fold")
    for score in compared.scores:
        d = score.difference
        cells = (f"{score.one:.3f}", f"{score.other:.3f}", f"{d.mean:+.3f}")
        table.add_row(score.title, *cells, f"{d.low:+.3f} to {d.high:+.3f}")
    if per_image:
        table.add_section()
        for name, one, other in compared.images():
            table.add_row(
                Text(f"{name}, AP"), f"{one:.3f}", f"{other:.3f}", f"{one - other:+.3f}", ""
            )
    console = Console(file=sys.stdout, highlight=False)
    if not sys.stdout.isatty():
        console.width = 160  # a file has no edge to fold at
    console.print(table)
    say(compared.words(), sys.stdout)
