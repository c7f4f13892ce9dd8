from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_nucleiseg.data import blocks
from napari_nucleiseg.data.blocks import LEAST_MARGIN_PX, count_nuclei, divide
from napari_nucleiseg.data.patches import TrainingImage


def image_with(centres, shape=(512, 512), radius=8):
    labels = np.zeros(shape, np.int32)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for number, (y, x) in enumerate(centres, 1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number
    return TrainingImage(np.zeros((1, *shape), np.float16), labels, "a")


def whole(labels, truth):
    """Whether every nucleus of a label image is there with all of its pixels."""
    return all(np.array_equal(labels == n, truth == n) for n in np.unique(labels[labels > 0]))


GRID = [(y, x) for y in range(32, 512, 64) for x in range(32, 512, 64)]


@pytest.mark.parametrize("seed", range(4))
def test_learning_and_judging_nuclei_are_apart(seed):
    image = image_with(GRID)
    (fold,) = divide([image], seed)
    learns = fold.training[0]
    assert 3 <= count_nuclei(fold.held_out) <= 0.5 * len(GRID)
    assert count_nuclei(fold.training) >= 0.4 * len(GRID)
    assert whole(learns.labels, image.labels)


@pytest.mark.parametrize("seed", range(4))
def test_a_gap_lies_between_the_parts(seed, monkeypatch):
    # judging parts are not cropped, so that places can be compared
    monkeypatch.setattr(blocks, "CONTEXT_PX", 512)
    image = image_with(GRID)
    (fold,) = divide([image], seed)
    judged, learned = fold.held_out[0].labels, fold.training[0].labels
    assert judged.shape == learned.shape
    gap = ndimage.distance_transform_edt(judged < 0)[learned >= 0]
    assert gap.min() > LEAST_MARGIN_PX
    assert whole(judged, image.labels)
    assert not set(np.unique(judged[judged > 0])) & set(np.unique(learned[learned > 0]))


def test_few_nuclei_judge_each_other_in_turn():
    image = image_with([(40, 40), (40, 200), (200, 40), (200, 200), (300, 300)])
    folds = divide([image])
    assert len(folds) == 2
    assert sum(count_nuclei(f.held_out) for f in folds) == 5
    assert all(count_nuclei(f.training) for f in folds)


def test_neighbours_in_one_corner_are_divided_by_smaller_blocks():
    image = image_with([(20, 20), (20, 60), (60, 20), (60, 60), (60, 100)], shape=(128, 128))
    assert len(divide([image])) == 2


@pytest.mark.parametrize("centres", [[(100, 100)], []])
def test_one_place_cannot_be_divided(centres):
    assert divide([image_with(centres)]) == []


def test_pixels_that_nobody_reviewed_stay_so():
    image = image_with(GRID)
    labels = image.labels.copy()
    labels[:, 256:] = -1
    part = TrainingImage(image.image, labels, "a")
    (fold,) = divide([part])
    assert (fold.training[0].labels[:, 256:] == -1).all()
    assert max(np.flatnonzero((fold.held_out[0].labels >= 0).any(0))) < 256


def test_every_micrograph_serves_its_own_part():
    images = [image_with(GRID), image_with(GRID[:3])]
    (fold,) = divide(images)
    for one in (*fold.training, *fold.held_out):
        assert one.image.shape[1:] == one.labels.shape
        assert (one.labels >= 0).any()
