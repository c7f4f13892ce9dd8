from __future__ import annotations

import numpy as np
import torch

from napari_nucleiseg.data.augment import dim_nuclei


def discs():
    y, x = np.mgrid[:80, :80]
    labels = np.zeros((80, 80), np.int32)
    for n, (cy, cx) in enumerate([(20, 20), (20, 60), (60, 20), (60, 60)], 1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 < 100] = n
    return labels


def test_nuclei_are_dimmed_towards_the_background_each_by_its_own():
    labels = discs()
    patch = torch.full((3, 80, 80), 0.1)
    patch[:, torch.from_numpy(labels > 0)] = 0.9
    seen = []
    for seed in range(20):
        dimmed = dim_nuclei(patch, labels, np.random.default_rng(seed))
        assert torch.allclose(dimmed[:, 40, 40], patch[:, 40, 40])
        assert dimmed.min() >= 0.1 - 1e-6
        assert dimmed.max() <= 0.9 + 1e-6
        seen += [float(dimmed[0, cy, cx]) for cy, cx in [(20, 20), (20, 60), (60, 20), (60, 60)]]
    contrast = (np.array(seen) - 0.1) / 0.8
    assert contrast.min() < 0.2
    assert (contrast > 0.99).any()
    assert (contrast >= 0.1 - 1e-4).all()


def test_ignored_pixels_stay_as_they_are():
    labels = discs()
    labels[:, 40:] = -1
    patch = torch.rand(1, 80, 80)
    dimmed = dim_nuclei(patch, labels, np.random.default_rng(0))
    assert torch.allclose(dimmed[..., 44:], patch[..., 44:])


def test_a_patch_that_is_all_nucleus_is_left_alone():
    patch = torch.rand(1, 8, 8)
    assert torch.equal(
        dim_nuclei(patch, np.ones((8, 8), np.int32), np.random.default_rng(0)), patch
    )
