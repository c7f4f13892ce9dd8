from __future__ import annotations

import numpy as np
from blobs import blobs
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleiseg import editing
from napari_nucleiseg.editing import State


@settings(max_examples=60, deadline=None)
@given(old=st.integers(0, 999), new=st.integers(0, 999), kept=st.integers(0, 2**7))
def test_what_a_person_decided_survives_a_new_prediction(old, new, kept):
    labels, prediction = blobs(old), np.maximum(blobs(new), 0)
    numbers = np.unique(labels[labels > 0]).tolist()
    states = {n: State(1 + i % 2) for i, n in enumerate(numbers) if kept >> i & 1}
    merged, after = editing.merge_prediction(prediction, labels, states)
    assert after == states
    for number in states:
        assert np.array_equal(merged == number, labels == number)
    assert np.array_equal(merged < 0, (labels < 0) & (merged <= 0))
    added = (merged > 0) & ~np.isin(merged, list(states))
    assert not (added & (prediction == 0)).any()
    # one nucleus of the prediction gives at most one
    pairs = np.unique(np.stack([merged[added], prediction[added]]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_a_prediction_that_repeats_itself_changes_nothing(fluorescence):
    _, labels = fluorescence
    states = {3: State.CONFIRMED, 7: State.EDITED}
    merged, after = editing.merge_prediction(labels, labels, states)
    assert np.array_equal(merged, labels)
    assert after == states


def test_what_is_mostly_taken_is_dropped_and_numbers_stay():
    labels = np.array([[5, 5, 5, 0, 0, 0, 2, 2]], np.int32)
    prediction = np.array([[0, 1, 1, 1, 0, 0, 9, 9]], np.int32)
    merged, _ = editing.merge_prediction(prediction, labels, {5: State.CONFIRMED})
    assert merged.tolist() == [[5, 5, 5, 0, 0, 0, 2, 2]]


def test_nothing_is_added_where_a_person_has_looked():
    labels = np.array([[5, 5, 0, 0, 0, 0, 2, 2]], np.int32)
    prediction = np.array([[0, 0, 0, 4, 4, 0, 0, 0]], np.int32)
    reviewed = np.arange(8)[None] < 5
    merged, _ = editing.merge_prediction(prediction, labels, {}, reviewed)
    assert merged.tolist() == [[5, 5, 0, 0, 0, 0, 0, 0]]


def test_in_a_plane_of_a_stack_new_nuclei_take_no_number_of_other_planes():
    labels = np.array([[5, 5, 0, 0, 0, 0, 2, 2]], np.int32)
    prediction = np.array([[3, 3, 0, 4, 4, 0, 1, 1]], np.int32)
    states = {5: State.CONFIRMED}
    merged, after = editing.merge_prediction(prediction, labels, states, taken=40)
    assert merged.tolist() == [[5, 5, 0, 41, 41, 0, 2, 2]]
    assert after == states
    # of one that is gone here, others may be left there
    prediction[prediction == 1] = 0
    merged, _ = editing.merge_prediction(prediction, labels, states, taken=40)
    assert merged.tolist() == [[5, 5, 0, 41, 41, 0, 0, 0]]


def test_a_stack_is_merged_as_one(fluorescence):
    _, labels = fluorescence
    stack = np.stack([labels, labels])
    prediction = np.where(stack == 7, 0, stack)
    number = int(labels[labels > 0].min())
    # what cuts a predicted nucleus leaves one piece of it, through all planes
    prediction[:, :, ::2][stack[:, :, ::2] == number] = 0
    merged, after = editing.merge_prediction(prediction, stack, {7: State.EDITED})
    assert np.array_equal(merged == 7, stack == 7)
    assert after == {7: State.EDITED}
    assert np.array_equal(merged[0], merged[1])


def test_states_follow_changes():
    labels = np.array([[1, 1, 2, 2, 0, 3]], np.int32)
    states = {2: State.CONFIRMED, 3: State.CONFIRMED}
    change = editing.merge(labels, 1, 2)
    change.apply(labels)
    states = editing.keep_states(states, change, labels)
    assert states == {1: State.EDITED, 3: State.CONFIRMED}
    assert editing.state_image(labels, states).tolist() == [[2, 2, 2, 2, 0, 3]]
    assert editing.state_image(labels, {}).max() == 1 + State.PREDICTED
