"""Dice plus focal loss, MONAI's `DiceFocalLoss` with softmax for the Dice part.

Focal loss: Lin et al. 2017 (doi:10.1109/ICCV.2017.324); the sum: Zhu et al. 2019
(doi:10.1002/mp.13300).
"""

from __future__ import annotations

from monai.losses.focal_loss import FocalLoss
from pydantic import Field
from torch import Tensor

from ..config import Config
from . import Loss
from ._masked import masked_dice, masked_mean, one_hot


class Options(Config):
    """Settings of Dice plus focal loss."""

    gamma: float = Field(2.0, ge=0, description="how little sure pixels count")
    dice_weight: float = Field(1.0, ge=0, description="weight of the Dice part")
    focal_weight: float = Field(1.0, ge=0, description="weight of the focal part")


def build(options: Options) -> Loss:
    """Build the loss."""
    focal = FocalLoss(gamma=options.gamma, reduction="none")

    def loss(logits: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
        pixels = masked_mean(focal(logits, one_hot(truth)), counted)
        return options.dice_weight * masked_dice(logits, truth, counted) + (
            options.focal_weight * pixels
        )

    return loss
