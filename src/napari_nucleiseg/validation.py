"""How well a network in training segments micrographs that were held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from .assembly import fixed_tile
from .data.patches import TrainingImage
from .engine import run_network
from .gathering import gathering
from .instances import DecodeConfig
from .metrics.average_precision import average_precision
from .metrics.dice import dice
from .tiling import Grid


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
