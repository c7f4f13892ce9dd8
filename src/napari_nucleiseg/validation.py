"""How well a network in training segments micrographs that were held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from .assembly import fixed_tile
from .config import TrainConfig
from .data.patches import PatchSampler, TrainingImage
from .engine import run_network
from .gathering import gathering
from .instances import DecodeConfig
from .metrics.average_precision import average_precision
from .metrics.dice import dice
from .metrics.iou import iou
from .reviewed import within_reviewed
from .tiling import Grid

LOSS_BATCHES = 4


def validate(model: nn.Module, images: Sequence[TrainingImage], device: str) -> dict[str, float]:
    """Mean Dice, IoU and AP of a network on whole micrographs, as segmentation does it."""
    was_training = model.training
    model.eval()
    scores: list[dict[str, float]] = []
    for image in images:
        pixels = np.repeat(image.image, 3 // image.image.shape[0], 0).astype(np.float32)
        labels = within_reviewed(image.labels, segment_normalised(model, pixels, device))
        truth = np.where(image.labels > 0, image.labels, 0)
        ap = average_precision(truth, labels)
        scores.append(
            {
                "dice": dice(truth, labels),
                "iou": iou(truth, labels),
                "ap50": float(ap[0]),
                "ap": float(ap.mean()),
            }
        )
    model.train(was_training)
    return {k: float(np.mean([s[k] for s in scores])) for k in scores[0]} if scores else {}


def held_out_loss(
    model: nn.Module, images: Sequence[TrainingImage], config: TrainConfig, device: str
) -> float:
    """Mean loss on the same few patches of held-out micrographs, without variation."""
    was_training = model.training
    model.eval()
    sampler = PatchSampler(images, config)
    torch.manual_seed(config.seed)
    losses = []
    with torch.no_grad():
        for step in range(LOSS_BATCHES):
            patches, labels = sampler.batch(step, 0.0)
            losses.append(float(model.loss(patches.to(device), labels)))  # type: ignore[operator]
    model.train(was_training)
    return float(np.mean(losses))


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
