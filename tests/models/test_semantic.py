from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.models import flexible_unet, unet, unetr
from napari_nucleiseg.models._semantic import PartialConv2d, Scaled, use_partial_padding

TINY = {"channels": (16, 32), "residual_units": 2}


def test_the_reference_has_the_sizes_of_the_reference():
    options = unet.Options(preset="reference")
    assert options.channels == (16, 32, 64, 128, 256, 512)
    assert (options.input_channels, options.residual_units, options.dropout) == (4, 5, 0.2)
    model = unet.build(options)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions[0].in_channels == 4
    assert sum(isinstance(m, nn.LeakyReLU) for m in model.modules()) > 10
    assert model.logits(torch.rand(1, 3, 64, 64)).shape == (1, 2, 64, 64)


def test_what_is_set_wins_over_the_preset():
    assert unet.Options(preset="reference", dropout=0.0).dropout == 0
    assert unetr.Options(preset="reference").hidden == 768


@pytest.mark.parametrize(
    ("kind", "layer"),
    [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d), ("group", nn.GroupNorm)],
)
def test_every_norm_replaces_all_others(kind, layer):
    model = unet.build(unet.Options(norm=kind, **TINY))
    norms = [m for m in model.modules() if "Norm" in type(m).__name__]
    assert norms
    assert all(type(m) is layer for m in norms)


def test_rezero_begins_as_the_shortcuts_alone():
    model = unet.build(unet.Options(residual="rezero", **TINY)).eval()
    scaled = [m for m in model.modules() if isinstance(m, Scaled)]
    assert scaled
    image = torch.rand(1, 3, 32, 32)
    before = model.logits(image)
    with torch.no_grad():
        for part in scaled:
            for weight in part.branch.parameters():
                weight.add_(1.0)
    assert torch.equal(before, model.logits(image))
    with torch.no_grad():
        scaled[0].strength.fill_(0.5)
    assert not torch.equal(before, model.logits(image))


def test_partial_padding_does_not_darken_the_border():
    """Equation 1 of Liu et al. 2018: a mean stays a mean where part of the window is missing."""
    layer = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1))
    nn.init.constant_(layer[0].weight, 1 / 9)
    nn.init.zeros_(layer[0].bias)
    image = torch.full((1, 1, 6, 7), 2.0)
    assert layer(image).min() < 1
    use_partial_padding(layer)
    assert type(layer[0]) is PartialConv2d
    torch.testing.assert_close(layer(image), image)


def test_partial_padding_changes_nothing_inside():
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1))
    image = torch.rand(2, 3, 16, 16)
    before = layer(image)
    use_partial_padding(layer)
    torch.testing.assert_close(layer(image)[..., 1:, 1:], before[..., 1:, 1:])


@pytest.mark.parametrize(
    ("module", "wrong", "word"),
    [
        (unet, {"kernel": 4}, "kernel"),
        (unet, {"residual": "rezero", "residual_units": 0}, "rezero"),
        (unet, {"norm": "layer"}, "norm"),
        (unet, {"preset": "huge"}, "preset"),
        (unetr, {"hidden": 50, "heads": 4}, "heads"),
        (unetr, {"image_px": 100}, "image_px"),
    ],
)
def test_options_that_cannot_be_built_are_named(module, wrong, word):
    with pytest.raises(SettingError, match=word):
        module.Options.parse(wrong)


def test_the_reference_of_flexible_unet_is_resnet_18():
    model = flexible_unet.build(flexible_unet.Options(preset="reference"))
    encoder = model.network.encoder
    # two blocks of two convolutions at each of four resolutions, and one before; the 18th layer of
    # the name is the classifier's
    assert sum(isinstance(m, nn.Conv2d) for m in encoder.modules()) == 4 * 2 * 2 + 1
    assert model.logits(torch.rand(1, 3, 64, 64)).shape == (1, 2, 64, 64)


def test_flexible_unet_in_instance_norm_trains_on_the_smallest_patch_it_takes():
    model = flexible_unet.build(flexible_unet.Options(norm="instance")).train()
    side = model.multiple
    loss = model.loss(torch.rand(1, 3, side, side), torch.ones(1, side, side, dtype=torch.int32))
    assert torch.isfinite(loss)


def test_unetr_takes_one_size():
    model = unetr.build(unetr.Options(image_px=64, hidden=48, mlp=96, heads=4))
    assert model.fixed_tile == 64
    maps = model.predict(torch.rand(1, 3, 64, 64))
    np.testing.assert_array_less(maps.numpy(), 1.0001)
