"""Tests of sizes of nuclei: what is read, when an image is resampled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import disk

from napari_nucleiseg import SegmentConfig, segment_now
from napari_nucleiseg.errors import NucleisegError, SettingError
from napari_nucleiseg.events import Notice
from napari_nucleiseg.instances import diameters
from napari_nucleiseg.metrics.average_precision import average_precision
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.nucleus_size import (
    LEAST,
    MOST,
    diameter_px,
    fits_memory,
    magnification,
    proposed_magnification,
    words_of,
)
from napari_nucleiseg.resampling import resample
from napari_nucleiseg.segmentation import segment

KNOWN = 19.4
CPU = SegmentConfig(device="cpu")


@pytest.mark.parametrize(
    ("text", "pixel_um", "expected"),
    [
        ("auto", None, None),
        ("none", (0.5, 0.5), None),
        ("21", None, 21),
        (" 21.5 px ", None, 21.5),
        (".5", None, 0.5),
        ("6.8 um", (0.2, 0.2), 34),
        ("6.8µm", (0.1, 0.4), 34),
        ("10 μm", (0.5, 0.5), 20),
    ],
)
def test_diameters_are_read_as_people_write_them(text, pixel_um, expected) -> None:
    config = SegmentConfig(nucleus_diameter=text)
    assert diameter_px(config.nucleus_diameter, pixel_um) == (
        None if expected is None else pytest.approx(expected)
    )


@pytest.mark.parametrize(
    "text", ["0", "0.0 px", "-3", "big", "", "21 mm", "nan", "inf", "1e3", "1 2"]
)
def test_other_diameters_are_refused_in_words(text) -> None:
    with pytest.raises(SettingError, match="typical diameter as auto, none"):
        SegmentConfig(nucleus_diameter=text)


def test_a_number_will_do() -> None:
    assert SegmentConfig(nucleus_diameter=21).nucleus_diameter == "21"


def test_micrometres_need_the_size_of_a_pixel() -> None:
    with pytest.raises(SettingError, match="how large a pixel is"):
        diameter_px("7 um", None)


@given(diameter=st.floats(0.5, 2000))
def test_only_sizes_that_the_model_does_not_know_are_changed(diameter) -> None:
    factor = magnification(diameter, KNOWN)
    is_known = 0.5 * KNOWN <= diameter <= 3.5 * KNOWN
    assert (factor == 1) == is_known
    if not is_known:
        # what is too small is enlarged and the reverse, and never further than into the range
        assert (factor > 1) == (diameter < KNOWN)
        assert diameter * factor <= 3.5 * KNOWN or factor == 1 / 16
    assert 1 / 16 <= factor <= 4


def test_pieces_of_large_nuclei_do_not_hide_them() -> None:
    labels = np.zeros((400, 400), np.int32)
    for n, centre in enumerate([(80, 80), (80, 300), (300, 80)], start=1):
        labels[disk(centre, 60)] = n
    for n in range(6):
        labels[disk((300, 200 + 30 * n), 5)] = 10 + n
    factor, diameter = proposed_magnification(diameters(labels), KNOWN)
    assert factor < 0.3
    assert 100 < diameter < 125


def test_without_nuclei_there_is_nothing_to_go_by() -> None:
    assert proposed_magnification(np.zeros(0), KNOWN) == (1.0, 0.0)


def test_a_slide_is_not_enlarged() -> None:
    assert fits_memory((1000, 1000), 4)
    assert fits_memory((100_000, 100_000), 0.5)
    assert not fits_memory((12_000, 12_000), 2)


def resized(micrograph: Micrograph, truth: np.ndarray, factor: float):
    """A micrograph as a camera with larger or smaller pixels takes it, and its truth."""
    pixels = resample(micrograph.pixels, 0, 255, factor)
    shape = (pixels.shape[0], pixels.shape[1])
    steps = [
        np.minimum(((np.arange(n) + 0.5) / factor).astype(int), o - 1)
        for n, o in zip(shape, truth.shape, strict=True)
    ]
    made = Micrograph((pixels * 255).astype(np.uint8), micrograph.axes, name="resized")
    return made, truth[np.ix_(*steps)]


@pytest.mark.parametrize("factor", [0.25, 4])
@pytest.mark.parametrize("kind", ["fluorescence", "stained"])
@pytest.mark.slow
def test_nuclei_four_times_too_small_or_large_are_found(factor, kind, request) -> None:
    micrograph, truth = resized(*request.getfixturevalue(kind), factor)
    helped = segment_now(micrograph, CPU)
    alone = segment_now(micrograph, SegmentConfig(device="cpu", nucleus_diameter="none"))
    assert helped.labels.shape == truth.shape
    assert helped.count == helped.labels.max() == len(np.unique(helped.labels)) - 1
    ours, others = (average_precision(truth, x.labels, [0.5])[0] for x in (helped, alone))
    assert alone.manifest["magnification"] == 1
    if helped.manifest["magnification"] == 1:
        assert np.array_equal(helped.labels, alone.labels)
    assert ours >= others - 0.02


def test_a_diameter_that_changes_nothing_is_said(fluorescence) -> None:
    micrograph, _ = fluorescence
    config = SegmentConfig(device="cpu", nucleus_diameter="12px")
    told = [e.text for e in segment(micrograph, config) if isinstance(e, Notice)]
    (said,) = [text for text in told if "need no resampling" in text]
    assert "Nuclei of 12 px" in said
    assert f"{LEAST * KNOWN:.2g} to {MOST * KNOWN:.2g} px" in said


def test_what_was_done_is_said_and_kept(fluorescence) -> None:
    micrograph, _ = resized(*fluorescence, 4)
    events = list(segment(micrograph, CPU))
    told = [e.text for e in events if isinstance(e, Notice)]
    assert any("looking again in the image shrunk" in text for text in told)
    assert events[-1].manifest["magnification"] < 0.6
    assert events[-1].manifest["input"]["shape"] == list(micrograph.shape)


def test_a_diameter_that_is_given_needs_one_look(fluorescence) -> None:
    micrograph, truth = resized(*fluorescence, 4)
    config = SegmentConfig(device="cpu", nucleus_diameter="80 px")
    events = list(segment(micrograph, config))
    assert not [e for e in events if isinstance(e, Notice) and "looking again" in e.text]
    assert events[-1].manifest["magnification"] == pytest.approx(1.3 * KNOWN / 80)
    assert average_precision(truth, events[-1].labels, [0.5])[0] > 0.8


def test_a_diameter_the_model_knows_changes_nothing(fluorescence) -> None:
    given = segment_now(fluorescence[0], SegmentConfig(device="cpu", nucleus_diameter="25"))
    assert given.manifest["magnification"] == 1
    assert np.array_equal(given.labels, segment_now(fluorescence[0], CPU).labels)


def test_too_large_to_be_enlarged_is_said(monkeypatch, fluorescence) -> None:
    monkeypatch.setattr("napari_nucleiseg.nucleus_size._MOST_PIXELS", 1000)
    with pytest.raises(NucleisegError, match="too large to be enlarged"):
        segment_now(fluorescence[0], SegmentConfig(device="cpu", nucleus_diameter="4"))


def test_wide_nuclei_are_spoken_of_in_plain_numbers():
    seen, done = words_of(118.3, 19.2, "nuclei", 0.2)
    assert seen == "Nuclei seem to be about 118 px wide, and nuclei knows 19 px"
    assert done == "shrunk 5.0 times"
