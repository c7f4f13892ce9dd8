"""UNETR, a U-Net with a transformer as encoder: MONAI's `UNETR` in two dimensions.

Hatamizadeh et al. 2022 (doi:10.1109/WACV51458.2022.00181).
It takes tiles of one size. The preset "reference" has the sizes of the paper for micrographs of
512 px; "compact" is one that a CPU can train.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator
from torch import nn

from ..losses import LOSSES, Loss
from ._semantic import Norm, PresetOptions, Presets, SemanticNetwork

LOSS = "dice_focal"
PATCH = 16

PRESETS: Presets = {
    "compact": {
        "input_channels": 3,
        "image_px": 256,
        "hidden": 192,
        "mlp": 384,
        "heads": 6,
        "features": 8,
    },
    "reference": {
        "input_channels": 4,
        "image_px": 512,
        "hidden": 768,
        "mlp": 3072,
        "heads": 12,
        "features": 16,
    },
}


class Options(PresetOptions):
    """Size of a UNETR; what is set here wins over the preset."""

    presets: ClassVar[Presets] = PRESETS

    image_px: int = Field(
        256, ge=32, le=2048, multiple_of=PATCH, description="side of a tile (px), patch_px too"
    )
    hidden: int = Field(192, ge=16, description="length of the vector of a 16 px patch")
    mlp: int = Field(384, ge=16, description="width of the transformer's inner layers")
    heads: int = Field(6, ge=1, description="attention heads")
    features: int = Field(8, ge=4, multiple_of=4, description="channels at full resolution")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of features left out in training")
    norm: Norm = Field("instance", description="normalisation: batch, instance or group")

    @model_validator(mode="after")
    def _can_be_built(self) -> Options:
        if self.hidden % self.heads:
            raise ValueError("hidden must be a multiple of heads")
        return self


def build(options: Options | None = None, loss: Loss | None = None) -> SemanticNetwork:
    """Build an untrained network, with the loss to train it by."""
    from monai.networks.nets.unetr import UNETR

    options = options or Options()
    norms: dict[str, str | tuple[str, dict[str, int]]] = {
        "batch": "batch",
        "instance": "instance",
        "group": ("group", {"num_groups": 4}),
    }
    network: nn.Module = UNETR(
        in_channels=options.input_channels,
        out_channels=2,
        img_size=options.image_px,
        feature_size=options.features,
        hidden_size=options.hidden,
        mlp_dim=options.mlp,
        num_heads=options.heads,
        norm_name=norms[options.norm],
        dropout_rate=options.dropout,
        spatial_dims=2,
    )
    return SemanticNetwork(
        network,
        options.input_channels,
        PATCH,
        loss or LOSSES[LOSS](LOSSES.module(LOSS).Options()),
        fixed_tile=options.image_px,
    )
