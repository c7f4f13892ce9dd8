"""U-Net with residual units, MONAI's `UNet`.

Kerfoot et al. 2019 (doi:10.1007/978-3-030-12029-0_40).
Two outputs, background and foreground; touching nuclei are split by the shape of the foreground.
The preset "reference" is a network of 16 million parameters for RGBA micrographs of 512 px, as it
was compared on DSB 2018; "compact" is one that a CPU can train.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator
from torch import nn

from ..losses import LOSSES, Loss
from ._semantic import (
    Norm,
    PresetOptions,
    Presets,
    Scaled,
    SemanticNetwork,
    use_norm,
    use_partial_padding,
)

LOSS = "dice_focal"

PRESETS: Presets = {
    "compact": {
        "input_channels": 3,
        "channels": (16, 32, 64, 128, 256),
        "residual_units": 2,
        "dropout": 0.0,
    },
    "reference": {
        "input_channels": 4,
        "channels": (16, 32, 64, 128, 256, 512),
        "residual_units": 5,
        "dropout": 0.2,
    },
}


class Options(PresetOptions):
    """Size and parts of a U-Net; what is set here wins over the preset."""

    presets: ClassVar[Presets] = PRESETS

    channels: tuple[int, ...] = Field(
        (16, 32, 64, 128, 256), min_length=2, description="channels at 1, 1/2, 1/4, ... resolution"
    )
    kernel: int = Field(3, ge=3, le=7, description="side of the convolutions (px), odd")
    residual_units: int = Field(2, ge=0, le=10, description="convolutions in a residual unit")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of features left out in training")
    norm: Norm = Field("batch", description="normalisation: batch, instance or group")
    residual: Literal["plain", "rezero"] = Field(
        "plain", description="residual units: plain, or scaled from zero on (ReZero)"
    )
    padding: Literal["zero", "partial"] = Field(
        "zero", description="beyond the border: zeros, or missing (partial convolution)"
    )

    @model_validator(mode="after")
    def _can_be_built(self) -> Options:
        if self.kernel % 2 == 0:
            raise ValueError("kernel must be odd")
        if self.residual == "rezero" and not self.residual_units:
            raise ValueError("residual = rezero needs residual_units of 1 or more")
        return self


def build(options: Options | None = None, loss: Loss | None = None) -> SemanticNetwork:
    """Build an untrained network, with the loss to train it by."""
    from monai.networks.blocks.convolutions import ResidualUnit
    from monai.networks.nets.unet import UNet

    options = options or Options()
    steps = len(options.channels) - 1
    network: nn.Module = UNet(
        spatial_dims=2,
        in_channels=options.input_channels,
        out_channels=2,
        channels=options.channels,
        strides=(2,) * steps,
        kernel_size=options.kernel,
        up_kernel_size=options.kernel,
        num_res_units=options.residual_units,
        act="LEAKYRELU",
        norm="BATCH",
        dropout=options.dropout,
    )
    use_norm(network, options.norm)
    # instances of one pixel have no variance
    multiple = 2**steps * (2 if options.norm == "instance" else 1)
    if options.padding == "partial":
        use_partial_padding(network)
    if options.residual == "rezero":
        for unit in [m for m in network.modules() if isinstance(m, ResidualUnit)]:
            unit.conv = Scaled(unit.conv)  # type: ignore[assignment]
    return SemanticNetwork(
        network,
        options.input_channels,
        multiple,
        loss or LOSSES[LOSS](LOSSES.module(LOSS).Options()),
    )
