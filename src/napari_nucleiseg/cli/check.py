"""``nucleiseg check``: training data, looked at before it trains."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import SegmentConfig
from .console import SOME_FAILED, JsonFile, in_home, in_words, progress_bar, say, show_or_write

if TYPE_CHECKING:
    from ..doctor import Checked


@in_words
def check(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            show_default=False,
            help="A training folder, as for nucleiseg train, or a project.",
        ),
    ],
    model: Annotated[
        str, typer.Option(help="What is to be fine-tuned: sizes are compared with what it knows.")
    ] = SegmentConfig().model,
    json_file: JsonFile = None,
    fix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Apply a safe remedy to copies: split, pieces, tiny, holes, waist, shift, "
            "duplicates, or all. Can be given several times; needs --out.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", callback=lambda p: p and in_home(p), help="New folder for the copies."
        ),
    ] = None,
) -> None:
    """Look for what would spoil a training.

    Prints a row for each image with what was found and what to do. Looked for are micrographs and
    label images without their partner, unreadable or of different sizes, masks in place of one
    number per nucleus, shifted labels, merged nuclei, fragments, holes, equal images, and sizes
    and contrasts that the model does not know. In a project also images of which nothing was
    reviewed.

    Originals are never changed: remedies go to a new training folder. The exit code is 1 if there
    are problems.

    [bold]Examples[/bold]

      nucleiseg check mine/
      nucleiseg check mine/ --fix split --fix tiny --out mine_checked
      nucleiseg check mine/ --json - > findings.json
    """
    from ..doctor import Checked, ImageChecked
    from ..doctor import check as look
    from ..events import Saved
    from ..store import find_model

    result: Checked | None = None
    with progress_bar() as bar:
        task = None if bar is None else bar.add_task("checking", total=None)
        for event in look(data, find_model(model), fixes=fix or (), out=out):
            if isinstance(event, ImageChecked) and bar is not None and task is not None:
                bar.update(task, completed=event.done, total=event.total)
            elif isinstance(event, Saved):
                say(f"{event.what} are in {event.path}; the originals are as they were")
            elif isinstance(event, Checked):
                result = event
    if result is None:
        raise TypeError("check ended without a result")
    show_or_write(result.record(), json_file, partial(_print_findings, result))
    if result.problems:
        say(f"{result.problems} problem{'s' if result.problems > 1 else ''} found")
        raise typer.Exit(SOME_FAILED)


def _print_findings(result: Checked) -> None:
    """Print a row for each image to standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..wording import number

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("image", overflow="fold")
    for title in ("nuclei", "width"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("finding", no_wrap=True)
    table.add_column("", overflow="fold", ratio=1)
    for image in result.images:
        # a name in brackets is no markup
        cells: list[str | Text] = [Text(image.name), str(image.count), number(image.diameter_px)]
        if not image.findings:
            table.add_row(*cells, "good")
        for finding in image.findings:
            table.add_row(*cells, finding.kind, Text(finding.sentence))
            cells = ["", "", ""]
        for done in image.fixed:
            table.add_row("", "", "", "done", Text(done))
    for finding in result.findings:
        table.add_row("", "", "", finding.kind, Text(finding.sentence))
    console = Console(file=sys.stdout, highlight=False)
    if not sys.stdout.isatty():
        console.width = 160  # a file has no edge to fold at
    console.print(table)
    good = sum(not any(f.is_problem for f in image.findings) for image in result.images)
    say(f"{good} of {len(result.images)} images without problems", sys.stdout)
