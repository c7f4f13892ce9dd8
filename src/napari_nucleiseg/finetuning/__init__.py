"""Fine-tuning: any model, corrected micrographs, and the proof that the new model is better."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ..checkpoint import Checkpoint, load_checkpoint
from ..config import FinetuneConfig, TrainConfig
from ..errors import TrainingError
from ..events import BatchDone, DeviceChosen, EpochDone, Event, Notice
from ..store import load_network
from ..training import train
from .choice import choose, publish
from .plan import STATE, make_plan, planned, read_plan
from .task import Run, Task, begin, compare_all

__all__ = ["STATE", "finetune"]


def finetune(
    data: Path,
    config: FinetuneConfig,
    out: Path,
    *,
    resume: bool = True,
    conclude: bool = False,
) -> Iterator[Event]:
    """Make a model better on corrected micrographs, and prove it.

    Parameters
    ----------
    data : Path
        Folder of micrographs with label images, see `napari_nucleiseg.data.pairs.find_pairs`. In a
        label image 0 is background and -1 is not reviewed: a few corrected nuclei are enough.
    config : FinetuneConfig
    out : Path
        Folder of the new model and, until it is ready, of the checkpoints.
    resume : bool
        Go on where an earlier run in ``out`` was stopped.
    conclude : bool
        Learn no more: compare and keep what an earlier run in ``out`` has learned until it was
        stopped.

    Yields
    ------
    Event
        `Notice`, `DeviceChosen`, `BatchDone`, `EpochDone` with the scores on held-out corrections,
        `Saved`, `Comparing`, and last `Finetuned`. Closed before that, the checkpoint is kept.

    Raises
    ------
    NucleisegError
        If model, settings or corrections cannot be used, or if the loss is no longer a number. The
        old model is never touched.
    """
    task = yield from begin(data, config, out, resume or conclude)
    if conclude:
        task = yield from _so_far(task)
    goes_on = (resume or conclude) and (out / STATE).is_file()
    network = load_network(task.parent).to(task.device)
    started = time.monotonic()
    total = len(task.judged) + len(task.replay_held_out)
    judged_before = yield from compare_all(network, task.judged, task, 0, total)
    replay_before = yield from compare_all(
        network, task.replay_held_out, task, len(task.judged), total
    )
    seconds = time.monotonic() - started
    if goes_on:
        settings = read_plan(out / STATE, task)
    else:
        settings = yield from make_plan(task, seconds)
    if not conclude:
        yield planned(settings, task)
        for number, run in enumerate(task.runs):
            yield from _learn(run, settings, number, task)
    states = {run.folder: _learned(run.folder) for run in task.runs}
    share, final, judged_after = yield from choose(task, states, replay_before)
    yield from publish(task, settings, share, final, (judged_before, judged_after), replay_before)


def _so_far(task: Task) -> Generator[Event, None, Task]:
    """Leave out what was not begun when the run was stopped."""
    has_learned = [(run.folder / "last.pt").is_file() for run in task.runs]
    if not has_learned[0]:
        raise TrainingError(
            "Nothing has been learned yet", str(task.out), "Let it go on for at least one batch"
        )
    if all(has_learned):
        return task
    yield Notice(
        "Stopped before the cross-validation was done: there is no proof that it is better"
    )
    return replace(task, folds=(), runs=task.runs[:1])


def _learn(run: Run, settings: TrainConfig, number: int, task: Task) -> Iterator[Event]:
    """Train, in the words of the whole fine-tuning."""
    total = len(task.runs)
    if not run.material.held_out:
        settings = settings.model_copy(update={"held_out": 0.0})
    if number:
        yield Notice(f"Cross-validation {number} of {total - 1}")
    try:
        with closing(train(run.material, settings, run.folder)) as events:  # type: ignore[type-var]
            for event in events:
                if isinstance(event, (BatchDone, EpochDone)):
                    yield replace(event, progress=(number + event.progress) / total)
                elif not (number and isinstance(event, DeviceChosen)):
                    yield event
    except TrainingError as error:
        raise TrainingError(
            error.what,
            error.where,
            f"{error.remedy.rstrip('.')}. The model {task.parent.name} is untouched",
        ) from error


def _learned(folder: Path) -> tuple[Checkpoint, ...]:
    """What a run has learned: its last state and, where that is another, its best."""
    last = load_checkpoint(folder / "last.pt")
    if not (folder / "best.pt").is_file() or not last.scores:
        return (last,)
    best = load_checkpoint(folder / "best.pt")
    return (last,) if best.epoch == last.epoch else (last, best)
