from __future__ import annotations

import numpy as np
import pytest

from napari_nucleiseg.alignment import Offset, best_offset, moved
from napari_nucleiseg.intensity import NormaliseConfig, normalise

KINDS = ("fluorescence", "stained", "brightfield")


@pytest.fixture(params=KINDS)
def sample(request):
    micrograph, labels = request.getfixturevalue(request.param)
    return normalise(micrograph.pixels, NormaliseConfig()).mean(axis=0), labels


def test_labels_that_are_right_stay(sample):
    grey, labels = sample
    assert not best_offset(grey, labels).is_shifted


@pytest.mark.parametrize("way", [(20, 0), (-7, 12), (4, -20)])
def test_shifted_labels_find_back(sample, way):
    grey, labels = sample
    beside = np.maximum(moved(labels, Offset(*way, 0, 0)), 0)
    offset = best_offset(grey, beside)
    assert offset.is_shifted
    assert offset.y == pytest.approx(-way[0], abs=2)
    assert offset.x == pytest.approx(-way[1], abs=2)


def test_where_nothing_is_nothing_is_shifted():
    flat, none = np.zeros((9, 50)), np.zeros((9, 50), np.int32)
    assert best_offset(flat, none) == (0, 0, 0, 0)
    none[2:5, 3:9] = 1
    assert not best_offset(flat, none).is_shifted


def test_what_is_uncovered_is_ignored():
    labels = np.arange(1, 7, dtype=np.int32).reshape(2, 3)
    assert moved(labels, Offset(0, 1, 0, 0)).tolist() == [[-1, 1, 2], [-1, 4, 5]]
    assert moved(labels, Offset(-1, 0, 0, 0)).tolist() == [[4, 5, 6], [-1, -1, -1]]
