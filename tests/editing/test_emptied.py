"""What a person deleted stays deleted: emptied places, in a plane and in a stack."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleiseg import editing
from napari_nucleiseg.editing import Change, Emptying, State, as_runs, from_runs, nowhere
from napari_nucleiseg.errors import FileError


@settings(max_examples=80, deadline=None)
@given(wanted=st.sets(st.integers(0, 99)))
def test_runs_give_the_indices_back(wanted):
    indices = np.array(sorted(wanted), np.int64)
    runs = as_runs(indices)
    assert np.array_equal(from_runs(runs, 100, "state.json"), indices)
    assert len(runs) <= 2 * len(indices)


@pytest.mark.parametrize("runs", [[1], [5, 0], [-1, 2], [98, 5], [4, 3, 6, 2], ["a", 1]])
def test_runs_that_do_not_fit_are_refused(runs):
    with pytest.raises(FileError, match=r"state\.json"):
        from_runs(runs, 100, "state.json")


@settings(max_examples=60, deadline=None)
@given(images=st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=2, max_size=5))
def test_what_is_empty_is_what_was_emptied_last_and_undo_forgets_it(images):
    emptied, known = nowhere(), []
    expected = np.zeros(6, bool)
    for before, after in pairwise(images):
        change = Change.between(np.array(before), np.array(after))
        step = Emptying.by(change, emptied)
        known.append((step, emptied))
        emptied = step.apply(emptied)
        was, now = np.array(before) > 0, np.array(after) > 0
        expected = (expected | (was & ~now)) & ~now
        assert np.array_equal(emptied, np.flatnonzero(expected))
    for step, earlier in reversed(known):
        emptied = step.reverse().apply(emptied)
        assert np.array_equal(emptied, earlier)


@pytest.fixture(params=["plane", "stack"])
def found(request, fluorescence):
    """What a model finds, the same each time."""
    _, labels = fluorescence
    return labels if request.param == "plane" else np.stack([labels, labels, labels])


def edited(labels, change):
    """The label image after a person's change, and what that emptied."""
    after = labels.copy()
    change.apply(after)
    return after, Emptying.by(change, nowhere()).apply(nowhere())


def without(labels, number):
    return Change.between(labels, np.where(labels == number, 0, labels))


def test_a_deleted_nucleus_does_not_come_back(found):
    labels, emptied = edited(found, without(found, 3))
    merged, _ = editing.merge_prediction(found, labels, {}, None, emptied)
    assert np.array_equal(merged, labels)
    # without that it does
    assert (editing.merge_prediction(found, labels, {})[0] > 0).sum() == (found > 0).sum()


def test_nor_as_a_nucleus_that_looks_a_little_different(found):
    labels, emptied = edited(found, without(found, 3))
    prediction = found.copy()
    for axis in (-1, -2):
        moved = np.roll(found == 3, 2, axis)
        prediction[moved & (prediction == 0)] = 3
    half = (found == 3) & (np.arange(found.shape[-1]) % 2 == 0)
    prediction[half] = 999  # in pieces
    merged, _ = editing.merge_prediction(prediction, labels, {}, None, emptied)
    assert not merged[found == 3].any()


@pytest.mark.parametrize(("length", "comes"), [(4, False), (5, True)])
def test_a_larger_nucleus_may_reach_into_the_place(length, comes):
    prediction = np.zeros((1, 8), np.int32)
    prediction[0, 1 : 1 + length] = 4
    labels = np.array([[0, 0, 0, 0, 0, 0, 0, 9]], np.int32)
    emptied = np.array([1, 2])
    merged, _ = editing.merge_prediction(prediction, labels, {9: State.EDITED}, None, emptied)
    assert np.array_equal((merged > 0) & (merged != 9), (prediction > 0) & comes)


def test_a_shrunk_nucleus_stays_and_leaves_its_neighbour_room():
    # 5 had four pixels, two of which turn out to be of 6
    labels = np.array([[5, 5, 0, 0, 6, 6, 6]], np.int32)
    prediction = np.array([[5, 5, 6, 6, 6, 6, 6]], np.int32)
    merged, _ = editing.merge_prediction(
        prediction, labels, {5: State.EDITED}, None, np.array([2, 3])
    )
    assert merged.tolist() == [[5, 5, 6, 6, 6, 6, 6]]


def test_merged_and_split_nuclei_stay_as_they_are(fluorescence):
    _, labels = fluorescence
    rows, columns = np.nonzero(labels == 4)
    line = np.array([[rows.mean(), columns.min() - 2], [rows.mean(), columns.max() + 2]])
    change = editing.split_by_line(labels, 4, line)
    after, emptied = edited(labels, change)
    merged, _ = editing.merge_prediction(
        labels, after, dict.fromkeys(change.numbers, State.EDITED), None, emptied
    )
    assert np.array_equal(merged, after)
    back = editing.merge(after, *change.numbers)
    joined, emptied = edited(after, back)
    number = int(joined[labels == 4].max())
    merged, _ = editing.merge_prediction(after, joined, {number: State.EDITED}, None, emptied)
    assert np.array_equal(merged, joined)
