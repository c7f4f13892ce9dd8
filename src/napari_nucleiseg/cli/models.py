"""``nucleiseg models``: the models on this computer, and their cards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import wording
from ..config import SegmentConfig
from ..flags import parse_flags, with_settings
from .console import SOME_FAILED, in_words, progress_bar, say

if TYPE_CHECKING:
    from ..comparing import ModelScores, Row

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Models on this computer, their cards, and which is best for your images.",
)


@app.command("list")
@in_words
def list_models() -> None:
    """List the models that segment --model takes by name, best first.

    AP and speed (megapixels in a second on one CPU core) are those of the model's card.
    """
    from .. import wording
    from ..store import list_models as find_all
    from ..store import model_problems, user_folder

    for model in find_all():
        title = wording.model_title(model)
        say(f"{model.name:<16} {title}  ({model.architecture}, {model.path})", sys.stdout)
    for problem in model_problems():
        say(problem)
    say(f"Models put into {user_folder()} are listed too.")


@app.command("show")
@in_words
def show_model(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", show_default=False, help="A name, or a .safetensors file."),
    ],
) -> None:
    """Show the card of a model: what it was trained on, by what command, and how good it is."""
    import yaml

    from ..store import find_model

    model = find_model(name)
    card = yaml.safe_dump(dict(model.card), sort_keys=False, allow_unicode=True, width=96)
    say(f"{model.title}\n{model.path}\n\n{card.rstrip()}", sys.stdout)


@app.command("compare")
@in_words
@with_settings(SegmentConfig, without=("model", "axes", "pixel_size_um"))
def compare_models(
    settings: dict[str, Any],
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
            show_default=False,
            help="Names or .safetensors files; all installed ones where none is named.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder with images/ and masks/ of the same names, or pairs x.tif, x_labels.tif; "
            "the samples that come with the program where none is named.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Take only images with this value in the column split of index.csv."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for images.csv and models.csv; made if missing."),
    ] = None,
) -> None:
    """Let several models segment the same annotated micrographs, and compare them.

    Dice and IoU are those of the foreground, AP (the mean over IoU 0.5, 0.55 ... 0.95), AP@0.5 and
    PQ those of nuclei; all are means over images. The time is that of segmenting an image, without
    loading the model. Whether a difference in AP is more than chance is told by a paired bootstrap
    over the images.

    With --out, images.csv holds a line for each model and image, and models.csv the table.

    [bold]Examples[/bold]

      nucleiseg models compare --data mine/ --out compared
      nucleiseg models compare nuclei run/last.safetensors --data mine/ --split val
    """
    from ..comparing import (
        Compared,
        Comparing,
        ComparisonDone,
        NotCompared,
        Told,
        annotated_folder,
        annotated_samples,
        compare,
        write_tables,
    )
    from ..errors import SettingError
    from ..store import list_models as find_all

    config = parse_flags(SegmentConfig, settings)
    if data is None and split is not None:
        raise SettingError("A split needs a folder", f"--split {split}", "Add --data")
    if data is None:
        items = annotated_samples()
    else:
        items, notices = annotated_folder(data, split)
        for text in notices:
            say(text)
    rows: list[Row] = []
    summary: tuple[ModelScores, ...] = ()
    some_failed = False
    with progress_bar() as bar:
        task = None if bar is None else bar.add_task("", total=1.0)
        for event in compare(models or [m.name for m in find_all()], items, config):
            if isinstance(event, Comparing) and bar is not None and task is not None:
                bar.update(task, description=event.model, completed=event.share)
            elif isinstance(event, Compared):
                rows.append(event.row)
                say(f"{event.row.model}, {event.row.image}: {wording.compared(event.row.scores)}")
            elif isinstance(event, NotCompared):
                some_failed = True
                say(f"Error: {event.text}")
            elif isinstance(event, Told):
                say(event.text)
            elif isinstance(event, ComparisonDone):
                summary = event.models
    _print_models(summary)
    if out is not None:
        images_csv, models_csv = write_tables(out.expanduser(), rows)
        say(f"The tables are in {images_csv} and {models_csv}")
    if some_failed:
        raise typer.Exit(SOME_FAILED)


def _print_models(models: tuple[ModelScores, ...]) -> None:
    """Print the scores as a table to standard output, and below it what they mean."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..comparing import SCORES

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", overflow="fold")
    for title in ("images", *(title for _, title in SCORES), "s/image", "MPix/s"):
        table.add_column(title, justify="right", no_wrap=True)
    for model in models:
        scores = (f"{model.means[name]:.3f}" for name, _ in SCORES)
        speed = (wording.number(model.seconds), wording.number(model.megapixels_per_second))
        # a name in brackets is no markup
        table.add_row(Text(model.model), str(model.images), *scores, *speed)
    console = Console(file=sys.stdout, highlight=False)
    if not sys.stdout.isatty():
        console.width = 160  # a file has no edge to fold at
    console.print(table)
    for model in models:
        if model.verdict:
            say(f"{model.model}: {model.verdict}", sys.stdout)
