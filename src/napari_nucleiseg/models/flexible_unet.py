"""U-Net with a residual network as encoder, MONAI's `FlexibleUNet`.

The encoder is a ResNet (He et al. 2016, doi:10.1109/CVPR.2016.90) without pre-trained weights, the
network on which RMSGD was compared with other optimizers. The preset "reference" is ResNet-18 with
MONAI's decoder; "compact" has ResNet-10 and a narrow decoder, for a CPU.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ..losses import LOSSES, Loss
from ._semantic import Norm, PresetOptions, Presets, SemanticNetwork, use_norm

LOSS = "dice_focal"
# the encoder halves the picture five times
MULTIPLE = 32

PRESETS: Presets = {
    "compact": {"backbone": "resnet10", "decoder": (64, 32, 16, 16, 8)},
    "reference": {"backbone": "resnet18", "decoder": (256, 128, 64, 32, 16)},
}


class Options(PresetOptions):
    """Encoder and decoder of a FlexibleUNet; what is set here wins over the preset."""

    presets: ClassVar[Presets] = PRESETS

    backbone: Literal["resnet10", "resnet18", "resnet34", "resnet50"] = Field(
        "resnet10", description="residual network that sees the picture"
    )
    decoder: tuple[int, ...] = Field(
        (64, 32, 16, 16, 8),
        min_length=5,
        max_length=5,
        description="channels at 1/16, 1/8, 1/4, 1/2, 1 resolution",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of features left out in training")
    norm: Norm = Field("batch", description="normalisation: batch, instance or group")


def build(options: Options | None = None, loss: Loss | None = None) -> SemanticNetwork:
    """Build an untrained network, with the loss to train it by."""
    from monai.networks.nets.flexible_unet import FlexibleUNet

    options = options or Options()
    network = FlexibleUNet(
        in_channels=options.input_channels,
        out_channels=2,
        backbone=options.backbone,
        decoder_channels=options.decoder,
        dropout=options.dropout,
    )
    use_norm(network, options.norm)
    return SemanticNetwork(
        network,
        options.input_channels,
        # instances of one pixel have no variance
        MULTIPLE * (2 if options.norm == "instance" else 1),
        loss or LOSSES[LOSS](LOSSES.module(LOSS).Options()),
    )
