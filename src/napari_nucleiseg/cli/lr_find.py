"""``nucleiseg lr-find``: which learning rate to train with."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..config import TrainConfig
from ..errors import SettingError
from ..events import DeviceChosen, Notice, RangeFound, RateTried
from ..flags import apply_assignments, parse_flags, read_recipe, with_settings
from .console import (
    STANDARD_OUTPUT,
    DataFolder,
    JsonFile,
    RecipeName,
    in_home,
    in_words,
    progress_bar,
    say,
    show_or_write,
)

PICTURES = (".png", ".svg", ".pdf")


@in_words
@with_settings(TrainConfig)
def lr_find(
    data: DataFolder,
    settings: dict[str, Any],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", callback=in_home, help="File of the plot: PNG, SVG or PDF."),
    ] = Path("lr-find.png"),
    lowest: Annotated[float, typer.Option(help="First learning rate.")] = 1e-6,
    highest: Annotated[float, typer.Option(help="Last learning rate.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Learning rates to try.")] = 100,
    recipe: RecipeName = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, as for train."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Find a learning rate for a network, an optimizer and micrographs.

    The network trains for some steps, each with a higher learning rate than the one before. The
    rate at which the loss falls fastest is a good one to train with; where the loss rises it is too
    high. The network is thrown away.

    [bold]Examples[/bold]

      nucleiseg lr-find --data mine/
      nucleiseg lr-find --data mine/ --architecture nuclei_unet --optimizer sgd --out sgd.svg
    """
    from ..batch import prepare_folder
    from ..lr_range import RangeConfig, find_rate, save_plot

    test = RangeConfig.parse({"lowest": lowest, "highest": highest, "steps": steps})
    if out.suffix.lower() not in PICTURES:
        raise SettingError(
            "The plot cannot be written in this format", str(out), f"Use {', '.join(PICTURES)}"
        )
    values = apply_assignments(
        TrainConfig, {} if recipe is None else read_recipe(recipe), assignments or ()
    )
    config: TrainConfig = parse_flags(TrainConfig, settings, values)
    prepare_folder(out.parent)
    found = None
    with (
        progress_bar() as bar,
        closing(find_rate(data, config, test)) as events,  # type: ignore[type-var]
    ):
        task = None if bar is None else bar.add_task("trying rates", total=test.steps)
        for event in events:
            if isinstance(event, RateTried) and bar is not None and task is not None:
                said = f"learning rate {event.learning_rate:.2g}, loss {event.loss:.4f}"
                bar.update(task, completed=event.step, description=said)
            elif isinstance(event, (Notice, DeviceChosen)):
                say(event.text)
            elif isinstance(event, RangeFound):
                found = event
    if found is None:
        raise RuntimeError("the range test ended without a result")
    save_plot(found, out)
    show_or_write({"data": str(data), **asdict(found)}, json_file, partial(_show, found))
    say(f"Plot: {out}", sys.stderr if json_file == STANDARD_OUTPUT else sys.stdout)


def _show(found: RangeFound) -> None:
    say(f"The loss falls fastest at a learning rate of {found.steepest:.2g}", sys.stdout)
    if found.diverged is not None:
        say(f"It has risen far again at {found.diverged:.2g}", sys.stdout)
