"""Dice plus binary cross-entropy of the softmax of background and foreground."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ..config import Config
from . import Loss
from ._masked import masked_dice, masked_mean


class Options(Config):
    """Settings of Dice plus cross-entropy."""

    dice_weight: float = Field(1.0, ge=0, description="weight of the Dice part")
    entropy_weight: float = Field(1.0, ge=0, description="weight of the cross-entropy")


def build(options: Options) -> Loss:
    """Build the loss."""

    def loss(logits: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
        entropy = F.cross_entropy(logits, truth[:, 0].long(), reduction="none")
        return options.dice_weight * masked_dice(logits, truth, counted) + (
            options.entropy_weight * masked_mean(entropy[:, None], counted)
        )

    return loss
