from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_nucleiseg.detections import INSTANCES
from napari_nucleiseg.instances import DecodeConfig
from napari_nucleiseg.intensity import NormaliseConfig, normalise
from napari_nucleiseg.models import MODELS


@pytest.fixture(params=MODELS.names())
def architecture(request):
    return MODELS.module(request.param)


def test_builds_with_its_defaults_and_names_its_maps(architecture):
    model = architecture.build(architecture.Options()).eval()
    side = 2 * model.multiple
    tiles = torch.rand(2, 3, side, side)
    if model.map_names == INSTANCES:
        assert len(model.predict(tiles, 0.99)) == 2
        return
    maps = model.predict(tiles)
    assert maps.shape == (2, len(model.map_names), side, side)
    assert torch.isfinite(maps).all()


@pytest.mark.slow
def test_learns_one_crop(architecture, fluorescence):
    micrograph, labels = fluorescence
    image = torch.from_numpy(normalise(micrograph.pixels, NormaliseConfig())[None, :, :128, :128])
    truth = torch.from_numpy(labels[None, :128, :128])
    torch.manual_seed(0)
    model = architecture.build(architecture.Options())
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = model.loss(image, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    if model.map_names == INSTANCES:
        # to be sure of a nucleus takes longer
        return
    found = model.decode(model.predict(image)[0].numpy(), DecodeConfig())
    assert found.dtype == np.int32
    overlap = ((found > 0) & (labels[:128, :128] > 0)).sum() / (labels[:128, :128] > 0).sum()
    assert overlap > 0.7


def test_ignored_pixels_do_not_count(architecture):
    model = architecture.build(architecture.Options()).eval()
    image = torch.rand(1, 3, 64, 64)
    labels = torch.zeros(1, 64, 64, dtype=torch.int32)
    labels[0, 10:20, 10:20] = 1
    labels[0, :, 40:] = -1
    shown = model.loss(image, labels)
    # what the network says there must not matter: the targets there do not reach the loss
    labels[0, 50:, 50:] = -1
    assert torch.equal(shown, model.loss(image, labels))


def test_a_fully_ignored_patch_has_a_finite_loss(architecture):
    model = architecture.build(architecture.Options())
    labels = torch.full((1, 64, 64), -1, dtype=torch.int32)
    assert torch.isfinite(model.loss(torch.rand(1, 3, 64, 64), labels))
