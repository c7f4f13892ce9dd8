"""Nuclei U-Net: our own small residual U-Net for nuclei, fast on a CPU.

It works at half resolution inside: a strided stem halves the micrograph and a sub-pixel head (Shi
et al. 2016, doi:10.1109/CVPR.2016.207) gives maps of full size. It says for each pixel how
probably it lies in a nucleus, how deep (distance to the outline divided by the deepest of the
nucleus), and, in training only, where the nucleus' centre lies. A fourth map says where two nuclei
meet; it lowers the depth there, so that the decoding parts them.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import Config
from ..distributed import mean_of_all
from ..instances import DecodeConfig, decode
from ..targets import borders, distance_and_offsets


class NucleiUNetConfig(Config):
    """Size of a nuclei U-Net."""

    widths: tuple[int, ...] = Field(
        (32, 48, 80, 128, 160), min_length=2, description="channels at 1/2, 1/4, ... resolution"
    )

    offset_weight: float = Field(0.5, ge=0, description="weight of the centre offsets in the loss")
    distance_weight: float = Field(2.0, ge=0, description="weight of the distance map in the loss")
    border_weight: float = Field(0.5, ge=0, description="weight of the border map in the loss")
    parting: float = Field(0.5, ge=0, le=1, description="how much borders lower the depth")

    @field_validator("widths")
    @classmethod
    def _in_blocks(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        # oneDNN computes in blocks of 16 channels, and some releases crash on narrower layers
        if any(width < 16 or width % 16 for width in widths):
            raise ValueError("widths must be multiples of 16")
        return widths


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation around a short cut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H/stride, W/stride)."""
        inner = F.relu(self.norm1(self.first(x)), inplace=True)
        return F.relu(self.norm2(self.second(inner)) + self.shortcut(x), inplace=True)


class NucleiUNet(nn.Module):
    """See the module's first lines.

    Parameters
    ----------
    config : NucleiUNetConfig

    Attributes
    ----------
    multiple : int
        Sides of what goes in must be multiples of this (px).
    """

    map_names = ("probability", "distance")

    def __init__(self, config: NucleiUNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.multiple = 2 ** len(widths)
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 5, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(True)
        )
        self.enter = ResidualBlock(widths[0], widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(ResidualBlock(a, b, 2), ResidualBlock(b, b)) for a, b in pairwise(widths)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(b, a, 1, bias=False) for a, b in pairwise(widths))
        self.up = nn.ModuleList(ResidualBlock(a, a) for a in widths[:-1])
        self.head = nn.Conv2d(widths[0], 2 * 4, 3, 1, 1)
        self.offset_head = nn.Conv2d(widths[0], 2 * 4, 3, 1, 1)
        self.border_head = nn.Conv2d(widths[0], 4, 3, 1, 1)
        nn.init.zeros_(self.offset_head.weight)
        nn.init.zeros_(self.border_head.weight)
        nn.init.constant_(self.border_head.bias, -3.0)  # type: ignore[arg-type]

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, widths[0], H/2, W/2)."""
        x: Tensor = self.enter(self.stem(images))
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        for i in reversed(range(len(self.up))):
            deep = F.interpolate(self.lateral[i](x), scale_factor=2.0, mode="nearest")
            x = self.up[i](deep + skips[i])
        return x

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images to (B, 2, H, W) probability and distance, 0..1."""
        x = self.features(images)
        maps = F.pixel_shuffle(self.head(x), 2)
        border = F.pixel_shuffle(self.border_head(x), 2).sigmoid()
        depth = maps[:, 1:].clamp(0, 1) * (1 - self.config.parting * border)
        return torch.cat((maps[:, :1].sigmoid(), depth), 1)

    def predict(self, tiles: Tensor) -> Tensor:
        """Maps of a batch of tiles without gradients; see `forward`."""
        with torch.inference_mode():
            return self.forward(tiles)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy and Dice of foreground and borders, smooth L1 of distance and offsets.

        Parameters
        ----------
        images : (B, 3, H, W) float Tensor
            Normalised patches.
        labels : (B, H, W) int32 Tensor
            Label images; pixels of -1 are ignored.

        Returns
        -------
        scalar Tensor
        """
        truth = labels.cpu().numpy()
        distance, offsets, border = (
            torch.from_numpy(a).to(images.device)
            for a in (*distance_and_offsets(truth), borders(truth).astype("f4"))
        )
        counted = (labels >= 0).unsqueeze(1).to(images.device).float()
        inside = (labels > 0).unsqueeze(1).to(images.device).float()
        x = self.features(images)
        maps = F.pixel_shuffle(self.head(x), 2).float()
        found = F.pixel_shuffle(self.offset_head(x), 2).float()
        logit, depth = maps[:, :1], maps[:, 1:]

        edge = F.pixel_shuffle(self.border_head(x), 2).float()

        pixels = mean_of_all(counted.sum()).clamp(min=1)
        area = mean_of_all(inside.sum()).clamp(min=1)
        foreground = self._overlap_loss(logit, inside, counted, counted)
        # borders are rare and hold the nuclei apart
        meeting = self._overlap_loss(edge, border, counted, counted * (1 + 4 * border))
        # half of the weight of the distance lies on the nuclei however few they are
        weight = counted * (0.5 / pixels + 0.5 * inside / area)
        if self.config.border_weight:
            weight = weight * (1 + border)
        deep = (F.smooth_l1_loss(depth, distance, reduction="none", beta=0.1) * weight).sum()
        towards = F.smooth_l1_loss(found, offsets, reduction="none", beta=0.25).mean(
            1, keepdim=True
        )
        centre = (towards * inside).sum() / area
        return (
            foreground
            + self.config.border_weight * meeting
            + self.config.distance_weight * deep
            + self.config.offset_weight * centre
        )

    @staticmethod
    def _overlap_loss(logit: Tensor, truth: Tensor, counted: Tensor, weight: Tensor) -> Tensor:
        """Mean cross-entropy plus 1 - Dice of each patch."""
        entropy = F.binary_cross_entropy_with_logits(logit, truth, weight, reduction="sum")
        found, truth = logit.sigmoid() * counted, truth * counted
        overlap = (found * truth).sum((1, 2, 3))
        dice = (2 * overlap + 10) / (found.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + 10)
        return entropy / mean_of_all(counted.sum()).clamp(min=1) + 1 - dice.mean()

    def decode(self, maps: np.ndarray, config: DecodeConfig) -> np.ndarray:
        """(2, H, W) float32 maps to an (H, W) int32 label image."""
        return decode(self.map_names, maps, config)


def build(config: NucleiUNetConfig | None = None) -> NucleiUNet:
    """Build an untrained network."""
    return NucleiUNet(config or NucleiUNetConfig())


Options = NucleiUNetConfig
