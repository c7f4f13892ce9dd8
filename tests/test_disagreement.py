from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.disagreement import VIEWS, Ranked, _rank, rank_regions
from napari_nucleiseg.events import TileDone
from napari_nucleiseg.segmentation import segment_now


def disc(shape, y, x, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_views_that_agree_leave_nothing_to_gain():
    labels = np.zeros((200, 300), np.int32)
    labels[disc(labels.shape, 50, 60, 10)] = 1
    labels[disc(labels.shape, 150, 250, 10)] = 2
    ranked = _rank([labels] * 4, None)
    assert ranked.doubt == 0
    assert ranked.little_left
    assert ranked.doubts.tolist() == [0, 0]
    assert "Little is left" in ranked.text


def test_the_region_where_views_differ_comes_first_and_fits_the_micrograph():
    first = np.zeros((200, 300), np.int32)
    first[disc(first.shape, 50, 60, 10)] = 1
    first[disc(first.shape, 150, 250, 10)] = 2
    other = np.where(first == 2, 0, first)
    ranked = _rank([first, other, other, other], None)
    assert ranked.doubts.tolist() == [0, 1]
    worst = ranked.regions[0]
    assert (worst.y, worst.x, worst.height, worst.width) == (128, 128, 72, 128)
    assert worst.doubt > ranked.regions[1].doubt == 0
    assert ranked.doubt == pytest.approx(0.5)
    assert not ranked.little_left


def test_nuclei_that_other_views_alone_see_count():
    first = np.zeros((128, 256), np.int32)
    first[disc(first.shape, 60, 60, 10)] = 1
    other = first.copy()
    other[disc(first.shape, 60, 200, 10)] = 2
    ranked = _rank([first, other, first, first], None)
    assert (ranked.regions[0].x, ranked.regions[0].nuclei) == (128, 0)


def test_what_is_reviewed_does_not_count():
    first = np.zeros((128, 256), np.int32)
    first[disc(first.shape, 60, 60, 10)] = 1
    first[disc(first.shape, 60, 200, 10)] = 2
    reviewed = np.zeros(first.shape, bool)
    reviewed[:, 128:] = True
    ranked = _rank([first, np.where(first == 2, 0, first)], reviewed)
    assert ranked.doubt == 0
    assert [r.x for r in ranked.regions] == [0]


def test_an_empty_micrograph_has_no_region():
    ranked = _rank([np.zeros((64, 64), np.int32)] * 4, None)
    assert ranked.regions == ()
    assert ranked.doubt == 0
    assert not ranked.little_left
    assert "Nothing is found" in ranked.text


@pytest.mark.slow
@pytest.mark.parametrize("sample", ["fluorescence", "stained"])
def test_real_micrographs_are_seen_the_right_way_up(sample, request):
    micrograph, _ = request.getfixturevalue(sample)
    config = SegmentConfig(device="cpu", engine="torch")
    events = list(rank_regions(micrograph, config))
    ranked = events[-1]
    assert isinstance(ranked, Ranked)
    assert np.array_equal(ranked.labels, segment_now(micrograph, config).labels)
    # were a view turned back wrongly, most nuclei would be missed in it
    assert 0 < np.median(ranked.doubts) < 0.15
    tiles = [e for e in events if isinstance(e, TileDone)]
    assert tiles[-1].done == tiles[-1].total == len(VIEWS)


@pytest.mark.slow
def test_noise_makes_views_disagree(fluorescence):
    micrograph, _ = fluorescence
    config = SegmentConfig(device="cpu", engine="torch")
    noise = np.random.default_rng(0).normal(0, 25, micrograph.pixels.shape)
    noisy = (micrograph.pixels + noise).clip(0, 255).astype(micrograph.pixels.dtype)
    *_, ranked = rank_regions(micrograph, config)
    *_, worse = rank_regions(replace(micrograph, pixels=noisy), config)
    assert worse.doubt > ranked.doubt


def test_it_can_be_stopped_between_tiles(fluorescence):
    with closing(rank_regions(fluorescence[0], SegmentConfig(device="cpu"))) as events:
        assert any(isinstance(e, TileDone) for e in events)
