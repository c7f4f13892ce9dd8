"""How long a fine-tuning learns, and at which rate: decided once, kept for a resumed run."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ..config import MINUTES, TrainConfig
from ..errors import FileError, TrainingError
from ..events import Event, Notice, Planned, RangeFound, RateTried
from ..files import write_text
from ..lr_range import RangeConfig, find_rate
from ..optimizers import OPTIMIZERS
from . import choice
from .task import Run, Task, hashes

STATE = "finetune.json"
VERSION = 1
EPOCHS = {"quick": 4, "normal": 8, "thorough": 16}
RANGE_TEST_FROM_MINUTES = 3.0
RANGE_STEPS = 25
# times the default: higher rates soon unlearn the old
RANGE_AROUND = 2.0
TIMED_STEPS = 4
LEAST_TRAINING = 0.5
# a run may go on elsewhere; the model is known by its hash
FREE_SETTINGS = {"model", "threads", "device", "name"}


def make_plan(task: Task, scoring_seconds: float) -> Generator[Event, None, TrainConfig]:
    """Decide how many batches there is time for, and at which rate; keep it for a resumed run."""
    config, settings = task.config, task.settings
    run = task.runs[0]
    minutes = config.minutes or MINUTES[config.length]
    has_time = minutes >= RANGE_TEST_FROM_MINUTES and config.steps is None
    own_rates = getattr(OPTIMIZERS.module(config.optimizer), "OWN_RATES", False)
    tests = config.learning_rate is None and has_time and not own_rates
    step_seconds = 0.0
    if config.steps is None or tests:
        rate, step_seconds = yield from _try_rates(run, settings, full=tests)
        settings = settings.model_copy(update={"learning_rate": rate})
    epochs = EPOCHS[config.length]
    if config.steps is None:
        # before, each share, and the model read back are compared, and one a little more often
        left = 60 * minutes - (len(choice.SHARES) + 3) * scoring_seconds
        left = max(left, LEAST_TRAINING * 60 * minutes) / len(task.runs)
        steps = max(epochs, int(left / step_seconds))
    else:
        steps = config.steps
    epochs = min(epochs, steps)
    plan = {
        "epochs": epochs,
        "steps_per_epoch": max(1, round(steps / epochs)),
        "learning_rate": settings.learning_rate,
    }
    write_text(task.out / STATE, json.dumps({**_record(task), "plan": plan}, indent=1) + "\n")
    return settings.model_copy(update=plan)


def planned(settings: TrainConfig, task: Task) -> Planned:
    """Say what was decided."""
    return Planned(
        f"Learning rate {settings.learning_rate:.2g}; {settings.epochs} epochs of "
        f"{settings.steps_per_epoch} batches of {settings.batch_size}",
        settings.epochs,
        settings.steps_per_epoch,
        len(task.runs),
    )


def read_plan(path: Path, task: Task) -> TrainConfig:
    """Settings of the run that is to go on."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        plan = kept.pop("plan")
        settings: TrainConfig = TrainConfig.parse({**task.settings.model_dump(), **plan}, str(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(
            "The record of the fine-tuning cannot be read", str(path), "Start anew (--no-resume)"
        ) from error
    now = _record(task)
    names = {"config": "settings", "parent": "model", "corrections": "corrections"}
    for key, what in names.items():
        if kept.get(key) != now[key]:
            raise TrainingError(
                f"The run to go on with was made with other {what}",
                str(path.parent),
                f"Repeat the {what}, choose another folder, or start anew (--no-resume)",
            )
    return settings


def _record(task: Task) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    return {
        "version": VERSION,
        "config": task.config.model_dump(mode="json", exclude=FREE_SETTINGS),
        "parent": {"name": task.parent.name, "sha256": task.parent.sha256},
        "corrections": hashes(task.corrections),
    }


def _try_rates(
    run: Run, settings: TrainConfig, *, full: bool
) -> Generator[Event, None, tuple[float, float]]:
    """Learning rate, and seconds that a batch takes."""
    default = float(settings.learning_rate or 0)
    test = RangeConfig(lowest=default / 30, highest=default * 30, steps=RANGE_STEPS)
    rate, times = default, [time.monotonic()]
    without = settings.model_copy(update={"schedule": "constant", "held_out": 0.0})
    with closing(find_rate(run.material, without, test)) as events:  # type: ignore[type-var]
        try:
            for event in events:
                if isinstance(event, RateTried):
                    times.append(time.monotonic())
                    yield event
                    if not full and len(times) > TIMED_STEPS:
                        break
                elif isinstance(event, RangeFound):
                    # a model that knows much already gives a flat curve, whose steepest fall may
                    # be anywhere
                    rate = min(max(event.steepest, default / RANGE_AROUND), default * RANGE_AROUND)
        except TrainingError as error:
            if not full or len(times) <= 2:
                raise
            yield Notice(f"No learning rate was found, {default:.2g} is used. {error}")
    # the first batch warms up
    return rate, float(np.median(np.diff(times)[1:]))
