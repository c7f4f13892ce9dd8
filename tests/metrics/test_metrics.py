"""Metrics: equal to an independent scorer on realistic predictions, and lawful on any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.morphology import dilation, disk, erosion

from napari_nucleiseg.errors import SettingError, ShapeError
from napari_nucleiseg.metrics import METRICS, distances_of_outlines, scores_of_nuclei
from napari_nucleiseg.metrics._matching import THRESHOLDS, Overlaps
from napari_nucleiseg.metrics.average_precision import ap_at, average_precision
from napari_nucleiseg.metrics.dice import dice
from napari_nucleiseg.metrics.f1 import f1
from napari_nucleiseg.samples import read_sample

# What a segmentation gets wrong, each made from the true labels of a sample. The expected figures
# below were computed from these arrays with an independent scorer, so they must not change.


def grown(labels: np.ndarray) -> np.ndarray:
    """Every nucleus two pixels too large, the later one of two neighbours in front."""
    return dilation(labels, disk(2))


def shrunk(labels: np.ndarray) -> np.ndarray:
    """Nuclei cut down at every second number, by three pixels."""
    small = np.zeros_like(labels)
    for i in np.unique(labels[labels > 0]):
        mask = labels == i
        small[erosion(mask, disk(3)) if i % 2 else mask] = i
    return small


def merged(labels: np.ndarray) -> np.ndarray:
    """Foreground without any splitting: touching nuclei are one, and two bridges more."""
    filled = ndimage.binary_closing(labels > 0, iterations=3)
    return ndimage.label(filled)[0]


def dropped_and_shifted(labels: np.ndarray) -> np.ndarray:
    """Every fifth nucleus missed, the rest three pixels down and two to the right, extra specks."""
    kept = np.where(labels % 5 == 0, 0, labels)
    moved = np.zeros_like(kept)
    moved[3:, 2:] = kept[:-3, :-2]
    moved[5:12, 5:12] = labels.max() + 7
    moved[-9:-4, 40:52] = labels.max() + 900
    return moved


def split_up(labels: np.ndarray) -> np.ndarray:
    """Blurred foreground cut up between too many seeds, each pixel to the nearest."""
    inside = ndimage.gaussian_filter((labels > 0).astype(float), 1.5) > 0.45
    depth = ndimage.distance_transform_edt(inside)
    peaks = (ndimage.maximum_filter(depth, 5) == depth) & (depth > 2)
    seeds = ndimage.label(peaks)[0]
    y, x = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    return np.where(inside, seeds[y, x], 0)


PREDICTIONS = (grown, shrunk, merged, dropped_and_shifted, split_up)
SAMPLES = ("brightfield", "fluorescence", "stained")
CASES = [(sample, make) for sample in SAMPLES for make in PREDICTIONS]
# fmt: off
# true and found nuclei, matches at IoU 0.50 ... 0.95,
# Dice, IoU, mean AP, F1, PQ
EXPECTED = {
    ("brightfield", "dropped_and_shifted"): (
        20, 18, [10, 8, 5, 3, 0, 0, 0, 0, 0, 0],
        0.6256444743, 0.4552275322, 0.0861038961, 0.5263157895, 0.3167216897,
    ),
    ("brightfield", "grown"): (
        20, 20, [14, 14, 14, 14, 8, 2, 0, 0, 0, 0],
        0.8300739523, 0.7095097626, 0.2456477733, 0.7, 0.4995326529,
    ),
    ("brightfield", "merged"): (
        20, 16, [14, 14, 14, 14, 14, 14, 14, 14, 14, 14],
        0.9971324038, 0.9942812069, 0.6363636364, 0.7777777778, 0.7759709653,
    ),
    ("brightfield", "shrunk"): (
        20, 19, [12, 11, 11, 10, 10, 10, 10, 10, 10, 10],
        0.8483812130, 0.7366858048, 0.3643951834, 0.6153846154, 0.5710669461,
    ),
    ("brightfield", "split_up"): (
        20, 26, [17, 16, 14, 14, 13, 12, 10, 10, 10, 9],
        0.9911347518, 0.9824253076, 0.3817997377, 0.7391304348, 0.6275380152,
    ),
    ("fluorescence", "dropped_and_shifted"): (
        22, 20, [16, 16, 16, 16, 16, 15, 15, 3, 0, 0],
        0.8787346707, 0.7836991369, 0.4264957265, 0.7619047619, 0.6319471370,
    ),
    ("fluorescence", "grown"): (
        22, 22, [22, 21, 20, 19, 19, 19, 19, 17, 0, 0],
        0.9354630044, 0.8787510517, 0.6416006441, 1.0, 0.8261035751,
    ),
    ("fluorescence", "merged"): (
        22, 16, [13, 12, 12, 12, 10, 10, 9, 8, 8, 6],
        0.9844415285, 0.9693597722, 0.3650079260, 0.6842105263, 0.5961374589,
    ),
    ("fluorescence", "shrunk"): (
        22, 21, [19, 19, 19, 19, 18, 18, 13, 11, 11, 11],
        0.9501165762, 0.9049734043, 0.6071250000, 0.8837209302, 0.7979358196,
    ),
    ("fluorescence", "split_up"): (
        22, 57, [12, 9, 9, 8, 8, 7, 7, 7, 7, 7],
        0.9942081879, 0.9884830796, 0.1147710559, 0.3037974684, 0.2477326520,
    ),
    ("stained", "dropped_and_shifted"): (
        34, 30, [19, 15, 11, 4, 1, 1, 0, 0, 0, 0],
        0.6686993039, 0.5022902083, 0.1034304539, 0.59375, 0.3598695089,
    ),
    ("stained", "grown"): (
        34, 34, [32, 31, 30, 24, 16, 3, 0, 0, 0, 0],
        0.8339962875, 0.7152604048, 0.3415501110, 0.9411764706, 0.6453589410,
    ),
    ("stained", "merged"): (
        34, 20, [17, 17, 17, 15, 14, 13, 10, 10, 10, 10],
        0.9709160386, 0.9434760186, 0.3339157843, 0.6296296296, 0.5546587897,
    ),
    ("stained", "shrunk"): (
        34, 33, [21, 19, 17, 17, 17, 17, 17, 17, 17, 17],
        0.8245920020, 0.7015368309, 0.3572355072, 0.6268656716, 0.5711337345,
    ),
    ("stained", "split_up"): (
        34, 79, [21, 20, 18, 18, 18, 18, 17, 15, 14, 9],
        0.9879947575, 0.9762743473, 0.1759306531, 0.3716814159, 0.3287147806,
    ),
}
# fmt: on
MEAN = {
    "fg_dice": 0.8881019435,
    "fg_iou": 0.8161489246,
    "ap_kaggle": 0.3454248726,
    "f1": 0.6770230328,
    "pq": 0.5566948444,
}
POOLED_AP = [
    0.4692028986,
    0.4253075571,
    0.3886986301,
    0.3427152318,
    0.2893481717,
    0.2438650307,
    0.2104477612,
    0.1770682148,
    0.1422535211,
    0.1295264624,
]
POOLED_F1, POOLED_PQ = 0.6387176326, 0.5213243977


@pytest.mark.parametrize(("sample", "make"), CASES, ids=lambda v: getattr(v, "__name__", v))
def test_agrees_with_the_independent_scorer(sample, make):
    truth = read_sample(sample)[1]
    prediction = make(truth)
    n_true, n_found, hits, dice_, iou, ap, f1_, pq = EXPECTED[sample, make.__name__]
    table = Overlaps.between(truth, prediction)
    assert (len(table.true_areas), len(table.found_areas)) == (n_true, n_found)
    assert [len(table.matched(t)) for t in THRESHOLDS] == hits
    assert table.true_ids.tolist() == [i for i in np.unique(truth) if i]
    assert table.found_ids.tolist() == [i for i in np.unique(prediction) if i]
    expected = {
        "dice": dice_,
        "iou": iou,
        "average_precision": ap,
        "f1": f1_,
        "panoptic": pq,
        "precision": hits[0] / n_found,
        "recall": hits[0] / n_true,
        "recognition_quality": f1_,
        "segmentation_quality": pq / f1_,
    }
    found = {name: METRICS[name]()(truth, prediction) for name in expected}
    assert found == pytest.approx(expected, abs=1e-9)
    assert {name: METRICS.module(name).score(table) for name in expected} == found


def test_means_and_pooled_scores_agree_with_the_independent_scorer():
    tables = []
    for sample, make in CASES:
        truth = read_sample(sample)[1]
        tables.append(Overlaps.between(truth, make(truth)))
    names = {"fg_dice": "dice", "fg_iou": "iou", "ap_kaggle": "average_precision"}
    for name, expected in MEAN.items():
        name = {**names, "pq": "panoptic"}.get(name, name)
        scores = [METRICS.module(name).score(t) for t in tables]
        assert np.mean(scores) == pytest.approx(expected, abs=1e-9)
    pooled = Overlaps.joined(tables)
    assert ap_at(pooled) == pytest.approx(POOLED_AP, abs=1e-9)
    assert METRICS.module("f1").score(pooled) == pytest.approx(POOLED_F1, abs=1e-9)
    assert METRICS.module("panoptic").score(pooled) == pytest.approx(POOLED_PQ, abs=1e-9)


LABELS = arrays(
    np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 5)
)


@st.composite
def two_label_images(draw):
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=9))
    few = st.integers(0, draw(st.integers(0, 5)))
    return tuple(draw(arrays(np.int32, shape, elements=few)) for _ in range(2))


# what a score becomes where truth and prediction change places, if not itself
SWAPPED = {"precision": "recall", "recall": "precision"}


def test_every_metric_is_a_score_or_a_distance():
    assert sorted([*scores_of_nuclei(), *distances_of_outlines()]) == METRICS.names()
    assert distances_of_outlines() == ["hausdorff_95", "surface_distance"]


def has_ties(truth, prediction):
    """Whether a true nucleus has two best predictions."""
    table = Overlaps.between(truth, prediction)
    ious = np.zeros((len(table.true_areas), len(table.found_areas)))
    shared = table.shared
    united = table.true_areas[table.rows] + table.found_areas[table.columns] - shared
    ious[table.rows, table.columns] = shared / united
    return any((row == row.max()).sum() > 1 for row in ious if row.size and row.max() > 0)


@pytest.mark.parametrize("name", scores_of_nuclei())
class TestLaws:
    @settings(max_examples=50)
    @given(labels=LABELS)
    def test_perfect_prediction_scores_one(self, name, labels):
        assert METRICS[name]()(labels, labels) == 1

    @settings(max_examples=50)
    @given(
        pair=two_label_images(), numbers=st.permutations(range(1, 6)), factor=st.integers(1, 10**8)
    )
    def test_numbers_of_the_labels_do_not_matter(self, name, pair, numbers, factor):
        truth, prediction = pair
        # by its definition a nucleus takes one of several that fit it equally well
        assume(name != "aggregated_jaccard" or not has_ties(truth, prediction))
        renamed = (np.array([0, *numbers]) * factor).astype(np.int32)[prediction]
        score = METRICS[name]()
        assert score(truth, renamed) == pytest.approx(score(truth, prediction))

    @settings(max_examples=50)
    @given(pair=two_label_images())
    def test_lies_between_zero_and_one(self, name, pair):
        assert 0 <= METRICS[name]()(*pair) <= 1

    def test_nothing_found_where_nothing_is_scores_one(self, name):
        empty = np.zeros((4, 5), np.int32)
        assert METRICS[name]()(empty, empty) == 1

    def test_nothing_found_or_nothing_there_scores_zero(self, name):
        empty, full = np.zeros((4, 5), np.int32), np.ones((4, 5), np.int32)
        assert METRICS[name]()(full, empty) == METRICS[name]()(empty, full) == 0

    @settings(max_examples=50)
    @given(pair=two_label_images())
    def test_a_table_gives_what_the_images_give(self, name, pair):
        table = Overlaps.between(*pair)
        assert METRICS.module(name).score(table) == METRICS[name]()(*pair)


# the aggregated Jaccard index looks from the side of the truth
@pytest.mark.parametrize("name", [n for n in scores_of_nuclei() if n != "aggregated_jaccard"])
@settings(max_examples=50)
@given(pair=two_label_images())
def test_truth_and_prediction_may_change_places(name, pair):
    truth, prediction = pair
    score, swapped = METRICS[name](), METRICS[SWAPPED.get(name, name)]()
    assert score(truth, prediction) == pytest.approx(swapped(prediction, truth))


@pytest.mark.parametrize("name", METRICS.names())
def test_has_a_line_for_the_help(name):
    assert METRICS.description(name) != name


@given(pair=two_label_images())
def test_overlaps_are_what_counting_pixel_by_pixel_gives(pair):
    truth, prediction = pair
    table = Overlaps.between(truth, prediction)
    true_ids = [i for i in np.unique(truth) if i > 0]
    found_ids = [i for i in np.unique(prediction) if i > 0]
    assert table.true_areas.tolist() == [(truth == i).sum() for i in true_ids]
    assert table.found_areas.tolist() == [(prediction == i).sum() for i in found_ids]
    counted = {
        (i, j): n
        for i, t in enumerate(true_ids)
        for j, p in enumerate(found_ids)
        if (n := int(((truth == t) & (prediction == p)).sum()))
    }
    pairs = zip(table.rows.tolist(), table.columns.tolist(), strict=True)
    assert dict(zip(pairs, table.shared.tolist(), strict=True)) == counted


@given(pair=two_label_images(), threshold=st.sampled_from(THRESHOLDS))
def test_matches_are_as_many_and_as_good_as_an_assignment_finds(pair, threshold):
    from scipy.optimize import linear_sum_assignment

    table = Overlaps.between(*pair)
    iou = np.zeros((len(table.true_areas), len(table.found_areas)))
    iou[table.rows, table.columns] = table.iou
    good = np.where(iou >= threshold, 1 + iou / (1 + iou.size), 0)
    at = linear_sum_assignment(good, maximize=True)
    matched = table.matched(threshold)
    assert len(matched) == (good[at] > 0).sum()
    assert matched.sum() == pytest.approx(iou[at][good[at] > 0].sum())


def test_two_halves_of_a_nucleus_are_one_match():
    truth = np.array([[7, 7, 7, 7, 0, 3]])
    halves = np.array([[1, 1, 2, 2, 0, 5]])
    assert average_precision(truth, halves, [0.5])[0] == pytest.approx(2 / 3)
    assert average_precision(halves, truth, [0.5])[0] == pytest.approx(2 / 3)
    assert f1(truth, halves, 0.55) == pytest.approx(2 / 5)


def test_answer_that_can_be_read_off():
    truth = np.array([[1, 1, 0, 0], [1, 1, 0, 2]])
    prediction = np.array([[4, 4, 0, 0], [4, 0, 0, 0]])
    assert dice(truth, prediction) == pytest.approx(2 * 3 / 8)
    assert average_precision(truth, prediction, [0.5, 0.75, 0.8]).tolist() == [0.5, 0.5, 0]


def test_a_band_border_changes_nothing(monkeypatch):
    truth = read_sample("fluorescence")[1]
    prediction = grown(truth)
    whole = Overlaps.between(truth, prediction)
    monkeypatch.setattr("napari_nucleiseg.metrics._matching._BAND_PX", 1000)
    banded = Overlaps.between(truth, prediction)
    for name, values in vars(whole).items():
        assert np.array_equal(values, getattr(banded, name))


@pytest.mark.slow
def test_seventy_thousand_nuclei_are_told_apart():
    y, x = np.ogrid[:2650, :2650]
    truth = np.where((y % 10 < 8) & (x % 10 < 8), 265 * (y // 10) + x // 10 + 1, 0)
    assert truth.max() == 70_225
    table = Overlaps.between(truth, np.roll(truth, 1, axis=1))
    assert len(table.matched(0.5)) == 70_225


def test_sizes_that_differ_are_named():
    with pytest.raises(ShapeError, match=r"\(2, 3\) and \(3, 2\)"):
        dice(np.zeros((2, 3), int), np.zeros((3, 2), int))


def test_threshold_below_a_half_is_refused():
    with pytest.raises(SettingError, match=r"0\.3"):
        f1(np.ones((2, 2), int), np.ones((2, 2), int), 0.3)
