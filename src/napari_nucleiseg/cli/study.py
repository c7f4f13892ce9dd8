"""``nucleiseg study``: compare networks, optimizers and schedules honestly."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import INTERRUPTED, SOME_FAILED, DataFolder, Out, in_words, progress_bar, say
from .train import epoch_line

if TYPE_CHECKING:
    from ..events import Event

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Compare networks, optimizers and schedules on one data folder.",
)


@app.command("run")
@in_words
def run(
    study: Annotated[
        str,
        typer.Argument(
            metavar="NAME|STUDY.yaml",
            show_default=False,
            help="A study that comes with the program (see study list), or a file.",
        ),
    ],
    data: DataFolder,
    out: Out,
    workers: Annotated[
        int, typer.Option(min=1, help="Runs at the same time, each in a process of its own.")
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT", help="Use the workers of this dask scheduler instead."
        ),
    ] = None,
) -> None:
    """Train and test every combination of a study, and write tables, figures and a report.

    Stopped or killed, the same command goes on: a finished run is never repeated, an unfinished
    one goes on from its last checkpoint. The data folder needs an index.csv (columns image_id,
    split): "train" trains, the study's test split tests.

    A study is a YAML file: settings of [bold]train[/bold] that all runs share (base), and by name
    those of networks, optimizers and schedules, every combination of which is one run per seed.
    [bold]study show NAME[/bold] prints one to begin with.

    [bold]Examples[/bold]

      nucleiseg study run table1-compact --data dsb2018/ --out table1
      nucleiseg study run mine.yaml --data mine/ --out study --workers 4
      nucleiseg study run mine.yaml --data /net/mine --out /net/study --scheduler tcp://head:8786
    """
    from ..study.conduct import RunFailed, conduct
    from ..study.plan import plan, read_study
    from ..study.report import remember
    from ..study.results import need_pandas
    from ..study.run import check_test

    need_pandas()
    config = read_study(study)
    total = len(plan(config))
    check_test(data, config.test_split)
    remember(config, data, out)
    failed: list[str] = []
    try:
        with (
            progress_bar() as bar,
            closing(conduct(data, config, out, workers=workers, scheduler=scheduler)) as events,  # type: ignore[type-var]
        ):
            task = None if bar is None else bar.add_task("study", total=1.0)
            for event in events:
                if isinstance(event, RunFailed):
                    failed.append(event.name)
                if bar is not None and task is not None and (text := _progress(event)):
                    bar.update(task, completed=text[1], description=text[0])
                _tell(event)
    except KeyboardInterrupt:
        say("Stopped. The same command goes on where it was.")
        raise typer.Exit(INTERRUPTED) from None
    if len(failed) < total:
        _write_report(out)
    if failed:
        say(f"Failed, see above: {', '.join(failed)}")
        raise typer.Exit(SOME_FAILED)


@app.command("report")
@in_words
def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="The --out of study run.")
    ],
) -> None:
    """Write tables, figures and report anew, from the runs that are finished."""
    _write_report(folder)


@app.command("list")
@in_words
def list_studies() -> None:
    """List the studies that come with the program."""
    from ..study.plan import plan, read_study, study_names

    for name in study_names():
        config = read_study(name)
        say(f"{name:<16} {config.title}, {len(plan(config))} runs", sys.stdout)


@app.command("show")
@in_words
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME|STUDY.yaml", show_default=False, help="Which study.")
    ],
) -> None:
    """Print a study, to be changed and used as a file."""
    from ..study.plan import STUDIES, read_study, study_names

    read_study(name)
    path = STUDIES / f"{name}.yaml" if name in study_names() else Path(name).expanduser()
    say(path.read_text(encoding="utf-8").rstrip(), sys.stdout)


def _write_report(out: Path) -> None:
    from ..study.report import Reported
    from ..study.report import report as write

    for event in write(out):
        if isinstance(event, Reported):
            if event.finished < event.total:
                say(f"{event.finished} of {event.total} runs are finished")
            say(f"The report is {event.path}, with its tables and figures beside it", sys.stdout)


def _progress(event: Event) -> tuple[str, float] | None:
    """What a bar shows of an event: a text, and the share that is done of the run."""
    from ..events import BatchDone
    from ..study.run import ImageTested

    if isinstance(event, BatchDone):
        return f"epoch {event.epoch}, loss {event.loss:.3f}", event.progress
    if isinstance(event, ImageTested):
        return f"testing {event.run}", event.done / event.total
    return None


def _tell(event: Event) -> None:
    from ..events import EpochDone, LeftOut
    from ..study.conduct import RunFailed, RunFinished, RunsPlanned, RunStarted

    if isinstance(event, RunsPlanned):
        say(f"{event.total} runs, {event.finished} of them finished already")
    elif isinstance(event, RunStarted):
        say(f"run {event.number} of {event.total}: {event.name}")
    elif isinstance(event, RunFinished):
        say(f"finished {event.finished} of {event.total}: {event.name}")
    elif isinstance(event, RunFailed):
        say(f"Error: {event.name}: {event.sentence}")
    elif isinstance(event, EpochDone):
        say(f"  {epoch_line(event)}")
    elif isinstance(event, LeftOut):
        say(event.text)
