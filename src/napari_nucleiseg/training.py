"""Training: one loop from the first batch to the last checkpoint."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from . import distributed
from .assembly import (
    build_optimizer,
    build_schedule,
    layer_rates,
    learning_rate,
    variation,
)
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .config import TrainConfig
from .data.patches import PatchSampler
from .device import choose_device
from .errors import FileError, TrainingError
from .events import BatchDone, EpochDone, Event, Notice, Saved
from .explain import network_quality, probe
from .fitting import LossOf, ema_share, fit_batch, move_average, rest_norms
from .instances import diameters
from .optimizers import OPTIMIZERS
from .preparation import Material, prepare
from .validation import held_out_loss, validate

NORM_BATCHES = 20

# a run may go on for longer, elsewhere
FREE_SETTINGS = {"threads", "device", "amp", "epochs", "minutes", "explain"}


def train(
    data: Path | Material, config: TrainConfig, out: Path, *, resume: bool = True
) -> Iterator[Event]:
    """Train a model on micrographs with label images.

    Parameters
    ----------
    data : Path or Material
        Folder; see `napari_nucleiseg.data.pairs.find_pairs`. Only pairs of the split ``train``
        are used. Or micrographs that are read already.
    config : TrainConfig
    out : Path
        Folder of the checkpoints ``last.pt`` and ``best.pt``.
    resume : bool
        Go on from ``last.pt`` if there is one.

    Yields
    ------
    Event
        `Notice`, `DeviceChosen`, `BatchDone`, `EpochDone`, `Saved`.

    Raises
    ------
    TrainingError
        If the data cannot be used or the loss is no longer a number.

    Notes
    -----
    Started by `torchrun`, several processes train together; the first one writes and reports.
    """
    with distributed.joined(choose_device(config.device)[0]):
        for event in _train(data, config, out, resume):
            if distributed.is_first():
                yield event


def _train(data: Path | Material, config: TrainConfig, out: Path, resume: bool) -> Iterator[Event]:
    share = distributed.share_of(config.batch_size)
    asked = config
    last, best = out / "last.pt", out / "best.pt"
    goes_on = resume and last.is_file()
    ready = yield from prepare(data, config, anew=not goes_on)
    config, training, held_out = ready.config, ready.training, ready.held_out
    model, device = ready.model, ready.device
    averaged = copy.deepcopy(model)
    state = Checkpoint(config, {}, {}, {})
    data_names = {
        "train": [i.name for i in training],
        "held_out": [i.name for i in held_out],
    }
    state.data = data_names
    sizes = [diameters(i.labels) for i in training if not i.is_replay]
    state.median_diameter_px = (
        float(np.median(np.concatenate(sizes))) if sum(map(len, sizes)) else 0.0
    )
    if goes_on:
        state = load_checkpoint(last)
        # what was left unset then is what it was then
        config = _filled_from(state.config, asked, config)
        _check_resumable(last, state, config, data_names)
        _load_weights(last, ((model, state.weights), (averaged, state.averaged)))
        state.config = config
        yield Notice(f"going on after epoch {state.epoch} from {last}")
    model = distributed.shared(model.to(device)).train()
    if config.keep_norms:
        rest_norms(model)
    averaged.to(device).eval()
    optimizer, schedule = build_optimizer(model, config), build_schedule(config)
    set_rates = getattr(optimizer, "epoch_step", None)
    two_passes = getattr(OPTIMIZERS.module(config.optimizer), "TWO_PASSES", False)
    if state.optimizer:
        optimizer.load_state_dict(state.optimizer)
    fitted = LossOf.every_process(model)
    sampler = PatchSampler(training, config, ready.replay)
    best_score = max((r["ap"] for r in state.history if "ap" in r), default=-1.0)
    started = time.monotonic() - state.seconds
    cpu_started = time.process_time() - state.cpu_seconds

    def progress() -> float:
        if config.minutes is not None:
            # the clocks of several processes differ
            return distributed.from_first((time.monotonic() - started) / (60 * config.minutes))
        return state.step / (config.epochs * config.steps_per_epoch)

    def save(path: Path) -> Saved:
        if not distributed.is_first():
            return Saved(path, "by the first process")
        state.weights, state.averaged = model.state_dict(), averaged.state_dict()
        state.optimizer = optimizer.state_dict()
        state.seconds = time.monotonic() - started
        state.cpu_seconds = time.process_time() - cpu_started
        if not goes_on and path == last and not is_best_own:
            # of an earlier run, which this one replaces
            best.unlink(missing_ok=True)
        save_checkpoint(path, state)
        return Saved(path, f"checkpoint after epoch {state.epoch}")

    is_best_own = False
    # true while the weights are whole and newer than the checkpoint
    unsaved = False
    try:
        while progress() < 1:
            epoch_started, losses = time.monotonic(), []
            reached = [r["ap"] for r in state.history if "ap" in r]
            # an epoch that was cut off ends where it would have
            for _ in range(config.steps_per_epoch - state.step % config.steps_per_epoch):
                rate = learning_rate(config, progress(), reached, schedule)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                first = state.step * config.accumulate
                strength = variation(config, progress())
                batches = [
                    sampler.batch(first + n, strength, share) for n in range(config.accumulate)
                ]
                unsaved = False
                # dropout, too, goes on after a break as it would have without
                torch.manual_seed(config.seed + state.step)
                loss = fit_batch(fitted, optimizer, batches, config, device, two_passes)
                if not math.isfinite(loss):
                    raise _diverged("loss", state.step, rate)
                state.step += 1
                if config.average == "ema":
                    move_average(averaged, model, ema_share(config.ema_decay, state.step))
                unsaved = True
                losses.append(loss)
                yield BatchDone(state.epoch + 1, state.step, loss, min(progress(), 1.0))
                if progress() >= 1:
                    break
            state.epoch += 1
            rates: list[float] = []
            if set_rates is not None:
                set_rates()
                rates = list(layer_rates(model, optimizer).values())
                rate = float(np.mean(rates)) if rates else rate
            due = state.epoch % config.validate_every == 0 or progress() >= 1
            if config.average == "swa":
                # Izmailov et al. 2018, arXiv 1803.05407: the mean of the weights of late epochs
                state.averaged_epochs += progress() >= config.swa_from
                move_average(averaged, model, 1 / max(state.averaged_epochs, 1))
            if state.averaged_epochs > 1 and not config.keep_norms:
                seen = state.step * config.accumulate
                recent = range(max(0, seen - NORM_BATCHES), seen)
                patches = (sampler.batch(n, variation(config, progress()))[0] for n in recent)
                update_bn(patches, averaged, torch.device(device))
            scores = None
            if due and held_out:
                # a loss is a mean over all processes: each has to take part
                loss = held_out_loss(averaged, held_out, config, device)
                mine = validate(averaged, held_out, device) if distributed.is_first() else {}
                scores = distributed.from_first({**mine, "held_out_loss": loss})
            state.scores = scores or state.scores
            seconds = time.monotonic() - epoch_started
            mean = float(np.mean(losses))
            record = {"epoch": state.epoch, "loss": mean, "lr": rate, "seconds": seconds}
            layers = _layer_records(model, optimizer) if config.explain else {}
            state.history.append({**record, **layers, **(scores or {})})
            _check_weights(averaged, state.step, rate)
            # the best first: were it the last to be written, a kill in between would lose it
            if (scores and scores["ap"] >= best_score) or not held_out:
                best_score = scores["ap"] if scores else best_score
                is_best_own = True
                yield save(best)
            yield save(last)
            unsaved = False
            if rates:
                yield Notice(_rates_line(rates))
            yield EpochDone(state.epoch, mean, rate, seconds, min(progress(), 1.0), scores)
    finally:
        if unsaved and all(torch.isfinite(v).all() for v in averaged.state_dict().values()):
            save(last)


def _check_resumable(
    path: Path, state: Checkpoint, config: TrainConfig, data: dict[str, list[str]]
) -> None:
    """Refuse to go on with other settings or other micrographs."""
    before, now = (c.model_dump_json(exclude=FREE_SETTINGS) for c in (state.config, config))
    changed = "settings" if before != now else "micrographs" if state.data != data else ""
    if changed:
        raise TrainingError(
            f"The checkpoint was made with other {changed}",
            str(path),
            f"Repeat the {changed}, choose another folder, or start anew (--no-resume)",
        )


def _load_weights(path: Path, pairs: Sequence[tuple[nn.Module, dict[str, Tensor]]]) -> None:
    for network, weights in pairs:
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise FileError(
                "The checkpoint does not fit the network",
                f"{path} ({str(error).splitlines()[0]})",
                "Start anew (--no-resume) or choose another folder",
            ) from error


def _filled_from(kept: TrainConfig, asked: TrainConfig, config: TrainConfig) -> TrainConfig:
    """Take what the user left unset from the settings that the run began with."""
    unset = [n for n in ("learning_rate", "weight_decay") if getattr(asked, n) is None]
    return config.model_copy(update={n: getattr(kept, n) for n in unset})


def _rates_line(rates: Sequence[float]) -> str:
    """Tell of the layers' own learning rates, which can decay to zero."""
    resting = sum(rate == 0 for rate in rates)
    at_rest = f"; at rest: {resting} of {len(rates)} layers" if resting else ""
    return f"Learning rates of the layers: {min(rates):.3g} to {max(rates):.3g}{at_rest}"


def _layer_records(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What the layers have learned, as plain values for the history."""
    weights = {name: p.detach().float().cpu().numpy() for name, p in model.named_parameters()}
    layers = probe(weights, layer_rates(model, optimizer))
    return {"quality": network_quality(layers), "layers": [asdict(layer) for layer in layers]}


def _diverged(what: str, step: int, rate: float) -> TrainingError:
    return TrainingError(
        f"The {what} became infinite",
        f"at step {step}, learning rate {rate:.2g}",
        "Use a smaller learning rate and start anew; earlier checkpoints are untouched",
    )


def _check_weights(model: nn.Module, step: int, rate: float) -> None:
    """Refuse to keep weights that are no numbers."""
    if not all(torch.isfinite(v).all() for v in model.state_dict().values()):
        raise _diverged("weights", step, rate)
