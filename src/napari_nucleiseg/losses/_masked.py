"""Parts of losses that leave out pixels."""

from __future__ import annotations

import torch
from monai.losses.dice import DiceLoss
from torch import Tensor

from ..distributed import mean_of_all


def one_hot(truth: Tensor) -> Tensor:
    """(B, 1, H, W) to (B, 2, H, W): background and foreground."""
    return torch.cat((1 - truth, truth), 1)


def masked_dice(logits: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    """MONAI's Dice loss of the softmax; pixels that do not count are in none of its sums."""
    found = logits.softmax(1) * counted
    loss: Tensor = DiceLoss()(found, one_hot(truth) * counted)
    return loss


def masked_mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of (B, C, H, W) over channels and the pixels that count, of all processes."""
    pixels = mean_of_all(counted.sum()).clamp(min=1) * values.shape[1]
    return (values * counted).sum() / pixels
