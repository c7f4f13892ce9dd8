"""Joining by law: numbers that stay, whatever the numbers of a plane were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_nucleiseg.config import JoinConfig
from napari_nucleiseg.errors import ShapeError
from napari_nucleiseg.joining import Joiner, fill_gaps, join, numbers_by_plane, tracks_table
from napari_nucleiseg.tables import as_csv

ALL = JoinConfig(join_length=1, join_gap=0)
PLANE = arrays(np.int32, (6, 7), elements=st.integers(0, 5))
STACK = st.lists(PLANE, min_size=1, max_size=5)
HOW = st.builds(
    JoinConfig,
    join_overlap=st.sampled_from([0.01, 0.25, 0.5, 1.0]),
    join_length=st.just(1),
    join_gap=st.integers(0, 3),
)


def disc(y: float, x: float, radius: float = 4, number: int = 1) -> np.ndarray:
    down, across = np.mgrid[:30, :40]
    return np.where((down - y) ** 2 + (across - x) ** 2 <= radius**2, number, 0)


def partition(labels: np.ndarray, other: np.ndarray) -> bool:
    """Whether two label images differ in their numbers at most."""
    pairs = np.unique(np.stack([labels.ravel(), other.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(labels)) == len(np.unique(other))


@given(STACK, HOW)
def test_every_plane_keeps_its_nuclei(planes, how):
    for plane, joined in zip(planes, join(planes, how), strict=True):
        assert np.array_equal(plane > 0, joined > 0)
        assert partition(plane, joined)


@given(STACK, HOW)
def test_numbers_have_no_gaps_and_appear_in_order(planes, how):
    joined = join(planes, how)
    numbers = joined[joined > 0]
    assert set(np.unique(numbers)) == set(range(1, int(joined.max(initial=0)) + 1))
    firsts = [int(np.flatnonzero(joined == n)[0]) for n in range(1, joined.max(initial=0) + 1)]
    assert firsts == sorted(firsts)


@given(STACK, HOW, st.permutations(range(1, 6)))
def test_the_numbers_in_a_plane_do_not_matter(planes, how, order):
    table = np.array([0, *order])
    assert np.array_equal(join([table[p] for p in planes], how), join(planes, how))


@given(PLANE, st.integers(1, 5), HOW)
def test_what_stays_where_it_is_keeps_its_number(plane, times, how):
    for joined in join([plane] * times, how):
        assert np.array_equal(joined, join([plane], how)[0])


@given(STACK, st.integers(1, 4))
@settings(max_examples=60)
def test_short_ones_are_removed_and_the_others_unchanged(planes, least):
    everything = join(planes, ALL)
    kept = join(planes, ALL.model_copy(update={"join_length": least}))
    for number in range(1, int(everything.max(initial=0)) + 1):
        where = everything == number
        length = int(where.any(axis=(1, 2)).sum())
        # of fewer planes than that, being in all of them is enough
        is_long = length >= min(least, len(planes))
        assert (kept[where] > 0).all() == is_long
        assert len(np.unique(kept[where])) == 1


@given(STACK, HOW)
def test_plane_after_plane_is_the_same_as_all_at_once(planes, how):
    joiner = Joiner(how)
    for plane in planes:
        joiner.add(plane)
    paths = joiner.lasting()
    tables = numbers_by_plane(paths, [int(p.max()) for p in planes])
    joined = np.stack([t[p] for t, p in zip(tables, planes, strict=True)])
    assert np.array_equal(joined, join(planes, how))
    assert sum(seen.area for path in paths for seen in path) == np.count_nonzero(joined)


class TestDiscs:
    @pytest.mark.parametrize(("step", "same"), [(0, True), (2, True), (5, False), (9, False)])
    def test_a_disc_that_moves_is_followed_as_far_as_it_overlaps(self, step, same):
        joined = join([disc(15, 8), disc(15, 8 + step)], ALL)
        assert (joined.max() == 1) == same

    @pytest.mark.parametrize("gap", [0, 1, 2])
    def test_a_gap_is_closed_up_to_its_length(self, gap):
        planes = [disc(15, 15), np.zeros((30, 40), int), np.zeros((30, 40), int), disc(15, 16)]
        joined = join(planes, ALL.model_copy(update={"join_gap": gap}))
        assert joined.max() == (1 if gap >= 2 else 2)
        assert not joined[1:3].any()

    def test_a_gap_is_filled_by_what_its_ends_share_and_over_nothing_else(self):
        other = disc(15, 20, 4, 7)
        planes = [disc(15, 15), other, disc(15, 17)]
        joiner = Joiner(JoinConfig(join_length=1, join_gap=1, join_overlap=0.5))
        for plane in planes:
            joiner.add(plane)
        paths = joiner.lasting()
        joined = join(planes, joiner.config)
        fill_gaps(joined, paths)
        shared = (disc(15, 15) > 0) & (disc(15, 17) > 0)
        assert np.array_equal(joined[1] == 1, shared & (other == 0))
        assert np.array_equal(joined[1] == 2, other > 0)

    def test_the_nearer_plane_wins_over_one_behind_a_gap(self):
        """Once a nucleus is seen again, nothing joins it to what it was two planes before."""
        planes = [disc(15, 10), disc(15, 12), disc(15, 10) + disc(15, 30, 4, 2)]
        joined = join(planes, ALL.model_copy(update={"join_gap": 3}))
        assert joined[2][15, 10] == 1
        assert joined[2][15, 30] == 2

    def test_of_two_daughters_one_goes_on(self):
        parent = disc(15, 15, 6)
        daughters = parent.copy()
        daughters[:, 17:] *= 2
        joined = join([parent, daughters], ALL)
        assert set(np.unique(joined[1])) == {0, 1, 2}
        assert joined[1][15, 12] == 1  # the larger one

    def test_a_neighbour_with_more_overlap_takes_it(self):
        first = disc(15, 10) + disc(15, 19, 4, 2)
        second = disc(15, 17, 4, 5)
        assert join([first, second], ALL)[1].max() == 2


def test_planes_of_different_size_are_refused():
    with pytest.raises(ShapeError, match="differ in size"):
        join([np.zeros((4, 5), int), np.zeros((5, 4), int)])


def test_no_planes_and_empty_planes_give_nothing():
    assert join([]).shape == (0, 0, 0)
    assert not join([np.zeros((4, 5), int)] * 3).any()


def test_ignored_pixels_are_background():
    assert not join([np.full((4, 5), -1)] * 2).any()


def test_tracks_are_a_table():
    joiner = Joiner(ALL)
    for x in (10, 12, 14):
        joiner.add(disc(15, x))
    table = tracks_table(joiner.lasting())
    area = int(disc(15, 10).sum())
    assert as_csv(table).decode().splitlines() == [
        "track_id,t,y,x,area",
        *(f"1,{t},15.0,{x}.0,{area}" for t, x in enumerate((10, 12, 14))),
    ]
    assert as_csv(tracks_table([])).decode() == "track_id,t,y,x,area\n"
