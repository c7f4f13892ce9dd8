"""Training: one loop from the first batch to the last checkpoint."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from . import __version__, distributed
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .config import TrainConfig
from .data.pairs import find_pairs, load_pairs
from .data.patches import PatchSampler, TrainingImage
from .device import choose_device, has_fast_bfloat16
from .engine import run_network
from .errors import FileError, SettingError, TrainingError
from .events import BatchDone, DeviceChosen, EpochDone, Event, Notice, Saved
from .explain import Layer, network_quality, probe
from .gathering import gathering
from .instances import DecodeConfig
from .intensity import NormaliseConfig
from .losses import LOSSES, Loss
from .low_rank import layers_of
from .metrics.average_precision import average_precision
from .metrics.dice import dice
from .models import MODELS
from .optimizers import OPTIMIZERS
from .schedules import SCHEDULES, Schedule
from .store import ModelCard, find_model, load_weights, save_model
from .tiling import Grid

NORM_BATCHES = 20


def build_model(config: TrainConfig) -> nn.Module:
    """Build the untrained network of a config, with weights that depend on its seed alone."""
    module = MODELS.module(config.architecture)
    options = module.Options.parse(config.architecture_options, source="architecture_options")
    loss = _build_loss(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: nn.Module = module.build(options) if loss is None else module.build(options, loss)
    return model.to(memory_format=torch.channels_last)


def _build_loss(config: TrainConfig) -> Loss | None:
    """The loss that a config names, or None where the network brings its own.

    Raises
    ------
    SettingError
        If the network takes no other, or if there is no loss of this name.
    """
    own = getattr(MODELS.module(config.architecture), "LOSS", None)
    name = config.loss or (own if config.loss_options else None)
    if own is None and (config.loss is not None or config.loss_options):
        takes = [n for n in MODELS.names() if hasattr(MODELS.module(n), "LOSS")]
        raise SettingError(
            f"The network {config.architecture} has a loss of its own",
            f"loss = {config.loss or config.loss_options}",
            f"Leave it out, or train one of: {', '.join(takes)}",
        )
    if name is None:
        return None
    module = LOSSES.module(name)
    options = module.Options.parse(config.loss_options, source="loss_options")
    loss: Loss = module.build(options)
    return loss


def start_from(model: nn.Module, config: TrainConfig) -> Notice:
    """Give a network the weights of the model that a config starts from.

    Layers that the other model lacks, or has in another size, keep their random weights.

    Raises
    ------
    SettingError
        If the other model is of another architecture or shares no layer.
    """
    other = find_model(config.start or "")
    if other.architecture != config.architecture:
        raise SettingError(
            f"The model {other.name} is a {other.architecture}, not a {config.architecture}",
            f"start = {config.start}",
            f"Train a {other.architecture}, or start from another model",
        )
    own = model.state_dict()
    weights = load_weights(other)
    shared = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
    if not shared:
        raise SettingError(
            "The model to start from has no layer of the same size", f"start = {config.start}"
        )
    model.load_state_dict({**own, **shared})
    fresh = sorted({name.rpartition(".")[0] for name in own.keys() - shared.keys()})
    rest = f"; these layers start anew: {', '.join(fresh)}" if fresh else ""
    return Notice(f"Starts with the weights of {other.name} ({other.sha256[:8]}){rest}")


def resolve_settings(config: TrainConfig) -> TrainConfig:
    """Check that the parts of a config exist and go together, and fill in what was left unset.

    Parameters
    ----------
    config : TrainConfig

    Returns
    -------
    TrainConfig
        With the learning rate and weight decay that the optimizer's source advises.

    Raises
    ------
    SettingError
        If a name or an option is unknown, or if two parts cannot work together.
    """
    MODELS.module(config.architecture).Options.parse(
        config.architecture_options, source="architecture_options"
    )
    _build_loss(config)
    optimizer = OPTIMIZERS.module(config.optimizer)
    optimizer.Options.parse(config.optimizer_options, source="optimizer_options")
    _build_schedule(config)
    schedule = SCHEDULES.module(config.schedule)
    if getattr(optimizer, "OWN_RATES", False) and config.schedule != "constant":
        raise SettingError(
            f"The optimizer {config.optimizer} sets the learning rates of the layers itself",
            f"schedule = {config.schedule}",
            "Use it with the schedule constant",
        )
    if getattr(optimizer, "TWO_PASSES", False) and config.accumulate > 1:
        raise SettingError(
            f"The optimizer {config.optimizer} takes two passes over one batch for a step",
            f"accumulate = {config.accumulate}",
            "Use it with accumulate = 1 and a larger batch_size",
        )
    if getattr(schedule, "SCORES", False) and not config.held_out:
        raise SettingError(
            f"The schedule {config.schedule} goes by the scores on held-out micrographs",
            "held_out = 0",
            "Hold some out, or choose another schedule",
        )
    decay = getattr(optimizer, "WEIGHT_DECAY", 0.0)
    return config.model_copy(
        update={
            "learning_rate": _peak(config),
            "weight_decay": decay if config.weight_decay is None else config.weight_decay,
        }
    )


def _peak(config: TrainConfig) -> float:
    """Learning rate that is asked for, or else what the optimizer's source advises."""
    if config.learning_rate is not None:
        return config.learning_rate
    return float(getattr(OPTIMIZERS.module(config.optimizer), "LEARNING_RATE", 1e-3))


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Build the optimizer of a config, with one group for weights and one for all else."""
    module = OPTIMIZERS.module(config.optimizer)
    options = module.Options.parse(config.optimizer_options, source="optimizer_options")
    config = resolve_settings(config)
    named = dict(model.named_parameters())
    layers = layers_of({name: p.ndim for name, p in named.items()})
    matrices = [name for name, p in named.items() if p.ndim > 1]
    # biases and normalisation are not pulled to zero
    others = [name for name, p in named.items() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": [named[n] for n in names], "layers": [layers.get(n) for n in names], **settings}
        for names, settings in ((matrices, {}), (others, {"weight_decay": 0.0}))
    ]
    optimizer: torch.optim.Optimizer = module.build(
        groups, config.learning_rate, config.weight_decay, options
    )
    return optimizer


def layer_rates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Learning rate of each layer, by the name of its weights."""
    if (rates := getattr(optimizer, "rates", None)) is not None:
        own: dict[str, float] = rates()
        return own
    group_of = {p: float(g["lr"]) for g in optimizer.param_groups for p in g["params"]}
    return {name: group_of[p] for name, p in model.named_parameters() if p.ndim > 1}


def probe_checkpoint(state: Checkpoint, *, squared: bool = False) -> list[Layer]:
    """Measure what the layers of a checkpoint have learned; see `napari_nucleiseg.explain`.

    These are the weights as trained, whose learning rates and history the checkpoint holds, not
    the averaged ones.
    """
    model = build_model(state.config)
    model.load_state_dict(state.weights)
    optimizer = build_optimizer(model, state.config)
    optimizer.load_state_dict(state.optimizer)
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    return probe(weights, layer_rates(model, optimizer), squared=squared)


def _config_of(state: Checkpoint) -> dict[str, Any]:
    """The settings of a run for others to read: no path of this computer."""
    config = state.config.model_dump(mode="json")
    start = state.config.start
    return {**config, "start": None if start is None else Path(start).stem}


def fixed_tile(model: nn.Module) -> int | None:
    """Side of the tiles of a network that takes one size alone (px)."""
    side: int | None = getattr(model, "fixed_tile", None)
    return side


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
        **({} if fixed_tile(model) is None else {"fixed_tile": fixed_tile(model)}),
        "normalise": NormaliseConfig().model_dump(mode="json"),
        "training": {
            "config": _config_of(state),
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


def _build_schedule(config: TrainConfig) -> Schedule:
    module = SCHEDULES.module(config.schedule)
    options = module.Options.parse(config.schedule_options, source="schedule_options")
    schedule: Schedule = module.build(options)
    return schedule


def learning_rate(
    config: TrainConfig,
    progress: float,
    scores: Sequence[float] = (),
    schedule: Schedule | None = None,
) -> float:
    """Learning rate after a share of the training.

    Parameters
    ----------
    config : TrainConfig
    progress : float
        Share of the training that is done, 0..1.
    scores : sequence of float
        Scores on held-out micrographs so far, for schedules that go by them.
    schedule : callable, optional
        The config's schedule, where it is built already.
    """
    peak = _peak(config)
    factor = schedule or _build_schedule(config)
    if progress < config.warmup:
        return peak * factor(0.0, scores) * max(progress / config.warmup, 0.01)
    rest = min((progress - config.warmup) / (1 - config.warmup), 1.0)
    return peak * max(factor(rest, scores), 1e-3)


def variation(config: TrainConfig, progress: float) -> float:
    """Strength of the augmentation after a share of the training, 0..1.

    Strong variation makes a network general; without it at the end, the network settles on
    patches as micrographs really are.
    """
    if not config.calm:
        return 1.0
    faded = min(max((progress - (1 - config.calm)) / config.calm, 0.0), 1.0)
    return 1 - faded * (1 - config.calm_to)


def _ema_share(decay: float, step: int) -> float:
    """Share of the newest weights in the moving average, larger in the first steps."""
    return 1 - min(decay, (1 + step) / (10 + step))


def _average(averaged: nn.Module, model: nn.Module, share: float) -> None:
    """Move the averaged weights towards the trained ones by a share of the way."""
    with torch.no_grad():
        new = model.state_dict()
        for name, old in averaged.state_dict().items():
            if old.is_floating_point():
                old.lerp_(new[name], share)
            else:
                old.copy_(new[name])


class LossOf(nn.Module):
    """A network as several processes train it: called, it gives the loss."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """See the network's ``loss``."""
        loss: Tensor = self.model.loss(images, labels)  # type: ignore[operator]
        return loss

    @classmethod
    def every_process(cls, model: nn.Module) -> nn.Module:
        """Average the gradients over all processes, where there are several."""
        alone = cls(model)
        if distributed.process_count() == 1:
            return alone
        return nn.parallel.DistributedDataParallel(alone)


def validate(model: nn.Module, images: Sequence[TrainingImage], device: str) -> dict[str, float]:
    """Mean Dice and AP of a network on whole micrographs, as segmentation does it."""
    was_training = model.training
    model.eval()
    scores: list[dict[str, float]] = []
    for image in images:
        pixels = np.repeat(image.image, 3 // image.image.shape[0], 0).astype(np.float32)
        labels = segment_normalised(model, pixels, device)
        truth = np.where(image.labels > 0, image.labels, 0)
        labels[image.labels < 0] = 0
        ap = average_precision(truth, labels)
        scores.append({"dice": dice(truth, labels), "ap50": float(ap[0]), "ap": float(ap.mean())})
    model.train(was_training)
    return {k: float(np.mean([s[k] for s in scores])) for k in scores[0]} if scores else {}


def segment_normalised(model: nn.Module, image: np.ndarray, device: str) -> np.ndarray:
    """Label image of a (3, H, W) float32 image with normalised intensities, by a network."""
    gathered = gathering(model.map_names, image.shape[1:], DecodeConfig())  # type: ignore
    fixed = fixed_tile(model)
    grid = Grid(
        tile=fixed or min(1024, gathered.largest_tile),
        multiple=model.multiple,  # type: ignore[arg-type]
        is_fixed=fixed is not None,
    )
    for _ in gathered.tiles(run_network(model, device), lambda y, x: image[:, y, x], grid):
        pass
    return gathered.labels()[0]


# a run may go on for longer, elsewhere
FREE_SETTINGS = {"threads", "device", "amp", "epochs", "minutes", "explain"}


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


def _with_classes(config: TrainConfig, found: int) -> TrainConfig:
    """Let a network that tells classes apart know how many there are.

    Raises
    ------
    SettingError
        If the config says otherwise than the data.
    """
    options = config.architecture_options
    if "classes" not in MODELS.module(config.architecture).Options.model_fields:
        return config
    asked = int(options.get("classes", found))
    if asked != found:
        raise SettingError(
            "The network is to tell apart other classes than the data has",
            f"architecture_options.classes = {asked}, and {found} in the data",
            "Leave the setting out, or add the files class1, class2, ...",
        )
    if found == 1:
        return config
    return config.model_copy(update={"architecture_options": {**options, "classes": found}})


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

    Notes
    -----
    Started by `torchrun`, several processes train together; the first one writes and reports.
    """
    with distributed.joined(choose_device(config.device)[0]):
        for event in _train(data, config, out, resume):
            if distributed.is_first():
                yield event


@dataclass
class Prepared:
    """What a training begins with.

    Attributes
    ----------
    config : TrainConfig
        With what the user and the data left open.
    training, held_out : list of TrainingImage
    device : str
    model : torch.nn.Module
        Untrained.
    """

    config: TrainConfig
    training: list[TrainingImage]
    held_out: list[TrainingImage]
    device: str
    model: nn.Module


def prepare(data: Path, config: TrainConfig) -> Generator[Event, None, Prepared]:
    """Read the micrographs, check that they and the settings go together, build the network.

    Parameters
    ----------
    data : Path
        See `train`.
    config : TrainConfig

    Yields
    ------
    Event
        `Notice` and `DeviceChosen`.

    Returns
    -------
    Prepared

    Raises
    ------
    SettingError, TrainingError
        If settings or data cannot be used.
    """
    config = resolve_settings(config)
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
    if config.held_out and not held_out:
        yield Notice(
            "Too few to hold one out: no scores are shown, and the last epoch is kept instead of "
            "the best. Add micrographs, ten of a kind, or raise held_out"
        )
    if not held_out and getattr(SCHEDULES.module(config.schedule), "SCORES", False):
        raise TrainingError(
            f"The schedule {config.schedule} goes by held-out micrographs, and there are none",
            str(data),
            "Raise held_out, or choose another schedule",
        )

    classes = images[0].classes
    config = _with_classes(config, classes)
    if classes > 1 and config.architecture_options.get("classes") != classes:
        yield Notice(
            f"{config.architecture} knows no classes: nuclei of all {classes} are taken together"
        )
    device, reason = choose_device(config.device)
    device = distributed.local_device(device)
    yield DeviceChosen(device, "torch", reason)
    model = build_model(config)
    multiple = int(model.multiple)  # type: ignore[arg-type]
    fixed = fixed_tile(model)
    if fixed is not None and config.patch_px != fixed:
        raise SettingError(
            f"This {config.architecture} takes patches of {fixed} px alone",
            f"patch_px = {config.patch_px}",
            f"Use {fixed}, or another size of the network",
        )
    if config.patch_px % multiple:
        nearest = max(multiple, round(config.patch_px / multiple) * multiple)
        raise SettingError(
            f"Patches for {config.architecture} must be a multiple of {multiple} px",
            f"patch_px = {config.patch_px}",
            f"Use {nearest}",
        )
    return Prepared(config, training, held_out, device, model)


def _train(data: Path, config: TrainConfig, out: Path, resume: bool) -> Iterator[Event]:
    share = distributed.share_of(config.batch_size)
    asked = config
    ready = yield from prepare(data, config)
    config, training, held_out = ready.config, ready.training, ready.held_out
    model, device = ready.model, ready.device
    last, best = out / "last.pt", out / "best.pt"
    if config.start is not None and not (resume and last.is_file()):
        yield start_from(model, config)
    averaged = copy.deepcopy(model)
    state = Checkpoint(config, {}, {}, {})
    data_names = {
        "train": [i.name for i in training],
        "held_out": [i.name for i in held_out],
    }
    state.data = data_names
    if resume and last.is_file():
        state = load_checkpoint(last)
        # what was left unset then is what it was then
        config = _filled_from(state.config, asked, config)
        _check_resumable(last, state, config, data_names)
        _load_weights(last, ((model, state.weights), (averaged, state.averaged)))
        state.config = config
        yield Notice(f"going on after epoch {state.epoch} from {last}")
    model = distributed.shared(model.to(device)).train()
    averaged.to(device).eval()
    optimizer, schedule = build_optimizer(model, config), _build_schedule(config)
    set_rates = getattr(optimizer, "epoch_step", None)
    two_passes = getattr(OPTIMIZERS.module(config.optimizer), "TWO_PASSES", False)
    if state.optimizer:
        optimizer.load_state_dict(state.optimizer)
    fitted = LossOf.every_process(model)
    sampler = PatchSampler(training, config)
    best_score = max((r["ap"] for r in state.history if "ap" in r), default=-1.0)
    started = time.monotonic() - state.seconds

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
        save_checkpoint(path, state)
        return Saved(path, f"checkpoint after epoch {state.epoch}")

    # true while the weights are whole and newer than the checkpoint
    unsaved = False
    try:
        while progress() < 1:
            epoch_started, losses = time.monotonic(), []
            reached = [r["ap"] for r in state.history if "ap" in r]
            for _ in range(config.steps_per_epoch):
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
                    _average(averaged, model, _ema_share(config.ema_decay, state.step))
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
                _average(averaged, model, 1 / max(state.averaged_epochs, 1))
            if state.averaged_epochs > 1:
                seen = state.step * config.accumulate
                recent = range(max(0, seen - NORM_BATCHES), seen)
                patches = (sampler.batch(n, variation(config, progress()))[0] for n in recent)
                update_bn(patches, averaged, torch.device(device))
            scores = None
            if due and held_out:
                mine = validate(averaged, held_out, device) if distributed.is_first() else {}
                scores = distributed.from_first(mine)
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
                yield save(best)
            yield save(last)
            unsaved = False
            if rates:
                yield Notice(_rates_line(rates))
            yield EpochDone(state.epoch, mean, rate, seconds, min(progress(), 1.0), scores)
    finally:
        if unsaved and all(torch.isfinite(v).all() for v in averaged.state_dict().values()):
            save(last)


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


def fit_batch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[tuple[Tensor, Tensor]],
    config: TrainConfig,
    device: str,
    two_passes: bool,
) -> float:
    """One optimizer step by one batch, or by several of them together; returns the mean loss."""
    kind = torch.device(device).type
    on_device = [
        (patches.to(device, memory_format=torch.channels_last), labels)
        for patches, labels in batches
    ]

    def fill_gradients() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        losses = []
        for patches, labels in on_device:
            with torch.autocast(
                kind, torch.bfloat16, enabled=config.amp and has_fast_bfloat16(kind)
            ):
                loss: Tensor = model(patches, labels)
            if len(on_device) > 1:
                loss = loss / len(on_device)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        length = nn.utils.clip_grad_norm_(model.parameters(), config.gradient_norm)
        mean = distributed.mean_of_all(torch.stack(losses).sum())
        return mean if torch.isfinite(length) else torch.full_like(mean, math.nan)

    mean = fill_gradients()
    if not math.isfinite(float(mean)):
        return math.nan
    if not two_passes:
        optimizer.step()
    else:
        with _norms_at_rest(model):
            optimizer.step(fill_gradients)  # type: ignore[arg-type]
    return float(mean)


@contextmanager
def _norms_at_rest(model: nn.Module) -> Iterator[None]:
    """Keep what a second pass over a batch sees out of the running means of normalisations."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    tracking = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, tracked in zip(norms, tracking, strict=True):
            norm.track_running_stats = tracked
