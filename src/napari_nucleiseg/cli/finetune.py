"""``nucleiseg finetune``: a model made better on corrected micrographs, and the proof of it."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import wording
from ..config import FinetuneConfig, SegmentConfig
from ..errors import SettingError
from ..flags import apply_assignments, parse_flags, with_settings
from .console import (
    INTERRUPTED,
    SOME_FAILED,
    Assignments,
    DataFolder,
    Resume,
    in_home,
    in_words,
    progress_bar,
    say,
)
from .stopping import stopping
from .train import epoch_line

if TYPE_CHECKING:
    from ..events import Finetuned

_COLUMNS = {"dice": "Dice", "iou": "IoU", "ap50": "AP@0.5", "ap": "AP", "pq": "PQ"}


@in_words
@with_settings(FinetuneConfig)
def finetune(
    data: DataFolder,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            callback=in_home,
            help="Folder for the new model; an unfinished run keeps its checkpoints there.",
        ),
    ],
    settings: dict[str, Any],
    assignments: Assignments = None,
    resume: Resume = True,
    conclude: Annotated[
        bool,
        typer.Option(
            "--conclude", help="Learn no more: compare and keep what a stopped run has learned."
        ),
    ] = False,
) -> None:
    """Make a model better on micrographs that you have corrected.

    A few corrected nuclei are enough: pixels of -1 in a label image are not reviewed and do not
    count. Some corrections are held out, and old and new model are compared on them and on crops
    that come with the program, so that you see whether it got better and whether it has unlearned
    something. The old model is never touched; a new one that is no better is kept apart, and its
    name says so.

    [bold]Examples[/bold]

      nucleiseg finetune --data corrected/ --out better
      nucleiseg finetune --data corrected/ --out better --minutes 5 --name kidney
      nucleiseg finetune --model kidney.safetensors --data more/ --out better2 --may-forget anything
    """
    values = apply_assignments(FinetuneConfig, {}, assignments or ())
    config: FinetuneConfig = parse_flags(FinetuneConfig, settings, values)
    if conclude and not resume:
        raise SettingError(
            "Only an earlier run can be concluded",
            "--conclude --no-resume",
            "Leave one of them out",
        )

    from ..batch import prepare_folder

    prepare_folder(out)
    done, left_out = _finetune(data, config, out, resume=resume, conclude=conclude)
    if done is None:
        kept = (out / "last.pt").is_file()
        say(
            f"Stopped; kept in {out}. The same command goes on from there, and with --conclude it "
            "keeps what has been learned so far."
            if kept
            else "Stopped before the first step; nothing was written.",
            sys.stdout,
        )
        raise typer.Exit(INTERRUPTED)
    _show(done)
    if left_out:
        say(f"Left out, see above: {left_out} of the pairs in {data}")
        raise typer.Exit(SOME_FAILED)


def _finetune(
    data: Path, config: FinetuneConfig, out: Path, *, resume: bool, conclude: bool
) -> tuple[Finetuned | None, int]:
    """Drain the events and tell of them; the result, and how many pairs were left out."""
    from ..events import (
        BatchDone,
        Comparing,
        DeviceChosen,
        EpochDone,
        Finetuned,
        LeftOut,
        Notice,
        RateTried,
    )
    from ..finetuning import finetune as events_of

    done, left_out = None, 0
    with (
        stopping() as stop,
        progress_bar() as bar,
        closing(events_of(data, config, out, resume=resume, conclude=conclude)) as events,  # type: ignore[type-var]
    ):
        task = None if bar is None else bar.add_task("fine-tuning", total=1.0)

        def show(text: str, progress: float) -> None:
            if bar is not None and task is not None:
                bar.update(task, completed=progress, description=text)

        for event in events:
            if isinstance(event, BatchDone):
                stop.between_steps = True
                show(f"learning, loss {event.loss:.4f}", event.progress)
            elif isinstance(event, RateTried):
                show(f"trying learning rate {event.learning_rate:.2g}", event.step / event.total)
            elif isinstance(event, Comparing):
                show("comparing", event.done / event.total)
            elif isinstance(event, EpochDone):
                say(epoch_line(event))
            elif isinstance(event, (Notice, DeviceChosen)):
                left_out += isinstance(event, LeftOut)
                say(event.text)
            elif isinstance(event, Finetuned):
                done = event
            if stop.asked:
                break
    return done, left_out


def _show(done: Finetuned) -> None:
    """Both models in a table, the verdict, and how to use the new one."""
    for line in table_of(done):
        say(line, sys.stdout)
    for comparison in done.comparisons:
        if comparison.words:
            say(f"AP image by image, {comparison.where}: {comparison.words}", sys.stdout)
    say(f"{done.reason}.", sys.stdout)
    if done.recommended:
        say(f"The new model is {done.path}", sys.stdout)
    else:
        say(f"The new model is not recommended; it is kept apart as {done.path}", sys.stdout)
    use = wording.command(None, SegmentConfig(model=str(done.path)))
    say(f"{'Use it' if done.recommended else 'Look at what it finds'}: {use}", sys.stdout)


def table_of(done: Finetuned) -> list[str]:
    """Lines of the table of scores, before and after."""
    rows = [["", "", *_COLUMNS.values()]]
    for comparison in done.comparisons:
        where = f"{comparison.where} ({wording.nuclei(comparison.nuclei)})"
        for label, scores in (("before", comparison.before), ("after", comparison.after)):
            rows.append([where, label, *(f"{scores[key]:.3f}" for key in _COLUMNS)])
            where = ""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
