"""Scores others can confirm: their published definitions, derived once more, on real predictions.

Predictions are those of the bundled model and true label images with planted errors. The functions
here follow the definitions step by step, from a full table of IoU, and share no code with the
package.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from damage import damage
from napari_nucleiseg import SegmentConfig, segment_now
from napari_nucleiseg.metrics import METRICS
from napari_nucleiseg.metrics._matching import THRESHOLDS, Overlaps
from napari_nucleiseg.metrics.average_precision import ap_at, average_precision
from napari_nucleiseg.metrics.f1 import f1
from napari_nucleiseg.metrics.precision import precision
from napari_nucleiseg.metrics.recall import recall
from napari_nucleiseg.samples import SAMPLES, read_sample

Pair = tuple[np.ndarray, np.ndarray]
CLOSE = {"abs": 1e-6}


@pytest.fixture(scope="module")
def pairs() -> dict[str, Pair]:
    """True label image and prediction, by name."""
    found: dict[str, Pair] = {}
    for name in SAMPLES:
        micrograph, truth = read_sample(name)
        found[f"{name}-model"] = truth, segment_now(micrograph, SegmentConfig(device="cpu")).labels
        for seed in (0, 1):
            labels = damage(truth, seed, each=seed + 1).labels
            found[f"{name}-{seed}"] = truth, np.roll(labels, seed, axis=1)
    return found


def all_iou(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(N, M) IoU of every true with every predicted nucleus, mask by mask."""
    found = [prediction == j for j in np.unique(prediction[prediction > 0])]
    rows = []
    for i in np.unique(truth[truth > 0]):
        mask = truth == i
        rows.append([(mask & other).sum() / (mask | other).sum() for other in found])
    return np.array(rows).reshape(len(rows), len(found))


def assigned(iou: np.ndarray, threshold: float) -> np.ndarray:
    """IoU of the matches, the most first and of those the best (StarDist and Cellpose)."""
    if not iou.size:
        return np.zeros(0)
    gain = (iou >= threshold) + iou / (2 * min(iou.shape))
    chosen = iou[linear_sum_assignment(gain, maximize=True)]
    return chosen[chosen >= threshold]


def stardist_counts(iou: np.ndarray, threshold: float) -> tuple[int, int, int, float]:
    """True positives, false positives, false negatives, and the sum of matched IoU."""
    matches = assigned(iou, threshold)
    tp = len(matches)
    return tp, iou.shape[1] - tp, iou.shape[0] - tp, float(matches.sum())


def stardist_scores(tp: int, fp: int, fn: int, total: float) -> dict[str, float]:
    """As of stardist.matching: what is 0 of 0 is 0."""
    return {
        "accuracy": tp / (tp + fp + fn) if tp else 0,
        "precision": tp / (tp + fp) if tp else 0,
        "recall": tp / (tp + fn) if tp else 0,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp else 0,
        "mean_matched_score": total / tp if tp else 0,
        "panoptic_quality": total / (tp + fp / 2 + fn / 2) if tp else 0,
    }


def our_scores(overlaps: Overlaps, threshold: float) -> dict[str, float]:
    """Ours by StarDist's names; those that have one threshold only at that one."""
    score = {
        "accuracy": lambda: float(ap_at(overlaps, [threshold])[0]),
        "precision": lambda: METRICS.module("precision").score(overlaps, threshold),
        "recall": lambda: METRICS.module("recall").score(overlaps, threshold),
        "f1": lambda: METRICS.module("f1").score(overlaps, threshold),
    }
    if threshold == 0.5:
        score["mean_matched_score"] = lambda: METRICS.module("segmentation_quality").score(overlaps)
        score["panoptic_quality"] = lambda: METRICS.module("panoptic").score(overlaps)
    return {name: compute() for name, compute in score.items()}


def test_predictions_are_neither_perfect_nor_worthless(pairs):
    scores = [METRICS["average_precision"]()(*pair) for pair in pairs.values()]
    assert len(scores) == 9
    assert 0.1 < min(scores) < max(scores) < 0.99


def test_stardist_matching(pairs):
    for truth, prediction in pairs.values():
        iou, overlaps = all_iou(truth, prediction), Overlaps.between(truth, prediction)
        for threshold in THRESHOLDS:
            expected = stardist_scores(*stardist_counts(iou, threshold))
            ours = our_scores(overlaps, threshold)
            assert ours == pytest.approx({name: expected[name] for name in ours}, **CLOSE)
        assert precision(truth, prediction, 0.7) == our_scores(overlaps, 0.7)["precision"]
        assert recall(truth, prediction, 0.7) == our_scores(overlaps, 0.7)["recall"]
        assert f1(truth, prediction, 0.7) == our_scores(overlaps, 0.7)["f1"]


def test_stardist_matching_dataset(pairs):
    """Its default pools the counts of all images; ``by_image=True`` is our mean."""
    tables = [all_iou(*pair) for pair in pairs.values()]
    overlaps = [Overlaps.between(*pair) for pair in pairs.values()]
    for threshold in THRESHOLDS:
        counts = [stardist_counts(iou, threshold) for iou in tables]
        pooled = stardist_scores(*(sum(values) for values in zip(*counts, strict=True)))
        ours = our_scores(Overlaps.joined(overlaps), threshold)
        assert ours == pytest.approx({name: pooled[name] for name in ours}, **CLOSE)
        each = [stardist_scores(*c) for c in counts]
        mean = {name: np.mean([our_scores(o, threshold)[name] for o in overlaps]) for name in ours}
        assert mean == pytest.approx(
            {name: np.mean([scores[name] for scores in each]) for name in ours}, **CLOSE
        )


def test_cellpose_average_precision(pairs):
    for truth, prediction in pairs.values():
        iou = all_iou(truth, prediction)
        tp = np.array([len(assigned(iou, t)) for t in THRESHOLDS])
        expected = tp / (tp + (iou.shape[1] - tp) + (iou.shape[0] - tp))
        assert average_precision(truth, prediction) == pytest.approx(expected, **CLOSE)


def kaggle_score(iou: np.ndarray) -> float:
    """Mean over thresholds of TP / (TP + FP + FN), where a hit has an IoU above the threshold."""
    scores = []
    for threshold in np.arange(50, 100, 5) / 100:
        hit = iou > threshold
        tp = (hit.sum(axis=1) == 1).sum()
        fp, fn = (hit.sum(axis=0) == 0).sum(), (hit.sum(axis=1) == 0).sum()
        scores.append(tp / (tp + fp + fn))
    return float(np.mean(scores))


def test_kaggle_2018(pairs):
    score = METRICS["average_precision"]()
    compared = 0
    for truth, prediction in pairs.values():
        iou = all_iou(truth, prediction)
        # at an IoU of just a threshold the two differ by definition, see below
        if not np.isclose(iou[..., None], THRESHOLDS, atol=1e-12).any():
            assert score(truth, prediction) == pytest.approx(kaggle_score(iou), **CLOSE)
            compared += 1
    assert compared >= 5


def test_at_just_the_threshold_kaggle_counts_no_hit():
    truth, prediction = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 0, 0]])
    assert average_precision(truth, prediction, [0.5])[0] == 1
    assert kaggle_score(all_iou(truth, prediction)) == 0


def test_without_nuclei_stardist_says_0_and_ours_is_1():
    empty = np.zeros((3, 3), int)
    assert stardist_scores(*stardist_counts(all_iou(empty, empty), 0.5))["accuracy"] == 0
    assert average_precision(empty, empty, [0.5])[0] == 1


def test_aggregated_jaccard_index(pairs):
    """Algorithm 1 of Kumar et al. 2017, line by line."""
    for truth, prediction in pairs.values():
        found = {j: prediction == j for j in np.unique(prediction[prediction > 0])}
        shared = united = 0
        used = set()
        for i in np.unique(truth[truth > 0]):
            mask = truth == i
            iou = {j: (mask & m).sum() / (mask | m).sum() for j, m in found.items()}
            best = max(iou, key=iou.__getitem__)
            if iou[best] > 0:
                shared += (mask & found[best]).sum()
                united += (mask | found[best]).sum()
                used.add(best)
            else:
                united += mask.sum()
        united += sum(m.sum() for j, m in found.items() if j not in used)
        ours = METRICS["aggregated_jaccard"]()(truth, prediction)
        assert ours == pytest.approx(shared / united, **CLOSE)


def test_aggregated_jaccard_can_be_read_off():
    truth = np.array([[1, 1, 1, 0, 2, 2, 0, 0]])
    prediction = np.array([[4, 4, 0, 0, 4, 4, 0, 9]])
    # 4 is the best of both: 2 of 5 and 2 of 4 pixels; 9 is of nobody
    assert METRICS["aggregated_jaccard"]()(truth, prediction) == 4 / (5 + 4 + 1)


@pytest.mark.slow
def test_monai_dice_and_iou(pairs):
    import torch
    from monai.metrics import compute_dice, compute_iou

    for truth, prediction in pairs.values():
        true, found = (torch.from_numpy(x > 0)[None, None] for x in (truth, prediction))
        # MONAI computes in 32 bits
        for name, compute in (("dice", compute_dice), ("iou", compute_iou)):
            expected = float(compute(found, true, include_background=True))
            assert METRICS[name]()(truth, prediction) == pytest.approx(expected, **CLOSE)


def test_panoptic_quality_is_the_product_of_its_parts(pairs):
    for pair in pairs.values():
        whole, *parts = (
            METRICS[name]()(*pair)
            for name in ("panoptic", "segmentation_quality", "recognition_quality")
        )
        assert whole == pytest.approx(np.prod(parts), **CLOSE)


# beside the repository, on the developers' machines only
BENCH = [folder / "shared" / "bench" / "score.py" for folder in Path(__file__).parents]
SCORER = next((path for path in BENCH if path.is_file()), None)


@pytest.mark.skipif(SCORER is None, reason="the independent scorer is not here")
def test_the_independent_scorer(pairs):
    spec = importlib.util.spec_from_file_location("independent_scorer", SCORER)
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    names = {
        "ap_kaggle": "average_precision",
        "pq": "panoptic",
        "f1": "f1",
        "fg_dice": "dice",
        "fg_iou": "iou",
    }
    for pair in pairs.values():
        theirs = scorer.score_image(*pair)
        ours = {name: METRICS[metric]()(*pair) for name, metric in names.items()}
        assert ours == pytest.approx({name: float(theirs[name]) for name in names}, **CLOSE)
        assert average_precision(*pair) == pytest.approx(theirs["ap"], **CLOSE)
    pooled = Overlaps.joined([Overlaps.between(*pair) for pair in pairs.values()])
    theirs = scorer.summarise([scorer.score_image(*pair) for pair in pairs.values()])
    assert ap_at(pooled) == pytest.approx(list(theirs["pooled_ap"].values()), **CLOSE)
    assert METRICS.module("panoptic").score(pooled) == pytest.approx(theirs["pooled_pq"], **CLOSE)
    assert METRICS.module("f1").score(pooled) == pytest.approx(theirs["pooled_f1"], **CLOSE)
