"""The command ``nucleiseg``: settings as flags, events as lines, errors as sentences."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from .. import __version__
from . import (
    check,
    demo,
    evaluate,
    export,
    finetune,
    lr_find,
    measure,
    models,
    probe,
    segment,
    study,
    tracks,
    train,
)
from .console import interrupt, manual, say

app = typer.Typer(
    name="nucleiseg",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=manual("""Find every nucleus in micrographs.

    Each micrograph becomes a label image: 0 is background, 1 to N one nucleus each. A model comes
    with the program; nothing is sent or fetched over a network.

    [bold]First steps[/bold]

      nucleiseg demo                               try it on a sample
      nucleiseg segment cells.tif --out results    one micrograph
      nucleiseg segment scans/ --out results       all micrographs of a folder
      nucleiseg evaluate results/ truth/           how good is it?
      nucleiseg check mine/                        is my training data sound?
      nucleiseg measure results/ --out nuclei.csv  a table of all nuclei
      nucleiseg export results/ --to geojson -o q  outlines for QuPath, or Fiji
      nucleiseg train --data mine/ --out run       a model of your own
      nucleiseg finetune --data mine/ --out mine2  a better one from a few corrections

    Results go to files, the summary to standard output, all else (progress, notices, errors) to
    standard error. Exit codes: 0 all is done, 1 some inputs failed, 2 a wrong input or setting,
    130 stopped."""),
)
app.command("segment")(segment.segment)
app.command("evaluate")(evaluate.evaluate)
app.command("check")(check.check)
app.command("measure")(measure.measure)
app.command("export")(export.export)
app.command("tracks")(tracks.tracks)
app.command("train")(train.train)
app.command("finetune")(finetune.finetune)
app.command("lr-find")(lr_find.lr_find)
app.command("probe")(probe.probe)
app.add_typer(study.app, name="study")
app.add_typer(models.app, name="models")
app.command("demo")(demo.demo)


def main() -> None:
    """Run the command line."""
    for name in ("stdout", "stderr"):
        # Closed by whoever started the program: its texts are for nobody, and must go neither to
        # the other stream nor to a file that got the free number.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # a file name that the terminal cannot show must not end the program
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, interrupt)
    app(prog_name="nucleiseg")


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"nucleiseg {__version__}", sys.stdout)
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass
