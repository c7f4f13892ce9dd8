from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from napari_nucleiseg import next_places
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.disagreement import Ranked, Region
from napari_nucleiseg.events import TileDone
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.next_places import (
    LEAST_DOUBT,
    MOST_PLACES,
    ImageRanked,
    Open,
    Place,
    PlacesFound,
    Ranking,
    find_places,
    rank_places,
)
from napari_nucleiseg.overlay import OUTLINE_RGB


def place(item=0, doubt=0.3):
    picture = np.zeros((4, 4, 3), np.uint8)
    return Place(item, f"image {item}", Region(0, 0, 4, 4, doubt, 1), picture)


def ranked(item=0, doubt=0.3, little=False, places=1):
    found = tuple(place(item, doubt / (n + 1)) for n in range(places))
    return ImageRanked(f"image {item}", doubt, little, found)


@pytest.fixture
def micrograph():
    return Micrograph(np.arange(64 * 80, dtype=np.uint16).reshape(64, 80), "YX", name="ramp")


def test_places_of_all_micrographs_come_least_certain_first(micrograph):
    asked = []

    def elsewhere(function, number, name, given, config, reviewed):
        asked.append((function, number, name, given, reviewed))
        yield TileDone(1, 2)
        yield ranked(number, 0.2 + 0.4 * number, places=2)

    seen = np.ones((64, 80), bool)
    items = [Open("a", micrograph), Open("b", lambda: micrograph, seen)]
    events = list(find_places(items, SegmentConfig(), elsewhere))
    assert asked == [
        (rank_places, 0, "a", micrograph, None),
        (rank_places, 1, "b", micrograph, seen),
    ]
    shares = [(e.image, e.number, e.images, e.share) for e in events if isinstance(e, Ranking)]
    assert shares == [("a", 1, 2, 0), ("a", 1, 2, 0.25), ("b", 2, 2, 0.5), ("b", 2, 2, 0.75)]
    last = events[-1]
    assert isinstance(last, PlacesFound)
    assert [(p.item, round(p.region.doubt, 2)) for p in last.places] == [
        (1, 0.6),
        (1, 0.3),
        (0, 0.2),
        (0, 0.1),
    ]
    assert last.text == (
        "Views of the nuclei differ by 60 % in image 1: corrections will teach the model."
    )


@pytest.mark.parametrize(
    ("images", "little", "words"),
    [
        ((ranked(0, 0.05, True),), True, "Little is left to gain: views of the nuclei differ by 5"),
        ((ranked(0, 0.05, True), ranked(1, 0.3)), False, "differ by 30 % in image 1"),
        ((ranked(0, 0.0, True, 0), ranked(1, 0.0, False, 0)), True, "Little is left to gain"),
        ((ranked(0, 0.0, False, 0),), False, "No nuclei were found in any view"),
    ],
)
def test_the_sign_to_stop(images, little, words):
    found = PlacesFound(tuple(p for i in images for p in i.places), images)
    assert found.little_left is little
    assert words in found.text


def test_a_place_shows_its_part_of_the_micrograph_and_sure_ones_are_no_places(
    micrograph, monkeypatch
):
    labels = np.zeros((64, 80), np.int32)
    labels[40:50, 50:60] = 3
    regions = (
        Region(32, 40, 32, 40, 0.5, 1),
        *(Region(0, 0, 32, 40, 0.2, 1) for _ in range(MOST_PLACES)),
        Region(0, 40, 32, 40, LEAST_DOUBT / 2, 0),
    )

    def ranks(given, config, reviewed):
        assert given is micrograph
        yield TileDone(1, 1)
        yield Ranked(regions, labels, np.zeros(1), 0.4, False)

    monkeypatch.setattr(next_places, "rank_regions", ranks)
    tile, found = rank_places(2, "ramp", micrograph, SegmentConfig())
    assert tile == TileDone(1, 1)
    assert len(found.places) == MOST_PLACES
    first = found.places[0]
    assert (first.item, first.image, first.picture.shape) == (2, "ramp", (32, 40, 3))
    assert tuple(first.picture[40 - 32, 50 - 40]) == OUTLINE_RGB
    # its contrast is that of the whole: the upper left corner is dark, this is its lower half
    assert 100 < first.picture[0, 0, 0] < 200
    assert found.places[1].picture[0, 0, 0] < 20


@pytest.mark.slow
def test_a_real_micrograph_can_be_stopped_and_ranked(fluorescence):
    items = [Open("fluorescence", fluorescence[0])]
    config = SegmentConfig(device="cpu", engine="torch")
    with closing(find_places(items, config)) as events:
        assert next(e.share for e in events if isinstance(e, Ranking) and e.share) == 0.25
    *_, last = find_places(items, config)
    assert last.places[0].region.doubt == max(p.region.doubt for p in last.places)
    assert last.places[0].picture.any()
    # nothing is left where a person has looked
    reviewed = np.ones(fluorescence[0].shape, bool)
    *_, last = find_places([Open("fluorescence", fluorescence[0], reviewed)], config)
    assert last.places == ()
