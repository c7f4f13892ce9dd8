"""The parts of a training, put together from the names in its config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .config import TrainConfig
from .errors import SettingError
from .events import Detail, Notice
from .losses import LOSSES, Loss
from .low_rank import layers_of
from .models import MODELS
from .optimizers import OPTIMIZERS
from .schedules import SCHEDULES, Schedule
from .store import find_model, load_weights


def build_model(config: TrainConfig) -> nn.Module:
    """Build the untrained network of a config, with weights that depend on its seed alone."""
    module = MODELS.module(config.architecture)
    options = module.Options.parse(config.architecture_options, source="architecture_options")
    loss = build_loss(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: nn.Module = module.build(options) if loss is None else module.build(options, loss)
    freeze(model, config.frozen)
    return model.to(memory_format=torch.channels_last)


def freeze(model: nn.Module, share: float) -> None:
    """Let the first layers of a network learn nothing.

    Parameters
    ----------
    model : torch.nn.Module
    share : float
        Share of its layers, in the order the network lists them, input first.
    """
    layers = sum(p.ndim > 1 for p in model.parameters())
    seen = 0
    for weights in model.parameters():
        seen += weights.ndim > 1
        # with the biases and normalisations that follow it
        weights.requires_grad_(seen > round(share * layers))


def build_loss(config: TrainConfig) -> Loss | None:
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
    return Detail(f"Starts with the weights of {other.name} ({other.sha256[:8]}){rest}")


def fixed_tile(model: nn.Module) -> int | None:
    """Side of the tiles of a network that takes one size alone (px)."""
    side: int | None = getattr(model, "fixed_tile", None)
    return side


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
    build_loss(config)
    optimizer = OPTIMIZERS.module(config.optimizer)
    optimizer.Options.parse(config.optimizer_options, source="optimizer_options")
    build_schedule(config)
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
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
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
    # a frozen layer is in no group
    return {name: group_of.get(p, 0.0) for name, p in model.named_parameters() if p.ndim > 1}


def build_schedule(config: TrainConfig) -> Schedule:
    """Build the schedule of a config."""
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
    factor = schedule or build_schedule(config)
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
