from __future__ import annotations

import numpy as np
import pytest
from blobs import blobs
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import disk, line

from napari_nucleiseg import editing
from napari_nucleiseg.errors import SettingError

TOUCHING = np.ones((3, 3))


def dumbbell(gap: int = 0) -> np.ndarray:
    labels = np.zeros((30, 50), np.int32)
    labels[disk((15, 14), 9)] = 3
    labels[disk((15, 31 + gap), 9)] = 3
    return labels


images = st.integers(0, 10_000).map(blobs)


def some_number(labels, data) -> int:
    numbers = np.unique(labels[labels > 0]).tolist()
    assume(numbers)
    return data.draw(st.sampled_from(numbers))


def perform(name, labels, number, data):
    if name == "merge":
        other = some_number(labels, data)
        return editing.merge(labels, number, other)
    if name == "split_by_line":
        points = data.draw(st.lists(st.tuples(*[st.floats(-5, 45)] * 2), min_size=2, max_size=4))
        return editing.split_by_line(labels, number, points, width_px=data.draw(st.integers(0, 3)))
    return getattr(editing, name)(labels, number)


OPERATIONS = (
    "delete",
    "merge",
    "split_by_line",
    "split_at_waist",
    "split_into_pieces",
    "fill_holes",
    "smooth",
    "grow",
    "shrink",
)


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=40, deadline=None)
@given(labels=images, data=st.data())
def test_others_stay_and_undo_restores_exactly(name, labels, data):
    number = some_number(labels, data)
    original = labels.copy()
    try:
        change = perform(name, labels, number, data)
    except SettingError:
        assert np.array_equal(labels, original)
        return
    assert np.array_equal(labels, original)
    assert (change.before != change.after).all()
    change.apply(labels)
    old = set(np.unique(original).tolist())
    mine = {number} | (set(change.numbers) if name == "merge" else set())
    for other in old - mine - {0}:
        assert np.array_equal(labels == other, original == other)
    added = set(np.unique(labels).tolist()) - old
    assert not added or name.startswith("split")
    change.revert(labels)
    assert np.array_equal(labels, original)


@pytest.mark.parametrize("name", ["split_by_line", "split_at_waist", "split_into_pieces"])
@settings(max_examples=40, deadline=None)
@given(labels=images, data=st.data())
def test_the_parts_of_a_split_are_the_nucleus(name, labels, data):
    number = some_number(labels, data)
    mask = labels == number
    try:
        if name == "split_by_line":
            points = data.draw(
                st.lists(st.tuples(*[st.floats(-5, 45)] * 2), min_size=2, max_size=4)
            )
            change = editing.split_by_line(labels, number, points, taken=(77,))
        else:
            change = getattr(editing, name)(labels, number, taken=(77,))
    except SettingError:
        return
    change.apply(labels)
    parts = np.unique(labels[mask])
    assert (parts > 0).all()
    assert number in parts
    assert all(n > 77 for n in parts if n != number)
    sizes = {int(n): int((labels == n).sum()) for n in parts}
    assert sizes[number] == max(sizes.values())
    assert all((labels == n).sum() == ((labels == n) & mask).sum() for n in parts)


@settings(max_examples=30, deadline=None)
@given(labels=images, data=st.data())
def test_growing_and_filling_only_add_and_shrinking_only_removes(labels, data):
    number = some_number(labels, data)
    mask = labels == number
    for name, kept in (("grow", mask), ("fill_holes", mask)):
        after = labels.copy()
        getattr(editing, name)(labels, number).apply(after)
        assert (after == number)[kept].all()
    after = labels.copy()
    try:
        editing.shrink(labels, number).apply(after)
    except SettingError:
        return
    assert not ((after == number) & ~mask).any()


@settings(max_examples=30, deadline=None)
@given(labels=images)
def test_renumbering_keeps_the_partition(labels):
    change, table = editing.renumber(labels)
    after = labels.copy()
    change.apply(after)
    assert sorted(table.values()) == list(range(1, len(table) + 1))
    for old, new in table.items():
        assert np.array_equal(labels == old, after == new)
    assert np.array_equal(labels < 0, after < 0)


def test_a_nucleus_with_a_waist_falls_in_two_there():
    labels = dumbbell()
    editing.split_at_waist(labels, 3).apply(labels)
    assert np.unique(labels).tolist() == [0, 3, 4]
    assert (labels[:, :21] != labels[15, 32]).all()
    assert (labels[:, 25:] != labels[15, 14]).all()


def test_a_round_nucleus_has_no_waist():
    labels = np.zeros((30, 30), np.int32)
    labels[disk((15, 15), 10)] = 1
    assert editing.waist_depth(labels == 1) < 0.1
    assert editing.waist_depth(dumbbell() == 3) > 0.3
    with pytest.raises(SettingError, match="no waist"):
        editing.split_at_waist(labels, 1)


def test_a_drawn_line_cuts_and_leaves_as_wide_a_gap_as_asked():
    labels = np.zeros((12, 20), np.int32)
    labels[1:11, 1:19] = 5
    cut = labels.copy()
    editing.split_by_line(labels, 5, [(-3, 9), (14, 9)], width_px=3).apply(cut)
    assert np.unique(cut).tolist() == [0, 5, 6]
    assert (cut[5] == 0).sum() == 2 + 3
    diagonal = labels.copy()
    editing.split_by_line(labels, 5, [(0, 2), (11, 13)]).apply(diagonal)
    assert np.array_equal(diagonal > 0, labels > 0)


def test_a_line_that_ends_inside_is_refused():
    labels = dumbbell()
    with pytest.raises(SettingError, match="does not cut"):
        editing.split_by_line(labels, 3, [(0, 14), (14, 14)])


@pytest.mark.parametrize("gap", [0, 1, 3, 5])
def test_merging_closes_a_small_gap(gap):
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 4:14] = 2
    labels[5:15, 14 + gap : 24 + gap] = 9
    editing.merge(labels, 2, 9).apply(labels)
    assert np.unique(labels).tolist() == [0, 2]
    assert ndimage.label(labels, TOUCHING)[1] == 1
    assert (labels[10, 4 : 24 + gap] == 2).all()


def test_merging_far_apart_is_refused_unless_asked_for():
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 4:10] = 2
    labels[5:15, 20:30] = 9
    with pytest.raises(SettingError, match="10 px apart"):
        editing.merge(labels, 2, 9)
    before = labels > 0
    editing.merge(labels, 2, 9, apart=True).apply(labels)
    assert np.array_equal(labels == 2, before)


def test_merging_does_not_go_through_a_third_nucleus():
    labels = np.zeros((20, 40), np.int32)
    labels[:, 4:14] = 2
    labels[:, 14:17] = 7
    labels[:, 17:27] = 9
    with pytest.raises(SettingError, match="another nucleus between"):
        editing.merge(labels, 2, 9)


def test_a_hole_is_filled_and_a_nucleus_in_it_stays():
    labels = np.zeros((20, 20), np.int32)
    labels[2:18, 2:18] = 1
    labels[6:14, 6:14] = 0
    labels[9, 9] = 2
    editing.fill_holes(labels, 1).apply(labels)
    assert labels[9, 9] == 2
    assert (labels[2:18, 2:18] > 0).all()


def test_smoothing_removes_a_spike():
    labels = np.zeros((40, 40), np.int32)
    labels[disk((20, 20), 10)] = 1
    round_one = labels == 1
    labels[line(20, 30, 20, 38)] = 1
    editing.smooth(labels, 1).apply(labels)
    assert not labels[20, 34:].any()
    assert ((labels == 1) & round_one).sum() > 0.95 * round_one.sum()


def test_shrinking_to_nothing_is_refused_and_the_border_of_the_image_is_none():
    labels = np.zeros((10, 10), np.int32)
    labels[:, :3] = 1
    labels[5, 7] = 2
    with pytest.raises(SettingError, match="Nothing would be left"):
        editing.shrink(labels, 2)
    editing.shrink(labels, 1).apply(labels)
    assert (labels[:, :2] == 1).all()
    assert not labels[:, 2].any()


def test_a_number_is_never_given_again():
    labels = np.array([[0, 4, 2]])
    assert editing.next_number(labels) == 5
    assert editing.next_number(labels, {9}) == 10


@pytest.mark.parametrize("name", ["delete", "grow", "smooth", "split_at_waist"])
def test_a_nucleus_that_is_gone_is_named(name):
    with pytest.raises(SettingError, match="number 8"):
        getattr(editing, name)(np.zeros((4, 4), np.int32), 8)


def test_a_change_of_a_plane_becomes_one_of_the_stack():
    stack = np.stack([blobs(1), blobs(2), blobs(3)])
    expected = stack.copy()
    number = int(stack[1].max())
    change = editing.grow(stack[1], number)
    change.apply(expected[1])
    within = change.in_stack((1,), stack.shape)
    # as a Labels layer does it
    stack[within.places()] = within.after
    assert np.array_equal(stack, expected)
