"""Fine-tuning: any model, corrected micrographs, and the proof that the new model is better."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import __version__
from .assembly import resolve_settings
from .checkpoint import Checkpoint, load_checkpoint
from .config import FinetuneConfig, TrainConfig
from .data.blocks import Fold, count_nuclei, divide
from .data.patches import TrainingImage
from .device import choose_device
from .errors import FileError, SettingError, TrainingError
from .events import (
    BatchDone,
    Comparing,
    DeviceChosen,
    EpochDone,
    Event,
    Finetuned,
    Notice,
    RangeFound,
    RateTried,
    Saved,
)
from .files import write_text
from .lr_range import RangeConfig, find_rate
from .metrics._matching import Overlaps
from .models import MODELS
from .optimizers import OPTIMIZERS
from .preparation import Material, read_images
from .proof import Comparison, compare, interpolated, scores_of, tables_of
from .replay import read_replay
from .store import ModelCard, find_model, load_network, load_weights, save_model
from .training import train

STATE = "finetune.json"
VERSION = 1
MINUTES = {"quick": 1.0, "normal": 5.0, "thorough": 20.0}
EPOCHS = {"quick": 4, "normal": 8, "thorough": 16}
REPLAYED = {"nothing": 0.5, "a little": 0.25, "anything": 0.0}
# AP on the replay set that the new model may lose
TOLERATED = {"nothing": 0.01, "a little": 0.03, "anything": 1.0}
# of what an optimizer's source advises for training from nothing
RATE_SHARE = 0.1
RANGE_TEST_FROM_MINUTES = 3.0
RANGE_STEPS = 25
TIMED_STEPS = 4
# how far to go from the old weights to the trained ones
SHARES = (1.0, 0.7, 0.4)
LEAST_TRAINING = 0.5
PATCH_PX = 128
NOT_BETTER = "-not-better"
# a run may go on elsewhere; the model is known by its hash
FREE_SETTINGS = {"model", "threads", "device", "name"}


@dataclass(frozen=True)
class _Run:
    """One training: what learns, what judges, and where its checkpoints are."""

    folder: Path
    material: Material


@dataclass(frozen=True)
class _Task:
    """All that a fine-tuning begins with."""

    config: FinetuneConfig
    settings: TrainConfig
    parent: ModelCard
    corrections: tuple[TrainingImage, ...]
    folds: tuple[Fold, ...]
    runs: tuple[_Run, ...]
    replay_held_out: tuple[TrainingImage, ...]
    device: str
    out: Path

    @property
    def is_cross_validated(self) -> bool:
        return len(self.folds) > 1

    @property
    def judged(self) -> tuple[TrainingImage, ...]:
        return tuple(image for fold in self.folds for image in fold.held_out)


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
    task = yield from _begin(data, config, out, resume or conclude)
    if conclude:
        task = yield from _so_far(task)
    goes_on = (resume or conclude) and (out / STATE).is_file()
    network = load_network(task.parent).to(task.device)
    started = time.monotonic()
    total = len(task.judged) + len(task.replay_held_out)
    judged_before = yield from _segment(network, task.judged, task, 0, total)
    replay_before = yield from _segment(
        network, task.replay_held_out, task, len(task.judged), total
    )
    seconds = time.monotonic() - started
    if goes_on:
        settings = _planned(out / STATE, task)
    else:
        settings = yield from _plan(task, seconds)
    if not conclude:
        for number, run in enumerate(task.runs):
            yield from _learn(run, settings, number, task)
    states = {run.folder: _learned(run.folder) for run in task.runs}
    share, final, judged_after = yield from _choose(task, states, replay_before)
    yield from _publish(task, settings, share, final, (judged_before, judged_after), replay_before)


def _begin(
    data: Path, config: FinetuneConfig, out: Path, goes_on: bool
) -> Generator[Event, None, _Task]:
    """Check settings, read everything, divide it."""
    parent = find_model(config.model)
    settings = resolve_settings(_train_settings(config, parent))
    name = config.name or _next_name(parent.name)
    if (out / f"{name}.safetensors").resolve() == parent.path.resolve():
        raise SettingError(
            "The new model would replace the one it begins with",
            str(parent.path),
            "Give the new one another name or another folder",
        )
    if config.threads:
        torch.set_num_threads(config.threads)
    corrections = yield from read_images(data, parent.normalise)
    nuclei = count_nuclei(corrections)
    if not nuclei:
        raise TrainingError(
            "No nucleus is marked in any label image", str(data), "Correct some nuclei first"
        )
    replayed, replay_held_out = _replay(settings, parent)
    if settings.replay and not replayed:
        yield Notice(
            f"{parent.name} tells classes of nuclei apart and the bundled crops do not: nothing is "
            "replayed, so that it may unlearn what it knew"
        )
        settings = settings.model_copy(update={"replay": 0.0})
    folds = divide(corrections, config.seed)
    yield Notice(_division_in_words(nuclei, corrections, folds))
    # the model itself comes first: it is there when someone stops while it is being judged
    parts: list[tuple[str, Sequence[TrainingImage], Sequence[TrainingImage]]]
    if len(folds) == 1:
        parts = [("", folds[0].training, folds[0].held_out)]
    else:
        parts = [("", corrections, ())]
        parts += [(f"fold{n}", f.training, f.held_out) for n, f in enumerate(folds, 1)]
    runs = tuple(
        _Run(out / folder, Material((*learns, *replayed), tuple(judges), str(data)))
        for folder, learns, judges in parts
    )
    if not goes_on:
        for run in runs:
            for file in ("last.pt", "best.pt"):
                (run.folder / file).unlink(missing_ok=True)
    device, _ = choose_device(config.device)
    return _Task(
        config.model_copy(update={"name": name}),
        settings,
        parent,
        tuple(corrections),
        tuple(folds),
        runs,
        replay_held_out,
        device,
        out,
    )


def _so_far(task: _Task) -> Generator[Event, None, _Task]:
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


def _train_settings(config: FinetuneConfig, parent: ModelCard) -> TrainConfig:
    """Settings of the training, but for its length and its learning rate if that is unset."""
    module = OPTIMIZERS.module(config.optimizer)
    advised = float(getattr(module, "LEARNING_RATE", 1e-3))
    own_rates = getattr(module, "OWN_RATES", False)
    return TrainConfig(
        architecture=parent.architecture,
        architecture_options=dict(parent.architecture_options),
        start=str(parent.path),
        optimizer=config.optimizer,
        optimizer_options=config.optimizer_options,
        loss=config.loss,
        learning_rate=config.learning_rate or RATE_SHARE * advised,
        schedule=config.schedule or ("constant" if own_rates else "cosine"),
        warmup=0.1,
        batch_size=config.batch_size,
        patch_px=config.patch_px or parent.fixed_tile or _patch(parent.multiple),
        ema_decay=0.99,
        validate_every=1,
        # who is held out is decided here, by place
        held_out=0.25,
        augment=config.augment,
        replay=REPLAYED[config.may_forget],
        frozen=config.frozen,
        keep_norms=True,
        seed=config.seed,
        device=config.device,
        threads=config.threads,
    )


def _patch(multiple: int) -> int:
    return max(1, round(PATCH_PX / multiple)) * multiple


def _replay(
    settings: TrainConfig, parent: ModelCard
) -> tuple[list[TrainingImage], tuple[TrainingImage, ...]]:
    """Crops that train and crops that judge."""
    if MODELS.module(settings.architecture).Options.model_fields.get("classes") and (
        parent.classes > 1
    ):
        return [], ()
    learns = read_replay(parent.normalise, ["train"]) if settings.replay else []
    return learns, tuple(read_replay(parent.normalise, ["held-out"]))


def _division_in_words(
    nuclei: int, corrections: Sequence[TrainingImage], folds: Sequence[Fold]
) -> str:
    """Say what learns and what judges."""
    of = "1 micrograph" if len(corrections) == 1 else f"{len(corrections)} micrographs"
    begin = f"Corrections: {nuclei} nuclei in {of}"
    if not folds:
        return (
            f"{begin}. They lie in one place, so none can be held out: there will be no proof that "
            "the new model is better. Correct some nuclei elsewhere"
        )
    if len(folds) == 1:
        judging = count_nuclei(folds[0].held_out)
        return f"{begin}; {judging} of them, in blocks of their own, are held out to compare"
    return (
        f"{begin}: too few to hold some out. The new model learns from all of them, and "
        f"{len(folds)} more learn from a part each and are judged by the rest (cross-validation "
        "over blocks)"
    )


def _segment(
    network: torch.nn.Module, images: Sequence[TrainingImage], task: _Task, done: int, total: int
) -> Generator[Event, None, list[Overlaps]]:
    """Compare a network's result with the truth, image by image, so that it can be stopped."""
    tables: list[Overlaps] = []
    for number, image in enumerate(images, done + 1):
        tables += tables_of(network, [image], task.device)
        yield Comparing(number, total)
    return tables


def _hashes(images: Sequence[TrainingImage]) -> dict[str, str]:
    """SHA-256 of pixels and labels of each micrograph."""
    found = {}
    for image in images:
        digest = hashlib.sha256(np.ascontiguousarray(image.image).tobytes())
        digest.update(np.ascontiguousarray(image.labels).tobytes())
        found[image.name] = digest.hexdigest()
    return found


def _record(task: _Task) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    return {
        "version": VERSION,
        "config": task.config.model_dump(mode="json", exclude=FREE_SETTINGS),
        "parent": {"name": task.parent.name, "sha256": task.parent.sha256},
        "corrections": _hashes(task.corrections),
    }


def _planned(path: Path, task: _Task) -> TrainConfig:
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


def _plan(task: _Task, scoring_seconds: float) -> Generator[Event, None, TrainConfig]:
    """Decide how many batches there is time for, and at which rate; keep it for a resumed run."""
    config, settings = task.config, task.settings
    run = task.runs[0]
    minutes = config.minutes or MINUTES[config.length]
    has_time = minutes >= RANGE_TEST_FROM_MINUTES and config.steps is None
    tests = config.learning_rate is None and has_time and settings.schedule != "constant"
    step_seconds = 0.0
    if config.steps is None or tests:
        rate, step_seconds = yield from _try_rates(run, settings, full=tests)
        settings = settings.model_copy(update={"learning_rate": rate})
    epochs = EPOCHS[config.length]
    if config.steps is None:
        # before, each share, and the model read back are compared, and one a little more often
        left = 60 * minutes - (len(SHARES) + 3) * scoring_seconds
        left = max(left, LEAST_TRAINING * 60 * minutes) / len(task.runs)
        steps = max(epochs, int(left / step_seconds))
    else:
        steps = config.steps
    epochs = min(epochs, steps)
    plan = {
        "epochs": epochs,
        "steps_per_epoch": max(1, round(steps / epochs)),
        "learning_rate": settings.learning_rate,
        "replay": settings.replay,
    }
    write_text(task.out / STATE, json.dumps({**_record(task), "plan": plan}, indent=1) + "\n")
    yield Notice(
        f"Learning rate {settings.learning_rate:.2g}; {epochs} epochs of {plan['steps_per_epoch']} "
        f"batches of {settings.batch_size}"
    )
    return settings.model_copy(update=plan)


def _try_rates(
    run: _Run, settings: TrainConfig, *, full: bool
) -> Generator[Event, None, tuple[float, float]]:
    """Learning rate, and seconds that a batch takes."""
    default = float(settings.learning_rate or 0)
    test = RangeConfig(lowest=default / 30, highest=default * 30, steps=RANGE_STEPS)
    rate, times = default, [time.monotonic()]
    without = settings.model_copy(update={"schedule": "cosine", "held_out": 0.0})
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
                    rate = min(max(event.steepest, default / 3), default * 3)
                elif isinstance(event, DeviceChosen):
                    yield event
        except TrainingError as error:
            if not full:
                raise
            yield Notice(f"No learning rate was found, {default:.2g} is used. {error}")
    # the first batch warms up
    return rate, float(np.median(np.diff(times)[1:]))


def _learn(run: _Run, settings: TrainConfig, number: int, task: _Task) -> Iterator[Event]:
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


def _choose(
    task: _Task,
    states: Mapping[Path, tuple[Checkpoint, ...]],
    replay_before: list[Overlaps],
) -> Generator[Event, None, tuple[float, Checkpoint, list[Overlaps]]]:
    """How far to go towards the trained weights: as far as held-out corrections gain by it.

    Of shares that keep what the replay set asks, the one with the highest AP on held-out
    corrections.
    """
    first = task.runs[0].folder
    candidates = [(share, states[first][0]) for share in SHARES]
    if not task.is_cross_validated:
        candidates += [(1.0, state) for state in states[first][1:]]
    old = load_weights(task.parent)
    network = load_network(task.parent).to(task.device)
    total = len(candidates) * (len(task.judged) + len(task.replay_held_out))
    least = scores_of(replay_before)["ap"] - 0.5 * TOLERATED[task.config.may_forget]
    done = 0
    found: list[tuple[bool, float, float, Checkpoint, list[Overlaps]]] = []
    for share, state in candidates:
        network.load_state_dict(interpolated(old, state.averaged, share))
        replay = yield from _segment(network, task.replay_held_out, task, done, total)
        done += len(replay)
        judged: list[Overlaps] = []
        for number, fold in enumerate(task.folds, 1):
            if task.is_cross_validated:
                part = states[task.runs[number].folder][0].averaged
                network.load_state_dict(interpolated(old, part, share))
            judged += yield from _segment(network, fold.held_out, task, done, total)
            done += len(fold.held_out)
        keeps = scores_of(replay)["ap"] >= least
        gained = scores_of(judged)["ap"] if judged else share
        found.append((keeps, gained, share, state, judged))
    # equal ones: the one that has learned most
    _, _, share, state, judged = max(found, key=lambda f: f[:3])
    return share, state, judged


def _publish(
    task: _Task,
    settings: TrainConfig,
    share: float,
    state: Checkpoint,
    judged: tuple[list[Overlaps], list[Overlaps]],
    replay_before: list[Overlaps],
) -> Iterator[Event]:
    """Save, read back, run, compare, and only then give it its name."""
    name = str(task.config.name)
    weights = interpolated(load_weights(task.parent), state.averaged, share)
    card = _card(task, settings, state, share)
    trial = task.out / "unproven.safetensors"
    try:
        network = load_network(save_model(trial, weights, {**card, "name": name}))
        network = network.to(task.device)
        before, after = judged
        total = len(task.replay_held_out) + max(len(before), 1)
        replay_after = yield from _segment(network, task.replay_held_out, task, 0, total)
        if task.is_cross_validated or not before:
            # others were judged in its place; it has to run all the same
            tables_of(network, task.corrections[:1], task.device)
        else:
            after = yield from _segment(network, task.judged, task, len(replay_after), total)
    finally:
        for path in (trial, trial.with_suffix(".yaml")):
            path.unlink(missing_ok=True)
    comparisons = [compare("replay set", replay_before, replay_after)] if replay_after else []
    if before:
        how = ", cross-validated" if task.is_cross_validated else ""
        comparisons.insert(0, compare(f"held-out corrections{how}", before, after))
    recommended, reason = _verdict(comparisons, has_judges=bool(before), config=task.config)
    name += "" if recommended else NOT_BETTER
    about = {
        "name": name,
        "title": name if recommended else f"{name} (not recommended)",
        "recommended": recommended,
        "reason": reason,
        "comparisons": [vars(c) for c in comparisons],
    }
    path = task.out / f"{name}.safetensors"
    model = save_model(path, weights, {**card, **about})
    load_network(model)
    yield Saved(path, "the new model")
    yield Finetuned(path, name, recommended, reason, tuple(comparisons), share)


def _verdict(
    comparisons: Sequence[Comparison], *, has_judges: bool, config: FinetuneConfig
) -> tuple[bool, str]:
    """Whether the new model is to be used, and why."""
    if not has_judges:
        return False, (
            "No correction could be held out, so nothing shows that it is better: look at what it "
            "finds before you rely on it"
        )
    own, *rest = comparisons
    change = f"AP {own.before['ap']:.3f} before, {own.after['ap']:.3f} after"
    if own.gain <= 0:
        return False, f"It is no better on corrections that it has not seen ({change})"
    for other in rest:
        if other.gain < -TOLERATED[config.may_forget]:
            return False, (
                f"It has unlearned what the old model knew: on the {other.where} AP fell from "
                f"{other.before['ap']:.3f} to {other.after['ap']:.3f}"
            )
    return True, f"It is better on corrections that it has not seen ({change})"


def _next_name(name: str) -> str:
    """Name after a parent's: nuclei, nuclei-tuned, nuclei-tuned-2."""
    name = name.removesuffix(NOT_BETTER)
    if match := re.fullmatch(r"(.*-tuned)(?:-(\d+))?", name):
        return f"{match[1]}-{int(match[2] or 1) + 1}"
    return f"{name}-tuned"


def _card(task: _Task, settings: TrainConfig, state: Checkpoint, share: float) -> dict[str, Any]:
    """Card of the new model: what it needs to run, and where it comes from."""
    parent = task.parent
    kept = ("architecture", "architecture_options", "parameters", "maps", "multiple", "fixed_tile")
    earlier = parent.card.get("parents")
    return {
        "description": f"{parent.name}, fine-tuned on corrected micrographs",
        **{k: parent.card[k] for k in kept if k in parent.card},
        "normalise": parent.normalise.model_dump(mode="json"),
        "parents": [
            {"name": parent.name, "sha256": parent.sha256},
            *(earlier if isinstance(earlier, list) else ()),
        ],
        "finetuning": {
            "config": task.config.model_dump(mode="json", exclude={"model"}),
            "learning_rate": settings.learning_rate,
            "replay": settings.replay,
            "share_of_trained_weights": share,
            "corrections": _hashes(task.corrections),
            "nuclei": count_nuclei(task.corrections),
            "epochs": state.epoch,
            "steps": state.step,
            "minutes": round(state.seconds / 60, 2),
            "seed": task.config.seed,
            "versions": {"torch": str(torch.__version__), "napari-nucleiseg": __version__},
        },
    }
