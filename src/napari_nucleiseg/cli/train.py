"""``nucleiseg train``: a model from micrographs with label images."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import distributed, wording
from ..config import SegmentConfig, TrainConfig
from ..errors import NucleisegError
from ..flags import (
    apply_assignments,
    describe_part,
    parse_flags,
    read_recipe,
    with_settings,
)
from .console import (
    INTERRUPTED,
    SOME_FAILED,
    USER_ERROR,
    Assignments,
    DataFolder,
    RecipeName,
    Resume,
    in_home,
    in_words,
    progress_bar,
    say,
    say_error,
)
from .stopping import stopping

if TYPE_CHECKING:
    from ..events import EpochDone


def _tell_about(part: str | None) -> None:
    if part is None:
        return
    try:
        say(describe_part(part), sys.stdout)
    except NucleisegError as error:
        say_error(error)
        raise typer.Exit(USER_ERROR) from None
    raise typer.Exit


@in_words
@with_settings(TrainConfig)
def train(
    data: DataFolder,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            callback=in_home,
            help="Folder for the checkpoints and the finished model.",
        ),
    ],
    settings: dict[str, Any],
    recipe: RecipeName = None,
    assignments: Assignments = None,
    resume: Resume = True,
    _about: Annotated[
        str | None,
        typer.Option(
            "--about",
            metavar="NAME",
            is_eager=True,
            callback=_tell_about,
            help="Tell about an optimizer, schedule or architecture and its settings, and end.",
        ),
    ] = None,
) -> None:
    """Train a model on micrographs with label images.

    Training goes on for --epochs, or for --minutes if given. After each epoch a checkpoint is
    written, last.pt and, where it is the best so far on micrographs held out for that, best.pt.
    Stopped by Ctrl-C or a power cut, the same command goes on where it was. At the end, and after
    Ctrl-C, the best model so far is written as a file that [bold]segment --model[/bold] takes.

    An index.csv in the data folder (columns image_id, split) says what to train on: the split
    "train". What a flag sets wins over --set, and that over the recipe. Optimizers, schedules and
    architectures have settings of their own, --about NAME lists them.

    [bold]Examples[/bold]

      nucleiseg train --data mine/ --out run --minutes 90
      nucleiseg train --recipe nuclei --data dsb2018/ --out run
      nucleiseg train --data mine/ --out run --epochs 50 --set augment.invert=0
      nucleiseg train --about padam
      nucleiseg train --data mine/ --out run --optimizer padam --set optimizer_options.p=0.25
      nucleiseg train --data mine/ --out run --optimizer rmsgd --schedule constant --explain
    """
    values = apply_assignments(
        TrainConfig, {} if recipe is None else read_recipe(recipe), assignments or ()
    )
    if "epochs" in settings and "minutes" not in settings:
        values["minutes"] = (
            None  # a number of epochs asked for is not cut short by the recipe's time
        )
    config: TrainConfig = parse_flags(TrainConfig, settings, values)

    from ..assembly import resolve_settings
    from ..batch import prepare_folder

    resolve_settings(config)
    prepare_folder(out)
    stopped, left_out = _train(data, config, out, resume=resume)
    if not distributed.is_first():
        return
    best, last = out / "best.pt", out / "last.pt"
    kept = best if best.is_file() else last
    if kept.is_file():
        from ..publishing import export_model

        name = _model_name(out)
        model = out / f"{name}.safetensors"
        about = {"title": name, "description": f"trained on {data.name}"}
        made = export_model(kept, model, name, about).card["training"]
        say(f"The model is {model}, with its card {model.with_suffix('.yaml').name}", sys.stdout)
        use = wording.command(None, SegmentConfig(model=str(model)))
        say(f"Use it: {use}", sys.stdout)
        if not made["held_out_scores"]:
            say(
                f"No held-out micrograph has scored it after {made['steps']} steps: look at what "
                "it finds, or compare with nucleiseg evaluate, before you rely on it."
            )
    if stopped:
        raise typer.Exit(INTERRUPTED)
    if left_out:
        say(f"Left out, see above: {left_out} of the pairs in {data}")
        raise typer.Exit(SOME_FAILED)


def _model_name(out: Path) -> str:
    """Name of a model after the folder it was trained in."""
    name = out.resolve().name
    return name.removesuffix(".safetensors") or "model"


def _train(data: Path, config: TrainConfig, out: Path, *, resume: bool) -> tuple[bool, int]:
    """Train and tell of each epoch; whether it was stopped, and how many pairs were left out."""
    from ..events import BatchDone, DeviceChosen, EpochDone, LeftOut, Notice
    from ..training import train as train_events

    epoch = left_out = 0
    with (
        stopping() as stop,
        progress_bar() as bar,
        closing(train_events(data, config, out, resume=resume)) as events,  # type: ignore[type-var]
    ):
        task = None if bar is None else bar.add_task("training", total=1.0)
        for event in events:
            if isinstance(event, BatchDone):
                stop.between_steps, epoch = True, event.epoch - 1
                if bar is not None and task is not None:
                    text = f"epoch {event.epoch}, loss {event.loss:.4f}"
                    bar.update(task, completed=event.progress, description=text)
            elif isinstance(event, EpochDone):
                epoch = event.epoch
                say(epoch_line(event))
            elif isinstance(event, (Notice, DeviceChosen)):
                left_out += isinstance(event, LeftOut)
                say(event.text)
            if stop.asked:
                break
    stop_asked = stop.asked
    if not distributed.is_first():
        return stop_asked, left_out
    last = out / "last.pt"
    if not stop_asked and not epoch:
        say(f"The run in {out} is finished already; --no-resume starts anew.", sys.stdout)
    elif not stop_asked:
        epochs = "1 epoch" if epoch == 1 else f"{epoch} epochs"
        say(f"Trained {epochs}; checkpoints are in {out}", sys.stdout)
    elif last.is_file():
        say(
            f"Stopped after epoch {epoch}; kept in {last}. The same command goes on from there.",
            sys.stdout,
        )
    else:
        say("Stopped before the first step; nothing was written.", sys.stdout)
    return stop_asked, left_out


def epoch_line(event: EpochDone) -> str:
    """One epoch in one line."""
    parts = [
        f"epoch {event.epoch}",
        f"loss {event.loss:.4f}",
        f"learning rate {event.learning_rate:.2g}",
        f"{event.seconds:.0f} s",
        f"{100 * event.progress:.0f} %",
    ]
    names = {"dice": "Dice", "iou": "IoU", "ap50": "AP@0.5", "ap": "AP", "held_out_loss": "loss"}
    for key, value in (event.scores or {}).items():
        parts.append(f"held-out {names.get(key, key)} {value:.3f}")
    return " · ".join(parts)
