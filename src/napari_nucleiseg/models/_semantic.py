"""What semantic networks share: background and foreground, and nuclei split by the decoding."""

from __future__ import annotations

from math import gcd
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import Config
from ..instances import DecodeConfig, decode
from ..losses import Loss

Norm = Literal["batch", "instance", "group"]


Presets = dict[str, dict[str, Any]]


class PresetOptions(Config):
    """Settings that begin with those of a preset."""

    presets: ClassVar[Presets] = {}

    preset: Literal["compact", "reference"] = Field("compact", description="compact or reference")
    input_channels: Literal[3, 4] = Field(3, description="colours, or colours and an opacity of 1")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {**cls.presets.get(given.get("preset", "compact"), {}), **given}


class SemanticNetwork(nn.Module):
    """A network with two outputs for each pixel, background and foreground.

    Parameters
    ----------
    network : torch.nn.Module
        (B, C, H, W) to (B, 2, H, W) logits.
    channels : int
        C: 3 for colours, 4 with an opacity, which is 1 everywhere.
    multiple : int
        Sides of what goes in must be multiples of this (px).
    loss : callable
        See `napari_nucleiseg.losses`.
    fixed_tile : int or None
        Side of what goes in, where the network takes one size only (px).
    """

    map_names = ("probability",)

    def __init__(
        self,
        network: nn.Module,
        channels: int,
        multiple: int,
        loss: Loss,
        fixed_tile: int | None = None,
    ) -> None:
        super().__init__()
        self.network, self.channels = network, channels
        self.multiple, self.fixed_tile = multiple, fixed_tile
        self.loss_of_pixels = loss

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 2, H, W), background and foreground."""
        if self.channels == 4:
            images = torch.cat((images, torch.ones_like(images[:, :1])), 1)
        found: Tensor = self.network(images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images to (B, 1, H, W) probability of a nucleus."""
        return self.logits(images).softmax(1)[:, 1:]

    def predict(self, tiles: Tensor) -> Tensor:
        """Maps of a batch of tiles without gradients; see `forward`."""
        with torch.inference_mode():
            return self.forward(tiles)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch.

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
        labels = labels.to(images.device).unsqueeze(1)
        logits = self.logits(images).float()
        return self.loss_of_pixels(logits, (labels > 0).float(), (labels >= 0).float())

    def decode(self, maps: np.ndarray, config: DecodeConfig) -> np.ndarray:
        """(1, H, W) float32 maps to an (H, W) int32 label image."""
        return decode(self.map_names, maps, config)


def use_norm(model: nn.Module, kind: Norm) -> None:
    """Replace every batch normalisation of a network by another one.

    Group normalisation (Wu and He 2018, doi:10.1007/978-3-030-01261-8_1) has eight groups where
    the channels can be dealt out evenly.
    """
    if kind == "batch":
        return
    for parent in list(model.modules()):
        for name, norm in list(parent.named_children()):
            if not isinstance(norm, nn.BatchNorm2d):
                continue
            count = norm.num_features
            new: nn.Module
            if kind == "instance":
                new = nn.InstanceNorm2d(count, affine=True)
            else:
                new = nn.GroupNorm(gcd(8, count), count)
            setattr(parent, name, new)


class PartialConv2d(nn.Conv2d):
    """A convolution that takes padding for missing pixels, not for dark ones.

    Its sums are scaled up by the share of the window that lies in the image: padding by partial
    convolution (Liu et al. 2018, arXiv 1811.11718, equation 1).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs, h, w)."""
        sums = F.conv2d(x, self.weight, None, self.stride, self.padding, self.dilation, self.groups)
        inside = F.avg_pool2d(
            torch.ones_like(x[:1, :1]),
            self.kernel_size,
            self.stride,
            self.padding,  # type: ignore[arg-type]
        )
        sums = sums / inside
        return sums if self.bias is None else sums + self.bias.view(1, -1, 1, 1)


def use_partial_padding(model: nn.Module) -> None:
    """Let every padded convolution of a network take padding for missing pixels."""
    for module in model.modules():
        if type(module) is nn.Conv2d and any(module.padding) and set(module.dilation) == {1}:
            # same parameters, same settings, another forward
            module.__class__ = PartialConv2d


class Scaled(nn.Module):
    """The inner branch of a residual unit, scaled by a number that is learned, from 0 on.

    ReZero (Bachlechner et al. 2020, arXiv 2003.04887, equation 1).
    """

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.strength = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """As the branch, scaled."""
        scaled: Tensor = self.strength * self.branch(x)
        return scaled
