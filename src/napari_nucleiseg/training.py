"""Training: one loop from the first batch to the last checkpoint."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import __version__
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .config import TrainConfig
from .data.pairs import find_pairs, load_pairs
from .data.patches import PatchSampler, TrainingImage
from .device import choose_device, has_fast_bfloat16
from .errors import FileError, TrainingError
from .events import BatchDone, DeviceChosen, EpochDone, Event, Notice, Saved
from .instances import DecodeConfig
from .intensity import NormaliseConfig
from .metrics.average_precision import average_precision
from .metrics.dice import dice
from .models import MODELS
from .optimizers import OPTIMIZERS
from .store import ModelCard, save_model
from .tiling import Grid, predict_maps


def build_model(config: TrainConfig) -> nn.Module:
    """Build the untrained network of a config, with weights that depend on its seed alone."""
    module = MODELS.module(config.architecture)
    options = module.Options.parse(config.architecture_options, source="architecture_options")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: nn.Module = module.build(options)
    return model.to(memory_format=torch.channels_last)


def _build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    module = OPTIMIZERS.module(config.optimizer)
    options = module.Options.parse(config.optimizer_options, source="optimizer_options")
    matrices = [p for p in model.parameters() if p.ndim > 1]
    # biases and normalisation are not pulled to zero
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    optimizer: torch.optim.Optimizer = module.build(
        groups, config.learning_rate, config.weight_decay, options
    )
    return optimizer


def export_model(checkpoint: Path, path: Path, name: str, about: Mapping[str, Any]) -> ModelCard:
    """Turn a checkpoint into a model that segments: averaged weights and a card.

    Parameters
    ----------
    checkpoint : Path
    path : Path
        The ``.safetensors`` file to write; the card is written beside it.
    name : str
        What the model is chosen by.
    about : mapping
        Further entries of the card: title, licence of the data, scores, ...

    Returns
    -------
    ModelCard
    """
    state = load_checkpoint(checkpoint)
    model = build_model(state.config)
    names: tuple[str, ...] = model.map_names  # type: ignore[assignment]
    card = {
        "name": name,
        **about,
        "architecture": state.config.architecture,
        "architecture_options": state.config.architecture_options,
        "parameters": sum(p.numel() for p in model.parameters()),
        "maps": list(names),
        "multiple": model.multiple,
        "normalise": NormaliseConfig().model_dump(mode="json"),
        "training": {
            "config": state.config.model_dump(mode="json"),
            "epochs": state.epoch,
            "steps": state.step,
            "minutes": round(state.seconds / 60, 1),
            "train_images": len(state.data.get("train", ())),
            "held_out_images": len(state.data.get("held_out", ())),
            "held_out_scores": state.scores,
            "versions": {"torch": str(torch.__version__), "napari-nucleiseg": __version__},
        },
    }
    return save_model(path, state.averaged, card)


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Learning rate after a share of the training, 0..1."""
    if progress < config.warmup:
        return config.learning_rate * max(progress / config.warmup, 0.01)
    rest = min((progress - config.warmup) / (1 - config.warmup), 1.0)
    factor = 1.0
    if config.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * rest))
    elif config.schedule == "polynomial":
        factor = float((1 - rest) ** 0.9)
    return config.learning_rate * max(factor, 1e-3)


def variation(config: TrainConfig, progress: float) -> float:
    """Strength of the augmentation after a share of the training, 0..1.

    Strong variation makes a network general; without it at the end, the network settles on
    patches as micrographs really are.
    """
    if not config.calm:
        return 1.0
    faded = min(max((progress - (1 - config.calm)) / config.calm, 0.0), 1.0)
    return 1 - faded * (1 - config.calm_to)


def _average(averaged: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the trained ones."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        new = model.state_dict()
        for name, old in averaged.state_dict().items():
            if old.is_floating_point():
                old.lerp_(new[name], 1 - decay)
            else:
                old.copy_(new[name])


def validate(model: nn.Module, images: Sequence[TrainingImage], device: str) -> dict[str, float]:
    """Mean Dice and AP of a network on whole micrographs, as segmentation does it."""
    was_training = model.training
    model.eval()
    scores: list[dict[str, float]] = []
    for image in images:
        pixels = np.repeat(image.image, 3 // image.image.shape[0], 0).astype(np.float32)
        run = _predictor(model, device)
        grid = Grid(multiple=model.multiple)  # type: ignore[arg-type]
        maps = predict_maps(run, pixels, len(model.map_names), grid)  # type: ignore[arg-type]
        labels = model.decode(maps.astype(np.float32), DecodeConfig())  # type: ignore
        truth = np.where(image.labels > 0, image.labels, 0)
        labels[image.labels < 0] = 0
        ap = average_precision(truth, labels)
        scores.append({"dice": dice(truth, labels), "ap50": float(ap[0]), "ap": float(ap.mean())})
    model.train(was_training)
    return {k: float(np.mean([s[k] for s in scores])) for k in scores[0]} if scores else {}


def _predictor(model: nn.Module, device: str) -> Any:
    def run(tiles: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(tiles).to(device, memory_format=torch.channels_last)
        maps: np.ndarray = model.predict(images).float().cpu().numpy()  # type: ignore[operator]
        return maps

    return run


# a run may go on for longer, elsewhere
FREE_SETTINGS = {"threads", "device", "amp", "epochs", "minutes"}


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


def hold_out(images: list[TrainingImage], config: TrainConfig) -> tuple[list[TrainingImage], ...]:
    """Split into training and held-out micrographs, the latter of every kind where possible."""
    rng = np.random.default_rng((config.seed, 2**31))
    kept: set[int] = set()
    for group in sorted({i.group for i in images}):
        mine = [n for n, i in enumerate(images) if i.group == group]
        count = min(round(len(mine) * config.held_out), len(mine) - 1)
        if config.held_out and len(mine) >= 10:
            count = max(count, 1)
        kept.update(int(n) for n in rng.permutation(mine)[:count])
    return (
        [i for n, i in enumerate(images) if n not in kept],
        [i for n, i in enumerate(images) if n in kept],
    )


def train(data: Path, config: TrainConfig, out: Path, *, resume: bool = True) -> Iterator[Event]:
    """Train a model on a folder of micrographs with label images.

    Parameters
    ----------
    data : Path
        Folder; see `napari_nucleiseg.data.pairs.find_pairs`. Only pairs of the split ``train``
        are used.
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
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    pairs, notices = find_pairs(data)
    for text in notices:
        yield Notice(text)
    pairs = [p for p in pairs if p.split == "train"]
    if not pairs:
        raise TrainingError("No pair is in the split 'train'", str(data / "index.csv"))
    images: list[TrainingImage] = []
    for item in load_pairs(pairs, NormaliseConfig()):
        if isinstance(item, TrainingImage):
            images.append(item)
        else:
            yield item
    training, held_out = hold_out(images, config)
    if not training:
        raise TrainingError("No micrograph can be used for training", str(data))
    if not any((i.labels > 0).any() for i in training):
        raise TrainingError(
            "No nucleus is marked in any label image", str(data), "Check the label images"
        )
    yield Notice(f"Micrographs that train: {len(training)}; held out: {len(held_out)}")

    device, reason = choose_device(config.device)
    yield DeviceChosen(device, "torch", reason)
    last, best = out / "last.pt", out / "best.pt"
    model = build_model(config)
    averaged = copy.deepcopy(model)
    state = Checkpoint(config, {}, {}, {})
    data_names = {
        "train": [i.name for i in training],
        "held_out": [i.name for i in held_out],
    }
    state.data = data_names
    if resume and last.is_file():
        state = load_checkpoint(last)
        _check_resumable(last, state, config, data_names)
        _load_weights(last, ((model, state.weights), (averaged, state.averaged)))
        state.config = config
        yield Notice(f"going on after epoch {state.epoch} from {last}")
    model.to(device).train()
    averaged.to(device).eval()
    optimizer = _build_optimizer(model, config)
    if state.optimizer:
        optimizer.load_state_dict(state.optimizer)
    sampler = PatchSampler(training, config)
    best_score = max((r["ap"] for r in state.history if "ap" in r), default=-1.0)
    started = time.monotonic() - state.seconds

    def progress() -> float:
        if config.minutes is not None:
            return (time.monotonic() - started) / (60 * config.minutes)
        return state.step / (config.epochs * config.steps_per_epoch)

    def save(path: Path) -> Saved:
        state.weights, state.averaged = model.state_dict(), averaged.state_dict()
        state.optimizer = optimizer.state_dict()
        state.seconds = time.monotonic() - started
        save_checkpoint(path, state)
        return Saved(path, f"checkpoint after epoch {state.epoch}")

    # true while the weights are whole and newer than the checkpoint
    unsaved = False
    try:
        while progress() < 1:
            epoch_started, losses = time.monotonic(), []
            for _ in range(config.steps_per_epoch):
                rate = learning_rate(config, progress())
                for group in optimizer.param_groups:
                    group["lr"] = rate
                patches, labels = sampler.batch(state.step, variation(config, progress()))
                unsaved = False
                loss = _fit_batch(model, optimizer, patches, labels, config, device)
                if not math.isfinite(loss):
                    raise _diverged("loss", state.step, rate)
                state.step += 1
                _average(averaged, model, config.ema_decay, state.step)
                unsaved = True
                losses.append(loss)
                yield BatchDone(state.epoch + 1, state.step, loss, min(progress(), 1.0))
                if progress() >= 1:
                    break
            state.epoch += 1
            due = state.epoch % config.validate_every == 0 or progress() >= 1
            scores = validate(averaged, held_out, device) if due and held_out else None
            state.scores = scores or state.scores
            seconds = time.monotonic() - epoch_started
            mean = float(np.mean(losses))
            record = {"epoch": state.epoch, "loss": mean, "lr": rate, "seconds": seconds}
            state.history.append({**record, **(scores or {})})
            _check_weights(averaged, state.step, rate)
            # the best first: were it the last to be written, a kill in between would lose it
            if (scores and scores["ap"] >= best_score) or not held_out:
                best_score = scores["ap"] if scores else best_score
                yield save(best)
            yield save(last)
            unsaved = False
            yield EpochDone(state.epoch, mean, rate, seconds, min(progress(), 1.0), scores)
    finally:
        if unsaved and all(torch.isfinite(v).all() for v in averaged.state_dict().values()):
            save(last)


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


def _fit_batch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    patches: Tensor,
    labels: Tensor,
    config: TrainConfig,
    device: str,
) -> float:
    """One optimizer step; returns the loss."""
    patches = patches.to(device, memory_format=torch.channels_last)
    kind = torch.device(device).type
    with torch.autocast(kind, torch.bfloat16, enabled=config.amp and has_fast_bfloat16(kind)):
        loss: Tensor = model.loss(patches, labels)  # type: ignore[operator]
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    length = nn.utils.clip_grad_norm_(model.parameters(), config.gradient_norm)
    if not torch.isfinite(length):
        return math.nan
    optimizer.step()
    return float(loss.detach())
