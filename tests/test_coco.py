"""Mask AP: that of COCO's definition, derived once more, on real label images with errors."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from damage import damage
from napari_nucleiseg.coco import as_detections, mask_ap
from napari_nucleiseg.errors import DependencyError, ShapeError
from napari_nucleiseg.samples import SAMPLES, read_sample

coco = pytest.importorskip("pycocotools", reason="the extra [coco] is not installed")


def by_definition(truths, predictions, most: int) -> list[float]:
    """AP at each IoU threshold: greedy matches by score, interpolated at 101 recalls."""
    tables = []
    for truth, detections in zip(truths, predictions, strict=True):
        masks = [truth == i for i in np.unique(truth) if i > 0]
        ranked = sorted(detections, key=lambda d: -d.score)[:most]
        table = []
        for detection in ranked:
            mask = np.zeros(truth.shape, bool)
            mask[detection.window] = detection.mask
            table.append([(mask & m).sum() / (mask | m).sum() for m in masks])
        tables.append((table, [d.score for d in ranked]))
    result = []
    for threshold in np.linspace(0.5, 0.95, 10):
        hits: list[tuple[float, bool]] = []
        for table, scores in tables:
            free = set(range(len(table[0])))
            for row, score in zip(table, scores, strict=True):
                best = max(free, key=row.__getitem__, default=None)
                hit = best is not None and row[best] >= threshold
                free -= {best} if hit else set()
                hits.append((score, hit))
        hits.sort(key=lambda pair: -pair[0])
        tp = np.cumsum([hit for _, hit in hits])
        recall = tp / sum(len(np.unique(t[t > 0])) for t in truths)
        precision = tp / np.arange(1, len(tp) + 1)
        best_beyond = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(recall, np.linspace(0, 1, 101))
        result.append(float(np.mean([best_beyond[i] if i < len(tp) else 0.0 for i in at])))
    return result


@pytest.fixture(scope="module")
def images():
    """True label images of all samples, and detections with errors and random scores."""
    rng = np.random.default_rng(5)
    truths = [read_sample(name)[1] for name in SAMPLES]
    predictions = []
    for seed, truth in enumerate(truths):
        labels = np.roll(damage(truth, seed).labels, 2, axis=0)
        scores = {int(i): float(rng.random()) for i in np.unique(labels)}
        predictions.append(as_detections(labels, scores))
    return truths, predictions


@pytest.mark.slow
@pytest.mark.parametrize("most", [100, 15])
def test_it_is_the_definition(images, most):
    expected = by_definition(*images, most)
    found = mask_ap(*images, most_per_image=most)
    assert 0 < expected[5] < expected[0] < 1
    assert found == pytest.approx(
        {"ap": np.mean(expected), "ap50": expected[0], "ap75": expected[5]}, abs=1e-6
    )


def test_a_perfect_prediction_scores_one_and_none_scores_zero(images):
    truths = images[0]
    assert mask_ap(truths, [as_detections(t) for t in truths])["ap"] == pytest.approx(1)
    assert mask_ap(truths, [[] for _ in truths])["ap"] == 0


def test_without_a_true_nucleus_there_is_no_score(images):
    empty = [np.zeros_like(truth) for truth in images[0]]
    assert np.isnan(mask_ap(empty, images[1])["ap"])


def test_detections_where_truth_is_ignored_do_no_harm():
    truth = np.zeros((20, 40), np.int32)
    truth[5:15, 5:15] = 1
    extra = truth.copy()
    extra[5:15, 25:35] = 2
    # the extra one is the surer one, so that it would halve the precision
    detections = as_detections(extra, {1: 0.5, 2: 0.9})
    assert mask_ap([truth], [detections])["ap"] == pytest.approx(0.5)
    truth[:, 20:] = -1
    assert mask_ap([truth], [detections])["ap"] == pytest.approx(1)


def test_as_many_images_of_both():
    with pytest.raises(ShapeError, match="1 and 0"):
        mask_ap([np.ones((2, 2), int)], [])


def test_without_pycocotools_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(DependencyError, match=r"napari-nucleiseg\[coco\]"):
        mask_ap([], [])
