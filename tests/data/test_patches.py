from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_nucleiseg.config import AugmentConfig, TrainConfig
from napari_nucleiseg.data.patches import PatchSampler, TrainingImage
from napari_nucleiseg.intensity import NormaliseConfig, normalise


@pytest.fixture
def training_images(fluorescence, stained):
    made = []
    for micrograph, labels in (fluorescence, stained):
        image = normalise(micrograph.pixels, NormaliseConfig())
        grey = not micrograph.is_colour
        made.append(TrainingImage((image[:1] if grey else image).astype(np.float16), labels, "x"))
    return made


def test_batches_depend_on_seed_and_step_alone(training_images):
    config = TrainConfig(batch_size=2, patch_px=64, seed=3)
    first, again = (PatchSampler(training_images, config) for _ in range(2))
    first.batch(0)
    for a, b in zip(first.batch(7), again.batch(7), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.batch(7)[0], first.batch(8)[0])


def test_weakened_variation_keeps_the_shares_in_range():
    config = AugmentConfig()
    assert config.weakened(1) == config
    none = config.weakened(0)
    assert (none.scale_low, none.scale_high, none.noise, none.gamma) == (1, 1, 0, 0)
    assert none.empty == config.empty
    assert config.scale_low < config.weakened(0.5).scale_low < 1


def test_shapes_and_range(training_images):
    patches, labels = PatchSampler(training_images, TrainConfig(patch_px=96)).batch(0)
    assert patches.shape == (4, 3, 96, 96)
    assert labels.shape == (4, 96, 96)
    assert patches.dtype == torch.float32
    assert labels.dtype == torch.int32
    assert patches.min() >= 0
    assert patches.max() <= 1.5


def test_rare_kinds_count_more_than_their_share(training_images):
    many = [training_images[0]] * 99 + [training_images[1]]
    weights = PatchSampler(many, TrainConfig(patch_px=512)).weights
    assert weights[-1] == pytest.approx(1 / (1 + np.sqrt(99)))


def test_empty_patches_hold_no_nuclei(training_images):
    config = TrainConfig(patch_px=64, augment=AugmentConfig(empty=1.0))
    _, labels = PatchSampler(training_images, config).batch(0)
    assert not labels.any()


def test_every_patch_shows_something_reviewed(training_images):
    image = training_images[0]
    for place in ((0, 0), (200, 100), (359, 359)):
        labels = np.full(image.labels.shape, -1, np.int32)
        labels[place] = 0
        few = TrainingImage(image.image, labels, "few")
        sampler = PatchSampler([few], TrainConfig(batch_size=2, patch_px=64))
        for step in range(5):
            _, truth = sampler.batch(step)
            shown = (truth >= 0).flatten(1).any(1)
            # a patch of mere noise is known to hold no nucleus
            assert shown.all()


def test_an_image_that_nobody_reviewed_is_refused(training_images):
    blank = TrainingImage(training_images[0].image, np.full((360, 360), -1, np.int32), "blank")
    with pytest.raises(ValueError, match="without a reviewed pixel"):
        PatchSampler([blank], TrainConfig())


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_replayed_micrographs_get_their_share(training_images, share):
    new, old = training_images
    old = replace(old, is_replay=True)
    sampler = PatchSampler([new, old, old, old], TrainConfig(), share)
    assert sampler.weights[1:].sum() == pytest.approx(share)
    assert sampler.weights.sum() == pytest.approx(1)
