"""Looking at views: the same nuclei as the whole, numbers that stay, the newest view alone."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from napari_nucleiseg import SegmentConfig, segment_now
from napari_nucleiseg.errors import NucleisegError
from napari_nucleiseg.live import Live, Looked, Sized, Unseen, look, prepare
from napari_nucleiseg.metrics.average_precision import average_precision
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.viewing import View

CONFIG = SegmentConfig(device="cpu")


def last(picture, view, earlier=None):
    *_, event = look(picture, view, earlier)
    return event


def in_place(found, shape):
    """The labels of a view at full size, laid where they belong."""
    assert found.step == (1.0, 1.0)
    whole = np.zeros(shape, np.int32)
    y, x = (round(n) for n in found.origin)
    height, width = found.labels.shape
    whole[y : y + height, x : x + width] = found.labels
    return whole


@pytest.fixture
def wide(fluorescence):
    """720 x 720, so that a view is a part of it; sizes of nuclei are known."""
    micrograph, _ = fluorescence
    whole = replace(micrograph, pixels=np.tile(micrograph.pixels, (2, 2)))
    return replace(prepare(whole, CONFIG), sized=Sized(50.0, 1.0))


def test_a_view_shows_the_nuclei_that_the_whole_has(wide):
    truth = segment_now(wide.chosen, CONFIG).labels
    view = View((200, 440), (230, 500), 1.0)
    found = last(wide, view)
    labels = in_place(found, truth.shape)
    assert found.count == len(np.unique(labels)) - 1
    # those of the view, whole, and no others
    mine = np.unique(truth[200:440, 230:500])
    kept = np.where(np.isin(truth, mine), truth, 0)
    inside = np.s_[200:440, 230:500]
    assert average_precision(kept[inside], labels[inside], (0.75,))[0] > 0.9
    assert average_precision(kept, labels, (0.75,))[0] > 0.8
    seen = np.unique(labels[inside])
    assert set(np.unique(labels)) == set(seen)


@pytest.mark.parametrize("magnification", [0.5, 0.25])
def test_the_resolution_follows_the_zoom(wide, magnification):
    view = View((0, 720), (0, 720), magnification)
    found = last(wide, view)
    assert max(found.labels.shape) <= 720 * magnification
    assert found.step[0] == pytest.approx(1 / magnification, rel=0.1)
    assert 50 < found.count < 110


def test_zoomed_in_no_more_pixels_are_looked_at_than_there_are(wide):
    found = last(wide, View((300, 400), (300, 400), 8.0))
    assert found.step == (1.0, 1.0)
    assert max(found.labels.shape) <= 256


def test_too_far_out_it_says_to_zoom_in(wide):
    found = last(wide, View((0, 7000), (0, 7000), 0.05))
    assert isinstance(found, Unseen)
    assert found.text.startswith("Zoom in: nuclei are about 2 px wide")


def test_large_nuclei_are_looked_at_in_fewer_pixels(wide):
    large = replace(wide, sized=Sized(400.0, 0.0625))
    found = last(large, View((0, 720), (0, 720), 1.0))
    assert found.labels.shape == (45, 45)


def test_the_size_of_nuclei_is_found_out_once(fluorescence):
    micrograph, _ = fluorescence
    picture = prepare(micrograph, CONFIG)
    assert picture.sized is None
    events = list(look(picture, View((0, 360), (0, 360), 1.0)))
    sized = next(e for e in events if isinstance(e, Sized))
    assert sized.factor == 1
    assert sized.diameter_px == pytest.approx(50, abs=8)
    assert isinstance(events[-1], Looked)


def test_a_diameter_that_is_given_counts(fluorescence):
    micrograph, _ = fluorescence
    given = prepare(micrograph, CONFIG.model_copy(update={"nucleus_diameter": "100 px"}))
    assert given.sized.diameter_px == 100
    assert given.sized.factor == pytest.approx(1.3 * 19.4 / 100)
    none = prepare(micrograph, CONFIG.model_copy(update={"nucleus_diameter": "none"}))
    assert none.sized.factor == 1


def test_background_does_not_become_nuclei_where_a_view_shows_nothing_else(fluorescence):
    micrograph, truth = fluorescence
    pixels = np.full((600, 600), np.percentile(micrograph.pixels[truth == 0], 20), np.uint8)
    noise = np.random.default_rng(0).integers(0, 3, pixels.shape, np.uint8)
    pixels += noise
    pixels[:360, :360] = micrograph.pixels
    picture = prepare(replace(micrograph, pixels=pixels), CONFIG)
    picture = replace(picture, sized=Sized(50.0, 1.0))
    assert last(picture, View((450, 550), (450, 550), 1.0)).count == 0


def test_an_empty_micrograph_is_said_to_be_empty():
    empty = Micrograph(np.full((64, 64), 7, np.uint8), "YX", name="dark")
    found = last(prepare(empty, CONFIG), View((0, 64), (0, 64), 1.0))
    assert isinstance(found, Unseen)
    assert "dark is empty" in found.text


@pytest.mark.parametrize("magnification", [1.0, 0.6])
def test_a_nucleus_keeps_its_number_when_the_view_moves(wide, magnification):
    first = last(wide, View((200, 500), (200, 500), 1.0))
    second = last(wide, View((260, 560), (230, 530), magnification), first)
    before = in_place(first, wide.chosen.shape)
    shared = 0
    for number in np.unique(second.labels)[1:]:
        middle = np.argwhere(second.labels == number).mean(axis=0)
        y, x = (
            round(o + m * s) for o, m, s in zip(second.origin, middle, second.step, strict=True)
        )
        old = before[y, x]
        if old and 230 < y < 470 and 230 < x < 470:
            shared += 1
            assert old == number
    assert shared >= 5


# --- the newest view ----------------------------------------------------------------------------


class Later:
    """A runner that drains tasks when the test says so."""

    def __init__(self):
        self.begun = []

    def __call__(self, task):
        self.begun.append(task)

    def finish(self):
        task = self.begun[-1]
        with closing(task.events) as events:
            for event in events:
                task.on_event(event)
                if task.cancelled:
                    break
        task.on_end()


def answers(pixels_of):
    """Work that answers with the number of rows looked at, and counts how often it was asked."""

    def work(function, *args):
        if function.__name__ == "find_size":
            yield Sized(50.0, 1.0)
            return
        frame = args[5]
        pixels_of.append(frame.start)
        yield Looked(np.zeros(frame.shape, np.int32), frame.origin, frame.step, 0, 0.0)

    return work


def views(count):
    return [View((100 * n, 100 * n + 64), (0, 64), 1.0) for n in range(count)]


@pytest.fixture
def tall():
    pixels = np.random.default_rng(0).integers(0, 255, (900, 80), np.uint8)
    return Micrograph(pixels, "YX")


def test_only_the_newest_view_is_looked_at_and_answered(tall):
    later, asked, heard = Later(), [], []
    live = Live(later, answers(asked))
    live.event.connect(heard.append)
    for view in views(5):
        live.look(1, tall, CONFIG, view)
    assert len(later.begun) == 1
    later.finish()
    assert heard == []
    # those in between are not looked at
    assert len(later.begun) == 2
    later.finish()
    assert len(heard) == 1
    assert heard[0].origin[0] > 300
    assert not live.is_at_work


def test_nothing_is_answered_after_a_stop(tall):
    later, heard = Later(), []
    live = Live(later, answers([]))
    live.event.connect(heard.append)
    live.look(1, tall, CONFIG, views(1)[0])
    live.stop()
    later.finish()
    assert heard == []
    live.look(1, tall, CONFIG, views(1)[0])
    later.finish()
    assert len(heard) == 1


def test_pixels_are_loaded_once_until_they_are_others(tall):
    loaded = []

    def load():
        loaded.append(1)
        return tall

    live = Live(work_in=answers([]))
    for key, settings in ((1, {}), (1, {"probability": 0.6}), (2, {})):
        live.look(key, load, CONFIG.model_copy(update=settings), views(1)[0])
    assert len(loaded) == 2


def test_what_fails_is_told(tall):
    failures = []
    live = Live(work_in=answers([]))
    live.failed.connect(failures.append)
    live.look(1, tall, CONFIG.model_copy(update={"model": "gone"}), views(1)[0])
    assert isinstance(failures[0], NucleisegError)
    assert "gone" in str(failures[0])
