from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_nucleiseg.config import AugmentConfig
from napari_nucleiseg.data.augment import empty_patch, vary_intensity, window

STILL = AugmentConfig(
    scale_low=1, scale_high=1, stretch=0, rotate=0, gamma=0, gain=0, offset=0, invert=0,
    colour=0, to_grey=0, tint=0, blur=0, noise=0, illumination=0, empty=0,
)  # fmt: skip


def whole(micrograph, labels, config, seed):
    image = np.moveaxis(micrograph.pixels, -1, 0) if micrograph.is_colour else None
    image = (micrograph.pixels[None] if image is None else image).astype(np.float32) / 255
    size = min(labels.shape)
    centre = ((size - 1) / 2, (size - 1) / 2)
    rng = np.random.default_rng(seed)
    return image, *window(image, labels, centre, size, config, rng)


@pytest.mark.parametrize("seed", range(8))
def test_without_scaling_a_window_is_the_image_turned_or_flipped(fluorescence, seed):
    image, patch, labels = whole(*fluorescence, STILL, seed)
    turned = [np.rot90(f, k) for k in range(4) for f in (image[0], image[0, :, ::-1])]
    errors = [np.abs(patch[0].numpy() - t).max() for t in turned]
    assert min(errors) < 1e-4
    masks = [np.rot90(f, k) for k in range(4) for f in (fluorescence[1], fluorescence[1][:, ::-1])]
    same = masks[int(np.argmin(errors))]
    assert np.array_equal(labels > 0, same > 0)


@pytest.mark.parametrize("seed", range(8))
def test_picture_and_labels_move_together(fluorescence, seed):
    _, truth = fluorescence
    marked = np.where(truth > 0, 200, 20).astype(np.uint8)
    image = marked[None].astype(np.float32) / 255
    rng = np.random.default_rng(seed)
    patch, labels = window(image, truth, (100.0, 150.0), 128, AugmentConfig(), rng)
    bright = patch[0].numpy() > 0.45
    assert ((labels > 0) == bright).mean() > 0.97


def test_each_piece_is_a_nucleus_of_its_own_and_ignored_pixels_stay():
    labels = np.zeros((64, 64), np.int32)
    labels[5:20, 5:20], labels[40:60, 40:60], labels[:, 30:34] = 7, 7, -1
    image = np.zeros((1, 64, 64), np.float32)
    _, found = window(image, labels, (31.5, 31.5), 64, STILL, np.random.default_rng(0))
    assert set(np.unique(found)) == {-1, 0, 1, 2}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(20))
def test_any_variation_is_finite_and_bounded(channels, seed):
    rng = np.random.default_rng(seed)
    config = AugmentConfig(invert=0.5, blur=0.5, noise=0.5, illumination=0.5, tint=0.5, to_grey=0.5)
    patch = vary_intensity(torch.rand(channels, 32, 32), config, rng)
    assert patch.shape == (3, 32, 32)
    assert torch.isfinite(patch).all()
    assert patch.min() >= 0
    assert patch.max() <= 1.5


def test_nothing_switched_on_changes_nothing():
    patch = torch.rand(3, 16, 16)
    assert torch.equal(vary_intensity(patch, STILL, np.random.default_rng(0)), patch)


def test_an_empty_patch_is_noise_about_a_level():
    patch = empty_patch(64, np.random.default_rng(1))
    assert patch.shape == (3, 64, 64)
    assert torch.equal(patch[0], patch[1])
