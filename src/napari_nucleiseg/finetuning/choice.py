"""Which of the learned weights to keep, and whether they are to be recommended."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..checkpoint import Checkpoint
from ..config import FinetuneConfig, TrainConfig
from ..data.blocks import count_nuclei
from ..events import Comparison, Event, Finetuned, Saved
from ..metrics._matching import Overlaps
from ..model_names import NOT_BETTER
from ..proof import compare, interpolated, scores_of, tables_of
from ..store import load_network, load_weights, save_model
from .task import Task, compare_all, hashes

# how far to go from the old weights to the trained ones
SHARES = (1.0, 0.7, 0.4)
# AP on held-out corrections that may be chance
LEAST_GAIN = 0.01
# AP on the replay set that the new model may lose
TOLERATED = {"nothing": 0.01, "a little": 0.03, "anything": 1.0}


def choose(
    task: Task,
    states: Mapping[Path, tuple[Checkpoint, ...]],
    replay_before: list[Overlaps],
) -> Generator[Event, None, tuple[float, Checkpoint, list[Overlaps]]]:
    """How far to go towards the trained weights: as far as held-out corrections gain by it.

    Of shares that keep what the replay set asks, the one with the highest AP on held-out
    corrections; where none does, the one that has unlearned least.
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
        replay = yield from compare_all(network, task.replay_held_out, task, done, total)
        done += len(replay)
        judged: list[Overlaps] = []
        for number, fold in enumerate(task.folds, 1):
            if task.is_cross_validated:
                part = states[task.runs[number].folder][0].averaged
                network.load_state_dict(interpolated(old, part, share))
            judged += yield from compare_all(network, fold.held_out, task, done, total)
            done += len(fold.held_out)
        kept = scores_of(replay)["ap"]
        gained = scores_of(judged)["ap"] if judged else share
        keeps = kept >= least
        found.append((keeps, gained if keeps else kept, share, state, judged))
    # equal ones: the one that has learned most
    _, _, share, state, judged = max(found, key=lambda f: f[:3])
    return share, state, judged


def publish(
    task: Task,
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
        replay_after = yield from compare_all(network, task.replay_held_out, task, 0, total)
        if task.is_cross_validated or not before:
            # others were judged in its place; it has to run all the same
            tables_of(network, task.corrections[:1], task.device)
        else:
            after = yield from compare_all(network, task.judged, task, len(replay_after), total)
    finally:
        for path in (trial, trial.with_suffix(".yaml")):
            path.unlink(missing_ok=True)
    comparisons = [compare("replay set", replay_before, replay_after)] if replay_after else []
    if before:
        how = ", cross-validated" if task.is_cross_validated else ""
        comparisons.insert(0, compare(f"held-out corrections{how}", before, after))
    recommended, reason = verdict(comparisons, has_judges=bool(before), config=task.config)
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


def verdict(
    comparisons: Sequence[Comparison], *, has_judges: bool, config: FinetuneConfig
) -> tuple[bool, str]:
    """Whether the new model is to be used, and why.

    Parameters
    ----------
    comparisons : sequence of Comparison
        On held-out corrections first, where there are any; then on what the old model knew.
    has_judges : bool
        Whether there are any.
    config : FinetuneConfig
    """
    if not has_judges:
        return False, (
            "No correction could be held out, so nothing shows that it is better: look at what it "
            "finds before you rely on it"
        )
    own, *rest = comparisons
    change = f"AP {own.before['ap']:.3f} before, {own.after['ap']:.3f} after"
    if own.gain <= LEAST_GAIN:
        how = "worse" if own.gain < -LEAST_GAIN else "hardly better, if at all,"
        return False, f"It is {how} on corrections that it has not seen ({change})"
    for other in rest:
        if other.gain < -TOLERATED[config.may_forget]:
            return False, (
                f"It has unlearned what the old model knew: on the {other.where} AP fell from "
                f"{other.before['ap']:.3f} to {other.after['ap']:.3f}"
            )
    return True, f"It is better on corrections that it has not seen ({change})"


def _card(task: Task, settings: TrainConfig, state: Checkpoint, share: float) -> dict[str, Any]:
    """Card of the new model: what it needs to run, and where it comes from."""
    parent = task.parent
    kept = ("architecture", "architecture_options", "parameters", "maps", "multiple", "fixed_tile")
    earlier = parent.card.get("parents")
    # from its corrections and from what it has learned before
    known = [d for d in (parent.median_diameter_px, state.median_diameter_px) if d]
    return {
        "description": f"{parent.name}, fine-tuned on corrected micrographs",
        **{k: parent.card[k] for k in kept if k in parent.card},
        "normalise": parent.normalise.model_dump(mode="json"),
        **(
            {"data": {"median_diameter_px": round(math.prod(known) ** (1 / len(known)), 1)}}
            if known
            else {}
        ),
        "parents": [
            {"name": parent.name, "sha256": parent.sha256},
            *(earlier if isinstance(earlier, list) else ()),
        ],
        "finetuning": {
            "config": task.config.model_dump(mode="json", exclude={"model"}),
            "learning_rate": settings.learning_rate,
            "replay": task.replay,
            "share_of_trained_weights": share,
            "corrections": hashes(task.corrections),
            "nuclei": count_nuclei(task.corrections),
            "epochs": state.epoch,
            "steps": state.step,
            "minutes": round(state.seconds / 60, 2),
            "seed": task.config.seed,
            "versions": {"torch": str(torch.__version__), "napari-nucleiseg": __version__},
        },
    }
