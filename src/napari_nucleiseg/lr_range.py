"""Learning-rate range test: train a little with a growing rate and see when the loss falls.

Smith 2017 (arXiv 1506.01186), with rates that grow by a constant factor and the stop and the
choice of Gugger 2018 ("How do you find a good learning rate"): the test ends where the smoothed
loss is four times its lowest, and the rate of the steepest fall is proposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from .config import Config, TrainConfig
from .distributed import process_count
from .errors import DependencyError, SettingError, TrainingError
from .events import Event, RangeFound, RateTried
from .files import write_whole

if TYPE_CHECKING:
    from .preparation import Material

MEMORY = 0.9
DIVERGED = 4.0
LEAST_STEPS = 10


class RangeConfig(Config):
    """Which rates a learning-rate range test tries."""

    lowest: float = Field(1e-6, gt=0, description="first learning rate")
    highest: float = Field(1.0, gt=0, description="last learning rate")
    steps: int = Field(100, ge=20, le=10_000, description="rates to try")

    @model_validator(mode="after")
    def _in_order(self) -> RangeConfig:
        if self.lowest >= self.highest:
            raise ValueError("lowest must be below highest")
        return self


def smooth(losses: Sequence[float]) -> np.ndarray:
    """Moving average with a memory of ten steps, free of the bias of its first steps."""
    found, mean = [], 0.0
    for n, loss in enumerate(losses, 1):
        mean = MEMORY * mean + (1 - MEMORY) * loss
        found.append(mean / (1 - MEMORY**n))
    return np.array(found)


def steepest(rates: Sequence[float], smoothed: np.ndarray) -> float:
    """Rate at which the smoothed loss falls fastest, before its lowest point.

    Raises
    ------
    TrainingError
        If it falls nowhere.
    """
    last = int(np.argmin(smoothed)) + 1
    if last < LEAST_STEPS:
        raise TrainingError(
            "The loss falls at none of the learning rates",
            f"{rates[0]:.2g} to {rates[-1]:.2g}",
            "Begin with a lower rate, or check the label images",
        )
    slope = np.gradient(smoothed[:last], np.log(np.asarray(rates[:last])))
    # the average of the first steps rests on few losses
    begin = min(LEAST_STEPS, last - 1)
    return float(rates[begin + int(np.argmin(slope[begin:]))])


def find_rate(data: Path | Material, config: TrainConfig, test: RangeConfig) -> Iterator[Event]:
    """Run the test on micrographs with label images; nothing is written.

    Parameters
    ----------
    data : Path or Material
        As for `napari_nucleiseg.training.train`.
    config : TrainConfig
        Its learning rate and schedule do not count.
    test : RangeConfig

    Yields
    ------
    Event
        `Notice`, `DeviceChosen`, `RateTried` after each step, and last `RangeFound`.

    Raises
    ------
    TrainingError
        If the data cannot be used, or if the loss falls at no rate.
    """
    import torch

    from .assembly import build_optimizer
    from .data.patches import PatchSampler
    from .fitting import LossOf, fit_batch, rest_norms
    from .optimizers import OPTIMIZERS
    from .preparation import prepare

    if process_count() > 1:
        raise SettingError(
            "The learning-rate range test runs in one process",
            f"WORLD_SIZE = {process_count()}",
            "Start it without torchrun",
        )
    ready = yield from prepare(data, config)
    config, model = ready.config, ready.model.to(ready.device).train()
    if config.keep_norms:
        rest_norms(model)
    optimizer = build_optimizer(model, config)
    two_passes = getattr(OPTIMIZERS.module(config.optimizer), "TWO_PASSES", False)
    sampler, fitted = PatchSampler(ready.training, config, ready.replay), LossOf(model)
    growth = (test.highest / test.lowest) ** (1 / (test.steps - 1))
    rates: list[float] = []
    losses: list[float] = []
    diverged = None
    for step in range(test.steps):
        rate = test.lowest * growth**step
        for group in optimizer.param_groups:
            group["lr"] = rate
        first = step * config.accumulate
        batches = [sampler.batch(first + n) for n in range(config.accumulate)]
        torch.manual_seed(config.seed + step)
        loss = fit_batch(fitted, optimizer, batches, config, ready.device, two_passes)
        if not math.isfinite(loss):
            diverged = rate
            break
        rates.append(rate)
        losses.append(loss)
        yield RateTried(step + 1, test.steps, rate, loss)
        smoothed = smooth(losses)
        if step >= LEAST_STEPS and smoothed[-1] > DIVERGED * smoothed.min():
            diverged = rate
            break
    if not losses:
        raise TrainingError(
            "The loss is no number at the lowest learning rate", f"{test.lowest:.2g}"
        )
    smoothed = smooth(losses)
    best = steepest(rates, smoothed)
    yield RangeFound(tuple(rates), tuple(losses), tuple(map(float, smoothed)), best, diverged)


def save_plot(found: RangeFound, path: Path) -> None:
    """Draw loss against learning rate, with the proposed one marked.

    Parameters
    ----------
    found : RangeFound
    path : Path
        PNG, SVG or PDF, by its ending.

    Raises
    ------
    DependencyError
        If Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError(
            "Matplotlib is not installed", "", 'Install it: pip install "napari-nucleiseg[plots]"'
        ) from error
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(found.rates, found.losses, color="0.75", lw=1, label="loss of a step")
    axes.semilogx(found.rates, found.smoothed, color="tab:blue", lw=2, label="smoothed")
    axes.axvline(
        found.steepest, color="tab:orange", ls="--", label=f"steepest: {found.steepest:.2g}"
    )
    # losses after the divergence would hide the fall before it
    low, start = min(found.smoothed), found.smoothed[0]
    axes.set_ylim(low - 0.15 * (start - low), start + 1.0 * (start - low))
    axes.set(xlabel="learning rate", ylabel="loss")
    axes.legend(frameon=False)
    kind = path.suffix.lower().lstrip(".") or "png"
    write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=150))
