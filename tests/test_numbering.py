import numpy as np
import pytest

from napari_nucleiseg.numbering import keep_numbers

EARLIER = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2], [0, 0, 0, 0, 0], [3, 3, 0, 0, 0]])


def test_the_same_nuclei_keep_their_numbers_whatever_they_are(fluorescence):
    _, labels = fluorescence
    table = np.concatenate([[0], 1 + np.random.default_rng(0).permutation(labels.max())])
    shuffled = table[labels].astype(np.int32)
    assert np.array_equal(keep_numbers(shuffled, labels), labels)


def test_a_nucleus_keeps_its_number_where_most_of_it_was():
    labels = np.array(
        [[2, 2, 0, 1, 1], [2, 2, 2, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 3, 3]], np.int32
    )
    kept = keep_numbers(labels, EARLIER)
    expected = [[1, 1, 0, 2, 2], [1, 1, 1, 2, 0], [0, 0, 0, 0, 0], [0, 0, 0, 3, 3]]
    assert np.array_equal(kept, expected)
    assert kept.dtype == np.int32


def test_of_a_split_nucleus_the_larger_piece_keeps_the_number():
    labels = np.array(
        [[1, 2, 0, 0, 0], [2, 2, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32
    )
    kept = keep_numbers(labels, EARLIER)
    assert kept[1, 1] == 1
    assert kept[0, 0] == 2


@pytest.mark.parametrize(
    "earlier", [np.zeros((4, 5), int), -np.ones((4, 5), int), np.ones((2, 2), int)]
)
def test_where_nothing_was_numbers_stay(earlier):
    labels = EARLIER.astype(np.int32)
    assert np.array_equal(keep_numbers(labels, earlier), labels)


@pytest.mark.parametrize("seed", range(20))
def test_the_partition_stays(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 9, (12, 12)).astype(np.int32)
    earlier = random.integers(-1, 9, (12, 12))
    kept = keep_numbers(labels, earlier)
    pairs = {(int(a), int(b)) for a, b in zip(labels.ravel(), kept.ravel(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert (0, 0) in pairs
