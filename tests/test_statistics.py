import numpy as np
import pytest

from napari_nucleiseg.statistics import Difference, paired_bootstrap


def test_equal_results_do_not_differ():
    scores = np.linspace(0, 1, 20)
    found = paired_bootstrap(scores, scores)
    assert found == Difference(0.0, 0.0, 0.0, 20)
    assert found.words("A", "B").startswith("no significant difference between A and B")


def test_a_steady_gain_is_found_however_much_images_differ():
    rng = np.random.default_rng(0)
    other = rng.uniform(0, 1, 60)
    one = other + 0.02 + rng.normal(0, 0.01, 60)
    found = paired_bootstrap(one, other)
    assert found.is_significant
    assert found.low < 0.02 < found.high
    assert found.words("A", "B").startswith("A is better than B (+0.0")
    assert paired_bootstrap(other, one).words("B", "A").startswith("A is better than B (+0.0")


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        values = rng.normal(0.1, 1, 80)
        found = paired_bootstrap(values, np.zeros(80), seed)
        hits += found.low <= 0.1 <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).normal(size=30)
    assert paired_bootstrap(values, values * 0.5) == paired_bootstrap(values, values * 0.5)


@pytest.mark.parametrize(("one", "other"), [([1.0], [1.0, 2.0]), ([], []), ([[[1.0]]], [[[1.0]]])])
def test_what_is_no_pairs_is_refused(one, other):
    with pytest.raises(ValueError, match="no pairs"):
        paired_bootstrap(one, other)


def test_few_images_tell_nothing():
    found = paired_bootstrap([0.5, 0.6], [0.4, 0.5])
    assert not found.is_significant
    assert "too few images to tell A from B (2, and 6 are needed)" in found.words("A", "B")


def test_intervals_of_few_images_are_wide_enough():
    rng = np.random.default_rng(4)
    misses = 0
    for _ in range(200):
        found = paired_bootstrap(rng.normal(size=8), np.zeros(8))
        misses += found.is_significant
    # 5 % are meant; the plain percentile interval misses in 12 %
    assert misses / 200 < 0.09


def test_many_comparisons_widen_the_interval():
    values = np.random.default_rng(5).normal(0.1, 1, 60)
    one, many = (paired_bootstrap(values, np.zeros(60), comparisons=n) for n in (1, 45))
    assert many.low < one.low < one.high < many.high
    assert many.comparisons == 45


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(6)
    images = rng.normal(0.1, 0.01, 50)
    alike, apart = np.array([images] * 3), np.array([images, images * 0, -images])
    sure, unsure = (paired_bootstrap(x, np.zeros((3, 50))) for x in (alike, apart))
    assert sure.is_significant
    assert not unsure.is_significant
    assert (sure.images, sure.seeds) == (50, 3)
