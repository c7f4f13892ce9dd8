from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_nucleiseg.metrics._matching import Overlaps
from napari_nucleiseg.proof import ENOUGH_TO_COMPARE, compare, interpolated, scores_of
from napari_nucleiseg.reviewed import within_reviewed

SQUARE = np.zeros((20, 20), np.int32)
SQUARE[5:15, 5:15] = 1
HALF = np.zeros((20, 20), np.int32)
HALF[5:15, 5:12] = 1


def test_scores_can_be_read_off():
    scores = scores_of([Overlaps.between(SQUARE, HALF)])
    # 70 of 100 pixels: matched at 0.50 to 0.70
    assert scores == pytest.approx({"dice": 140 / 170, "iou": 0.7, "ap50": 1, "ap": 0.5, "pq": 0.7})
    assert set(scores_of([Overlaps.between(SQUARE, SQUARE)]).values()) == {1.0}


def test_a_difference_is_put_in_words_where_there_are_enough():
    good, bad = Overlaps.between(SQUARE, SQUARE), Overlaps.between(SQUARE, HALF)
    few = compare("here", [bad] * 3, [good] * 3)
    assert (few.words, few.images, few.nuclei) == ("", 3, 3)
    assert few.gain == pytest.approx(0.5)
    many = compare("here", [bad] * ENOUGH_TO_COMPARE, [good] * ENOUGH_TO_COMPARE)
    assert "the new model is better than the old one" in many.words


def test_weights_between_two_models():
    old = {"w": torch.zeros(2), "n": torch.tensor(1)}
    new = {"w": torch.ones(2), "n": torch.tensor(5)}
    between = interpolated(old, new, 0.25)
    assert between["w"].tolist() == [0.25, 0.25]
    assert between["n"] == 5
    assert interpolated(old, new, 0)["w"].tolist() == [0, 0]


def test_what_peeps_out_of_ignored_pixels_is_no_false_nucleus():
    truth = np.full((20, 20), -1, np.int32)
    truth[:, :10] = 0
    found = np.zeros((20, 20), np.int32)
    found[2:8, 8:16] = 1  # mostly outside
    found[12:18, 2:8] = 2
    found[0:2, 7:12] = 3  # mostly inside
    kept = within_reviewed(truth, found)
    assert set(np.unique(kept)) == {0, 2, 3}
    assert (kept[truth < 0] == 0).all()
    assert (kept[12:18, 2:8] == 2).all()
    known = np.where(truth < 0, 0, truth)
    assert np.array_equal(within_reviewed(known, found), found)
