"""Variation of training patches: what differs between laboratories and not between nuclei."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from skimage.measure import label
from torch import Tensor
from torch.nn import functional as F

from ..config import AugmentConfig
from .classes import class_of, with_class


def window(
    image: np.ndarray,
    labels: np.ndarray,
    centre: tuple[float, float],
    size: int,
    config: AugmentConfig,
    rng: np.random.Generator,
    classes: int = 1,
) -> tuple[Tensor, np.ndarray]:
    """A turned, flipped, magnified window of a micrograph and its label image.

    Beyond its border the micrograph is mirrored.

    Parameters
    ----------
    image : (C, H, W) float ndarray
    labels : (H, W) int32 ndarray
        Pixels of -1 are ignored and stay so.
    centre : (float, float)
        Middle of the window (y, x) in pixels.
    size : int
        Side of the window in pixels.
    config : AugmentConfig
    rng : numpy.random.Generator
    classes : int
        How many classes the numbers of ``labels`` carry; see `napari_nucleiseg.data.classes`.

    Returns
    -------
    (C, size, size) float32 Tensor, (size, size) int32 ndarray
        Each connected piece of a nucleus has a label of its own, which carries the same class.
    """
    scale = np.exp(rng.uniform(np.log(config.scale_low), np.log(config.scale_high)))
    stretch = np.exp(rng.uniform(-config.stretch, config.stretch) / 2)
    quarter = rng.integers(4) * np.pi / 2
    angle = quarter + (rng.uniform(-np.pi / 4, np.pi / 4) if rng.random() < config.rotate else 0)
    flip = 1 if rng.random() < 0.5 else -1
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([1 / (scale * stretch), flip * stretch / scale])
    reach = int(np.ceil(np.abs(matrix).sum(1).max() * size / 2)) + 3
    height, width = labels.shape
    # a cut-out keeps the sampling cheap; it is mirrored only where the micrograph itself ends
    y0, y1 = max(0, int(centre[0]) - reach), min(height, int(centre[0]) + reach + 1)
    x0, x1 = max(0, int(centre[1]) - reach), min(width, int(centre[1]) + reach + 1)
    steps = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    yy, xx = torch.meshgrid(steps, steps, indexing="ij")
    m = torch.from_numpy(matrix.astype(np.float32))
    y = m[0, 0] * yy + m[0, 1] * xx + (centre[0] - y0)
    x = m[1, 0] * yy + m[1, 1] * xx + (centre[1] - x0)
    grid = torch.stack((2 * (x + 0.5) / (x1 - x0) - 1, 2 * (y + 0.5) / (y1 - y0) - 1), -1)[None]
    cut = torch.from_numpy(np.ascontiguousarray(image[:, y0:y1, x0:x1], dtype=np.float32))
    patch = F.grid_sample(cut[None], grid, "bilinear", "reflection", align_corners=False)[0]
    # labels below 2**24 survive in float32
    ids = torch.from_numpy(np.ascontiguousarray(labels[y0:y1, x0:x1], dtype=np.float32))
    found = F.grid_sample(ids[None, None], grid, "nearest", "reflection", align_corners=False)
    turned = found[0, 0].numpy().astype(np.int32)
    pieces = label(np.maximum(turned, 0), connectivity=1).astype(np.int32)
    inside = turned > 0
    pieces[inside] = with_class(pieces[inside], class_of(turned[inside], classes), classes)
    pieces[turned < 0] = -1
    return patch, pieces


def _smooth_field(size: int, cells: int, rng: np.random.Generator) -> Tensor:
    """(1, size, size) random values that change slowly, about -1..1."""
    coarse = torch.from_numpy(rng.normal(0, 1, (1, 1, cells, cells)).astype(np.float32))
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)[0]


def _blur(patch: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (C, H, W)."""
    radius = int(np.ceil(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).float()
    x = F.pad(patch[:, None], (radius,) * 4, mode="replicate")
    x = F.conv2d(F.conv2d(x, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return x[:, 0]


def vary_intensity(patch: Tensor, config: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Change colour, contrast, sharpness and noise of a patch.

    Parameters
    ----------
    patch : (1, H, W) or (3, H, W) float Tensor
        Normalised intensities, 0..1.
    config : AugmentConfig
    rng : numpy.random.Generator

    Returns
    -------
    (3, H, W) float32 Tensor
    """
    size = patch.shape[-1]

    def happens(share: float) -> bool:
        return bool(rng.random() < share)

    if patch.shape[0] == 3:
        if happens(config.to_grey):
            weights = torch.from_numpy(rng.dirichlet((3, 3, 3)).astype(np.float32))
            patch = (patch * weights.view(3, 1, 1)).sum(0, keepdim=True).expand(3, -1, -1)
        elif config.colour:
            mix = np.eye(3) + rng.normal(0, config.colour / 2, (3, 3))
            mix /= mix.sum(1, keepdims=True)
            mix *= np.exp(rng.normal(0, config.colour / 2, (3, 1)))
            patch = torch.einsum("ij,jyx->iyx", torch.from_numpy(mix.astype(np.float32)), patch)
            # stains absorb: their strength is an exponent (Beer-Lambert)
            power = np.exp(rng.normal(0, config.colour, 3)).astype(np.float32)
            patch = patch.clamp(min=0) ** torch.from_numpy(power).view(3, 1, 1)
    else:
        patch = patch.expand(3, -1, -1)
        if happens(config.tint):
            colour = rng.uniform(0, 1, 3)
            colour = (colour / colour.max()).astype(np.float32)
            patch = patch * torch.from_numpy(colour).view(3, 1, 1)
    if happens(config.invert):
        patch = 1 - patch
    if happens(config.blur):
        patch = _blur(patch, float(rng.uniform(0.5, 2.0)))
    if config.gamma:
        patch = patch.clamp(min=0) ** float(np.exp(rng.normal(0, config.gamma)))
    if config.gain:
        patch = patch * float(np.exp(rng.normal(0, config.gain)))
    if happens(config.illumination):
        field = _smooth_field(size, int(rng.integers(2, 5)), rng)
        patch = patch * (1 + 0.25 * field) if happens(0.5) else patch + 0.08 * field
    if config.offset:
        patch = patch + float(rng.normal(0, config.offset))
    if happens(config.noise):
        sigma = float(rng.uniform(0.01, 0.08))
        shape = (1 if happens(0.7) else 3, size, size)
        grains = torch.from_numpy(rng.standard_normal(shape, np.float32))
        brightness = patch.clamp(0.02, 1).sqrt() if happens(0.5) else 1.0
        patch = patch + sigma * grains * brightness
    return patch.clamp(0, 1.5).contiguous()


def dim_nuclei(patch: Tensor, labels: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Give each nucleus a contrast of its own, down to a tenth: dim ones beside bright ones.

    Parameters
    ----------
    patch : (C, H, W) float Tensor
    labels : (H, W) int32 ndarray
        0 background, negative pixels are ignored and stay as they are.
    rng : numpy.random.Generator

    Returns
    -------
    (C, H, W) float Tensor
    """
    background = labels == 0
    if not background.any():
        return patch
    strength = np.ones(max(int(labels.max()), 0) + 1, np.float32)
    strength[1:] = np.where(
        rng.random(len(strength) - 1) < rng.uniform(0.2, 0.9),
        np.exp(rng.uniform(np.log(0.1), 0, len(strength) - 1)),
        1,
    )
    of_pixel = strength[np.maximum(labels, 0)]
    # the glow around a nucleus fades with it
    of_pixel = ndimage.gaussian_filter(ndimage.minimum_filter(of_pixel, 3), 1)
    level = patch[:, torch.from_numpy(background)].median(1).values.view(-1, 1, 1)
    return level + (patch - level) * torch.from_numpy(of_pixel)


def empty_patch(size: int, rng: np.random.Generator) -> Tensor:
    """(3, size, size) noise on a level or slowly changing background: a field without nuclei."""
    patch = torch.full((3, size, size), float(rng.uniform(0, 0.9)))
    grains = torch.from_numpy(rng.standard_normal((1, size, size), np.float32))
    if rng.random() < 0.5:
        sigma = float(rng.uniform(0.4, 2.0))
        grains = _blur(grains, sigma) * (2 * sigma)
    patch = patch + float(rng.uniform(0.0, 0.12)) * grains
    if rng.random() < 0.5:
        patch = patch + 0.15 * float(rng.random()) * _smooth_field(size, 3, rng)
    return patch.clamp(0, 1.5)
