"""One step of a training, by one process or several, and the average of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from . import distributed
from .config import TrainConfig
from .device import has_fast_bfloat16


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
        # not every network uses all of its weights in every batch
        return nn.parallel.DistributedDataParallel(alone, find_unused_parameters=True)


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


def rest_norms(model: nn.Module) -> None:
    """Let batch normalisations go by their running means, and leave those as they are.

    Means of a few patches would be noise, and means of a few micrographs would forget all others.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


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


def ema_share(decay: float, step: int) -> float:
    """Share of the newest weights in the moving average, larger in the first steps."""
    return 1 - min(decay, (1 + step) / (10 + step))


def move_average(averaged: nn.Module, model: nn.Module, share: float) -> None:
    """Move the averaged weights towards the trained ones by a share of the way."""
    with torch.no_grad():
        new = model.state_dict()
        for name, old in averaged.state_dict().items():
            if old.is_floating_point():
                old.lerp_(new[name], share)
            else:
                old.copy_(new[name])
