from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_nucleiseg import SegmentConfig, wording
from napari_nucleiseg.errors import NucleisegError
from napari_nucleiseg.events import Segmented, TileDone
from napari_nucleiseg.store import find_model


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0514, "0.051"), (0.62, "0.62"), (6.78, "6.8"), (9.97, "10"), (312, "312")],
)
def test_two_digits(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (3.14, "3.1 s"), (12.3, "12 s"), (130, "about 2 min"), (7000, "about 1.9 h")],
)
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("done", "total", "seconds", "text"),
    [
        (7, 12, 5.6, "tile 7 of 12 · 4 s left"),
        (1, 20, 5.0, "tile 1 of 20"),
        (12, 12, 9.0, "tile 12 of 12"),
        (1, 2, 150.0, "tile 1 of 2 · about 2 min left"),
    ],
)
def test_progress_tells_what_is_left_after_a_tenth(done, total, seconds, text):
    assert wording.progress(TileDone(done, total), seconds) == text


@pytest.mark.parametrize(
    ("count", "size", "text"),
    [
        (312, (0.325, 0.325), "312 nuclei · median diameter 21 px (6.8 µm) · 3.1 s on CPU"),
        (1, None, "1 nucleus · median diameter 21 px · 3.1 s on CPU"),
        (0, None, "no nuclei · 3.1 s on CPU"),
    ],
)
def test_result(count, size, text):
    event = Segmented(np.zeros((1, 1), np.int32), count, 20.9, 3.14, {"device": "cpu"})
    assert wording.result(event, size) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"channel": ["2"], "channel_number": 2}, "9 nuclei in channel 2 · "),
        ({"channel": ["DAPI"], "channel_number": 3}, "9 nuclei in channel 3 (DAPI) · "),
        ({"channel": ["DAPI"], "channel_number": None}, "9 nuclei · "),
        ({"channel": None, "channel_number": None}, "9 nuclei · "),
    ],
)
def test_a_result_names_its_channel_where_there_was_a_choice(given, text):
    event = Segmented(np.zeros((1, 1), np.int32), 9, 20.9, 3.14, {"device": "cpu", "input": given})
    assert wording.result(event, None).startswith(text)


def test_a_command_holds_what_differs_from_the_defaults():
    words = wording.command(Path("a b.tif"), SegmentConfig(channel="2", min_area_px=3))
    assert words.startswith("nucleiseg segment")
    assert "a b.tif" in words
    assert words.endswith("--out nuclei --channel 2 --min-area-px 3")
    assert " IMAGE " in wording.command(None, SegmentConfig())


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NucleisegError("Too dark", "a.png", "Use light"), "Too dark: a.png. Use light."),
        (NucleisegError("Too\n  dark"), "Too dark."),
        (MemoryError(), "There is not enough memory. Close other programs or crop the micrograph."),
        (KeyError("x"), "Something went wrong inside the program ('x'). Look at the log."),
        (
            RuntimeError("two\nlines."),
            "Something went wrong inside the program (two lines). Look at the log.",
        ),
        (ValueError(), "Something went wrong inside the program. Look at the log."),
        (KeyboardInterrupt(), "Something went wrong inside the program. Look at the log."),
    ],
)
def test_an_error_is_one_line_without_the_name_of_a_class(error, text):
    assert wording.sentence(error, "Look at the log") == text
    if isinstance(error, Exception):
        again = NucleisegError(wording.sentence(error))
        assert wording.sentence(again) == wording.sentence(error)


def test_a_model_is_listed_with_its_score_and_speed():
    model = replace(find_model("nuclei"), title="Nuclei")
    card = {"scores": {"all": {"mean_ap": 0.607}}, "speed": {"megapixels_per_second": 1.26}}
    assert wording.model_title(replace(model, card=card)) == "Nuclei · AP 0.61 · 1.3 MPix/s"
    del card["speed"]
    assert wording.model_title(replace(model, card=card)) == "Nuclei · AP 0.61"
    for useless in ({}, {"scores": None}, {"scores": {"all": {}}}, {"scores": {"all": "good"}}):
        assert wording.model_title(replace(model, card=useless)) == "Nuclei"


def test_a_file_that_the_system_refuses_is_no_fault_of_the_program():
    error = PermissionError(13, "Permission denied", "scans/a.png")
    text = wording.sentence(error)
    assert text.startswith("scans/a.png cannot be used (Permission denied).")
    assert "went wrong" in wording.sentence(OSError("no file has to do with it"))


def test_what_became_of_the_nuclei():
    words = wording.judged({"correct": 12}, 22, 24, 0.7)
    assert words == "12 of 22 correct at IoU 0.70 · 24 found"
    assert (
        wording.judged({"correct": 0}, 0, 0, 0.5) == "There are no nuclei, neither true nor found."
    )


def test_the_scores_of_an_image():
    scores = {"average_precision": 0.414, "dice": 0.9, "f1": 0.75, "panoptic": 0.666}
    assert wording.scores_of_image(scores) == "AP 0.41 · Dice 0.90 · F1 0.75 · PQ 0.67"
