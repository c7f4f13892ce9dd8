"""Two models on the same images: differences, intervals, words."""

from __future__ import annotations

import numpy as np
import pytest

from damage import damage
from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.evaluation import Evaluated, evaluate
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.model_comparison import LEAST_IMAGES, compare_models
from napari_nucleiseg.samples import read_sample


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, Evaluated]:
    """Eight parts of samples: the true nuclei as they are, moved, and moved by some more."""
    place = tmp_path_factory.mktemp("models")
    number = 0
    for name in ("fluorescence", "stained"):
        whole = read_sample(name)[1]
        for y in (0, 100):
            for x in (0, 120):
                truth = whole[y : y + 140, x : x + 140].astype(np.int32)
                for model, made in (
                    ("true", truth),
                    ("good", np.roll(truth, 1, 0)),
                    ("bad", np.roll(truth, 1 + number % 4, 1)),
                ):
                    write_labels(place / model / f"{number}.png", made)
                number += 1
    found = {}
    for model in ("true", "good", "bad"):
        *_, found[model] = evaluate(place / model, place / "true")
    return found


def by_name(compared):
    return {score.name: score for score in compared.scores}


def test_the_better_model_is_named(results):
    compared = compare_models(results["true"], results["bad"], ("new", "old"))
    scores = by_name(compared)
    assert compared.scores[0].name == "average_precision"
    ap = scores["average_precision"]
    assert ap.one == 1
    assert ap.difference.mean == pytest.approx(1 - ap.other)
    assert 0 < ap.difference.low < ap.difference.mean < ap.difference.high
    assert "new is better on 8, old on 0 of 8 images" in compared.words()
    assert ap.words("new", "old").startswith("AP: new")


def test_the_other_way_round_signs_turn(results):
    one = compare_models(results["good"], results["bad"], ("good", "bad"))
    other = compare_models(results["bad"], results["good"], ("bad", "good"))
    for a, b in zip(one.scores, other.scores, strict=True):
        assert (a.one, a.other) == (b.other, b.one)
        assert a.difference.mean == pytest.approx(-b.difference.mean)
    for name, row in one.kinds.items():
        for column, count in row.items():
            assert other.kinds[column][name] == count


def test_of_distances_the_smaller_one_is_better(results):
    distance = by_name(compare_models(results["true"], results["bad"], ("new", "old")))[
        "hausdorff_95_px"
    ]
    assert distance.smaller_is_better
    assert distance.one == 0 < distance.other
    assert distance.difference.high < 0
    assert distance.words("new", "old").startswith("HD95 (px), smaller is better: new is better")


def test_equal_models_do_not_differ(results):
    compared = compare_models(results["good"], results["good"], ("a", "b"))
    for score in compared.scores:
        assert (score.difference.mean, score.difference.low, score.difference.high) == (0, 0, 0)
    assert sum(n for row in compared.kinds.values() for n in row.values()) == (
        results["good"].summaries["all"].true_count
    )
    assert all(set(row) == {name} for name, row in compared.kinds.items())


def test_few_images_tell_nothing(results, tmp_path):
    truth = read_sample("stained")[1]
    for model, made in (("true", truth), ("one", truth), ("two", damage(truth, 0).labels)):
        write_labels(tmp_path / model / "a.png", made)
    found = []
    for model in ("one", "two"):
        *_, result = evaluate(tmp_path / model, tmp_path / "true")
        found.append(result)
    words = compare_models(*found, ("one", "two")).words()
    assert LEAST_IMAGES > 1
    assert "1 images are too few to tell" in words


def test_models_with_other_images_are_refused(results, tmp_path):
    truth = read_sample("stained")[1]
    write_labels(tmp_path / "x" / "else.png", truth)
    *_, other = evaluate(tmp_path / "x", tmp_path / "x")
    with pytest.raises(SettingError, match=r"same images: 0, 1, 2, 3, 4\. Segment"):
        compare_models(results["good"], other, ("a", "b"))


def test_a_row_for_each_image_and_score(results):
    compared = compare_models(results["good"], results["bad"], ("a", "b"))
    rows = compared.differences()
    assert {len(column) for column in rows.values()} == {8 * len(compared.scores)}
    assert [name for name, _, _ in compared.images()] == [str(i) for i in range(8)]
    at = [i for i, score in enumerate(rows["score"]) if score == "average_precision"]
    assert [rows["one"][i] for i in at] == [one for _, one, _ in compared.images()]
