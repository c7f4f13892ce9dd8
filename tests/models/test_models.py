from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_nucleiseg.detections import INSTANCES
from napari_nucleiseg.instances import DecodeConfig
from napari_nucleiseg.intensity import NormaliseConfig, normalise
from napari_nucleiseg.models import MODELS

SMALL = {"unetr": {"image_px": 128, "hidden": 48, "mlp": 96, "heads": 4}}


@pytest.fixture(params=MODELS.names())
def architecture(request):
    return MODELS.module(request.param)


@pytest.fixture
def options(request, architecture):
    return architecture.Options(**SMALL.get(architecture.__name__.rpartition(".")[2], {}))


def side_of(model, wanted):
    return getattr(model, "fixed_tile", None) or wanted


def test_builds_with_its_defaults_and_names_its_maps(architecture):
    model = architecture.build(architecture.Options()).eval()
    side = side_of(model, 2 * model.multiple)
    tiles = torch.rand(2, 3, side, side)
    if model.map_names == INSTANCES:
        assert len(model.predict(tiles, 0.99)) == 2
        return
    maps = model.predict(tiles)
    assert maps.shape == (2, len(model.map_names), side, side)
    assert torch.isfinite(maps).all()


@pytest.mark.slow
def test_learns_one_crop(architecture, options, fluorescence):
    micrograph, labels = fluorescence
    image = torch.from_numpy(normalise(micrograph.pixels, NormaliseConfig())[None, :, :128, :128])
    truth = torch.from_numpy(labels[None, :128, :128])
    torch.manual_seed(0)
    model = architecture.build(options)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    # instances need fewer steps to be on their way, and each of them takes long
    for _ in range(14 if model.map_names == INSTANCES else 25):
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


def test_ignored_pixels_do_not_count(architecture, options):
    model = architecture.build(options).eval()
    side = side_of(model, 64)
    image = torch.rand(1, 3, side, side)
    labels = torch.zeros(1, side, side, dtype=torch.int32)
    labels[0, 10:20, 10:20] = 1
    hidden = labels.clone()
    hidden[0, :, 40:] = -1
    if model.map_names != INSTANCES:
        assert not torch.equal(model.loss(image, labels), model.loss(image, hidden))
    # a nucleus there or not must not matter once it is ignored
    labels[0, 20:30, 45:55] = 2
    labels[0, :, 40:] = -1
    assert torch.equal(model.loss(image, labels), model.loss(image, hidden))


def test_a_fully_ignored_patch_has_a_finite_loss(architecture, options):
    model = architecture.build(options)
    side = side_of(model, 64)
    labels = torch.full((1, side, side), -1, dtype=torch.int32)
    assert torch.isfinite(model.loss(torch.rand(1, 3, side, side), labels))
