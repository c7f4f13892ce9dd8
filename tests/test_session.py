"""The session without a window: what runs, what is told, what is dropped."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucleiseg import SegmentConfig
from napari_nucleiseg.batch_config import BatchConfig
from napari_nucleiseg.batch_plan import BatchPlanned
from napari_nucleiseg.comparing import Annotated, Compared, Row, compare
from napari_nucleiseg.errors import NucleisegError
from napari_nucleiseg.events import Notice, Segmented, TileDone
from napari_nucleiseg.keeping import KeptLabels
from napari_nucleiseg.measure import TableMade
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.session import COMPARING, MEASURING, PATIENCE_S, Session
from napari_nucleiseg.session_work import (
    ChannelProposed,
    Loaded,
    NotPlanned,
    Opened,
    ResultNotOpened,
    Scored,
    score,
    segment_and_score,
)
from napari_nucleiseg.tasks import run_now

PLAIN = Micrograph(np.zeros((4, 6), np.uint8), "YX", name="plain")


class Later:
    """A runner that keeps its tasks until the test lets them go on."""

    def __init__(self):
        self.tasks = []

    def __call__(self, task):
        self.tasks.append(task)


def listen(session):
    heard = []
    session.event.connect(heard.append)
    session.failed.connect(heard.append)
    session.state_changed.connect(heard.append)
    return heard


def two_tiles(micrograph, config, truth, earlier):
    yield TileDone(1, 2)
    yield TileDone(2, 2)
    yield Segmented(np.ones(micrograph.shape, np.int32), 1, 5.0, 0.1, {"name": micrograph.name})


@pytest.fixture
def session():
    return Session(work_in=lambda function, *args: two_tiles(*args))


def test_a_run_to_the_end(session):
    heard = listen(session)
    session.segment(PLAIN)
    assert [type(e).__name__ for e in heard] == ["str", "TileDone", "TileDone", "Segmented", "str"]
    assert (heard[0], heard[-1], session.state) == ("running", "done", "done")
    assert not session.is_busy


def test_cancelled_in_the_middle(session):
    heard = listen(session)
    session.event.connect(lambda event: session.cancel())
    session.segment(PLAIN)
    assert heard == ["running", TileDone(1, 2), "stopping", "cancelled"]
    session.cancel()
    assert session.state == "cancelled"


def test_failed_in_the_middle():
    def fails(*args):
        yield TileDone(1, 2)
        raise NucleisegError("Too dark")

    session = Session(work_in=lambda function, *args: fails(*args))
    heard = listen(session)
    session.segment(PLAIN)
    assert [str(e) for e in heard[-2:]] == ["Too dark.", "failed"]


def test_answers_to_old_questions_are_dropped():
    later = Later()
    session = Session(later, lambda function, *args: two_tiles(*args))
    heard = listen(session)
    session.segment(PLAIN)
    session.segment(Micrograph(PLAIN.pixels, "YX", name="newer"))
    for task in later.tasks:
        run_now(task)
    assert [e.manifest["name"] for e in heard if isinstance(e, Segmented)] == ["newer"]
    assert session.state == "done"


def test_nothing_is_told_after_it_was_closed():
    later = Later()
    session = Session(later, lambda function, *args: two_tiles(*args))
    session.segment(PLAIN)
    heard = listen(session)
    session.close()
    run_now(later.tasks[0])
    assert heard == []


def test_pixels_are_asked_for_in_the_work(session):
    asked = []

    def load():
        asked.append(session.state)
        return PLAIN

    session.segment(load, name="plain")
    assert asked == ["running"]


def test_a_small_question_leaves_the_main_work_alone(fluorescence):
    session = Session()
    heard = listen(session)
    session.score(fluorescence[1], fluorescence[1])
    assert heard == [Scored(1.0, 1.0, 1.0, 22)]
    assert session.state == "idle"


def test_work_that_a_dock_brings_is_main_work():
    def tiles(count):
        yield TileDone(1, count)

    session = Session(work_in=lambda function, *args: function(*args))
    heard = listen(session)
    assert session.is_segmenting
    session.do("Counting tiles", lambda work_in: work_in(tiles, 3))
    assert heard == ["running", TileDone(1, 3), "done"]
    assert session.doing == "Counting tiles"
    assert not session.is_segmenting
    session.segment(PLAIN)
    assert session.is_segmenting


def test_a_question_that_a_dock_brings_is_answered_beside_main_work():
    def tiles(count):
        yield TileDone(1, count)

    later = Later()
    session = Session(later)
    heard = listen(session)
    session.segment(PLAIN)
    session.ask("tiles", "Counting tiles", tiles, 3)
    session.ask("tiles", "Counting tiles", tiles, 4)
    for task in later.tasks[1:]:
        run_now(task)
    assert heard == ["running", TileDone(1, 4)]
    assert session.doing == "Segmenting plain"


def test_small_questions_do_not_wait_for_the_main_work(fluorescence):
    later, work = Later(), []
    session = Session(later, lambda function, *args: work.append(function))
    heard = listen(session)
    session.segment(PLAIN)
    main = later.tasks.pop()
    session.score(fluorescence[1], fluorescence[1])
    session.propose_channel(Micrograph(np.zeros((2, 9, 9), np.uint8), "CYX"))
    for task in later.tasks:
        run_now(task)
    assert [type(e).__name__ for e in heard] == ["str", "Scored", "ChannelProposed"]
    assert work == []
    assert (session.state, main.cancelled) == ("running", False)


def test_a_channel_is_proposed_also_for_a_colour_picture(fluorescence, stained):
    session = Session()
    heard = listen(session)
    nuclei = fluorescence[0].pixels
    session.propose_channel(Micrograph(np.stack([nuclei * 0, nuclei]), "CYX"))
    session.propose_channel(lambda: stained[0])
    assert [type(e) for e in heard] == [ChannelProposed, ChannelProposed]
    assert (heard[0].number, heard[0].name) == (2, "2")
    assert heard[1].name in ("red", "green", "blue")
    assert heard[1].why


def test_a_file_is_opened(fluorescence):
    session = Session()
    heard = listen(session)
    session.open(fluorescence[0].path)
    assert [type(e).__name__ for e in heard] == ["str", "Opened", "str"]
    assert isinstance(heard[1], Opened)
    assert np.array_equal(heard[1].micrograph.pixels, fluorescence[0].pixels)


def test_model_and_settings(session):
    heard = []
    session.config_changed.connect(heard.append)
    session.model = "nuclei"
    session.config = SegmentConfig(probability=0.7)
    assert heard == [SegmentConfig(probability=0.7)]
    assert session.card().name == "nuclei"
    assert "nuclei" in [m.name for m in session.models()]


def test_truth_of_another_size_is_said_and_the_result_stays(fluorescence):
    micrograph, truth = fluorescence
    events = list(segment_and_score(micrograph, SegmentConfig(engine="torch"), truth[1:]))
    assert isinstance(events[-2], Segmented)
    assert events[-1] == Notice(
        "The true labels have another size than the image: 359×360 px, not 360×360 px. "
        "Choose the labels of this image."
    )


def test_scores_of_made_up_labels():
    truth = np.array([[1, 1, 0, 0], [1, 1, 0, 2]])
    found = np.array([[1, 1, 0, 0], [1, 1, 0, 0]])
    (scored,) = score(found, truth)
    assert scored == Scored(dice=8 / 9, iou=4 / 5, ap50=1 / 2, true_count=2)


def test_a_cancel_while_pixels_are_loaded_comes_before_the_network():
    asked = []
    session = Session(work_in=lambda *args: asked.append(args) or iter(()))
    heard = listen(session)
    session.event.connect(lambda event: session.cancel())
    session.segment(lambda: PLAIN)
    assert heard == ["running", Loaded(), "stopping", "cancelled"]
    assert asked == []


def test_a_cancel_leaves_the_step_some_time_and_a_closing_window_none():
    run, patience = Later(), []
    session = Session(run, work_in=lambda function, *args: two_tiles(*args), stop=patience.append)
    session.cancel()
    assert patience == []
    session.segment(PLAIN)
    session.cancel()
    run.tasks[0].stop()
    assert patience == [PATIENCE_S, 0]
    session.score(np.ones((4, 6), int), np.ones((4, 6), int))
    run.tasks[1].stop()
    assert patience == [PATIENCE_S, 0]


def test_a_comparison_keeps_its_label_images():
    def works(function, models, items, config):
        assert function is compare
        assert isinstance(items[0].micrograph, Micrograph)
        row = Row(models[0], items[0].name, {}, 1.0, 1.0)
        yield Compared(row, np.ones((4, 6), np.int32), {})

    session, kept = Session(work_in=works), KeptLabels()
    heard = listen(session)
    session.compare(["m"], [Annotated("plain", lambda: PLAIN, np.zeros((4, 6)))], kept)
    assert [type(e).__name__ for e in heard] == ["str", "Loaded", "Compared", "str"]
    assert session.doing == COMPARING
    assert kept["m", "plain"].sum() == 24


def test_measuring_reads_what_is_not_loaded_in_the_work():
    labels = np.zeros((4, 6), np.int32)
    labels[1:3, 1:3] = 7
    session = Session()
    heard = listen(session)
    session.measure(labels, [lambda: PLAIN, PLAIN], (0.5, 0.5))
    [made] = [event for event in heard if isinstance(event, TableMade)]
    assert made.table["area_um2"].tolist() == [1]
    assert made.table["intensity_mean_plain"].tolist() == [0]
    assert (session.doing, session.state) == (MEASURING, "done")
    session.measure(labels[:2], [PLAIN])
    assert isinstance(heard[-2], NucleisegError)
    assert session.state == "failed"


def test_why_a_folder_cannot_be_segmented_is_an_event_of_its_own(tmp_path):
    session = Session()
    heard = listen(session)
    session.plan_batch(BatchConfig(folder=tmp_path / "nowhere"))
    session.open_result(tmp_path / "a.png", tmp_path / "a.tif", tmp_path / "a.json")
    assert [type(event) for event in heard] == [NotPlanned, ResultNotOpened]
    assert session.state == "idle"


def test_a_batch_that_was_paused_ends_when_the_window_closes(tmp_path):
    later = Later()

    def goes_on(function, files, config, settings):
        assert settings is session.config
        yield from (TileDone(n, 3) for n in (1, 2, 3))

    session = Session(run=later, work_in=goes_on)
    session.event.emit(BatchPlanned((), None, (), BatchConfig(out=tmp_path)))
    session.run_batch()
    [task] = later.tasks
    assert next(task.events) == TileDone(1, 3)
    session.pause()
    assert session.is_paused
    session.cancel()
    assert next(task.events) == TileDone(2, 3)
    session.close()
    assert next(task.events) == TileDone(3, 3)
    # the next one does not begin paused
    session.run_batch()
    assert not session.is_paused
