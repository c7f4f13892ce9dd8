"""Distances between outlines: those of MONAI, and none where there is no outline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.morphology import disk, erosion

from napari_nucleiseg.metrics import METRICS, distances_of_outlines
from napari_nucleiseg.metrics._surfaces import Outlines
from napari_nucleiseg.samples import SAMPLES, read_sample


def monai_scores(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    true, found = (torch.from_numpy(x > 0)[None, None] for x in (truth, prediction))
    return {
        "hausdorff_95": float(
            compute_hausdorff_distance(found, true, include_background=True, percentile=95)
        ),
        "surface_distance": float(
            compute_average_surface_distance(found, true, include_background=True, symmetric=True)
        ),
    }


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda labels: erosion(labels, disk(2)),
        lambda labels: np.roll(labels, (4, -3), (0, 1)),
        lambda labels: np.where(labels % 3 == 0, 0, labels),
    ],
    ids=["shrunk", "moved", "dropped"],
)
def test_they_are_those_of_monai(sample, damage):
    truth = read_sample(sample)[1]
    prediction = damage(truth)
    found = {name: METRICS[name]()(truth, prediction) for name in distances_of_outlines()}
    # MONAI computes in 32 bits
    assert found == pytest.approx(monai_scores(truth, prediction), rel=1e-6, abs=1e-5)
    assert found["hausdorff_95"] > found["surface_distance"] > 0


@pytest.mark.parametrize("name", distances_of_outlines())
class TestLaws:
    def test_none_between_equal_images(self, name):
        for sample in SAMPLES:
            labels = read_sample(sample)[1]
            assert METRICS[name]()(labels, labels) == 0

    def test_an_empty_image_is_far_from_nothing_and_from_nuclei_unknown(self, name):
        empty, full = np.zeros((4, 5), np.int32), np.ones((4, 5), np.int32)
        score = METRICS[name]()
        assert score(empty, empty) == 0
        assert np.isnan([score(full, empty), score(empty, full)]).all()

    def test_a_bar_moved_by_three_pixels(self, name):
        truth = np.zeros((9, 20), np.int32)
        truth[4, 2:15] = 1
        assert METRICS[name]()(truth, np.roll(truth, 3, axis=0)) == 3


LABELS = arrays(
    np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-1, 4)
)


@settings(max_examples=100)
@given(labels=LABELS)
def test_outlines_are_what_erosion_takes_away(labels):
    outlines = Outlines.of(labels)
    assert outlines.ids.tolist() == [i for i in np.unique(labels) if i > 0]
    for n, number in enumerate(outlines.ids):
        mask = labels == number
        expected = np.argwhere(mask & ~ndimage.binary_erosion(mask))
        assert np.array_equal(outlines.of_nucleus(n), expected)
