"""Images of marks: the table of colours alone says what is correct at a threshold."""

from __future__ import annotations

import numpy as np
import pytest

from damage import damage
from napari_nucleiseg.comparison import Kind, classify, compare
from napari_nucleiseg.marks import (
    LEVELS,
    MARKS,
    THRESHOLDS,
    iou_of_marks,
    kinds_of_marks,
    levels,
    mark_colours,
    mark_image,
)
from napari_nucleiseg.overlay import outlines
from napari_nucleiseg.samples import SAMPLES, read_sample


def moved(name: str):
    """A sample's nuclei, damaged and moved, so that IoU of all sizes occur."""
    truth = read_sample(name)[1]
    return compare(truth, np.roll(damage(truth, 0).labels, (1, 1), (0, 1)))


@pytest.mark.parametrize("name", SAMPLES)
def test_marks_say_the_kind_at_every_threshold(name):
    comparison = moved(name)
    image = mark_image(comparison)
    assert image.dtype == np.uint8
    assert image.max() < MARKS
    for threshold in THRESHOLDS.tolist():
        expected = comparison.kind_image(classify(comparison.overlaps, threshold))
        assert np.array_equal(kinds_of_marks(threshold)[image], expected), threshold


def test_a_nucleus_exactly_at_the_threshold_is_correct():
    truth, found = np.zeros((2, 4, 10), int)
    truth[1, :10] = 1
    found[1, :6] = 1
    image = mark_image(compare(truth, found))
    assert set(kinds_of_marks(0.6)[image[1]].tolist()) == {Kind.CORRECT}
    assert set(kinds_of_marks(0.61)[image[1]].tolist()) == {Kind.POOR_OUTLINE}
    assert {iou_of_marks()[mark] for mark in image[1].tolist()} == {"0.60"}


def test_each_kind_has_its_colour_and_line():
    comparison = moved("fluorescence")
    kinds = classify(comparison.overlaps, 0.5)
    colours = mark_colours(0.5)[mark_image(comparison)]
    shown = comparison.kind_image(kinds)
    edge = outlines(comparison.places)
    assert (colours[shown == 0, 3] == 0).all()
    drawn = {}
    for kind in Kind:
        mine = shown == kind
        assert mine.any()
        hue = [int(kind.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        assert np.allclose(colours[mine][:, :3], hue)
        drawn[kind] = (colours[mine & edge, 3] == 1).mean()
    whole = {Kind.CORRECT, Kind.MERGED, Kind.POOR_OUTLINE}
    assert {kind for kind, share in drawn.items() if share == 1} == whole
    assert all(0.2 < drawn[kind] < 0.8 for kind in set(Kind) - whole)
    # of correct nuclei the micrograph stays visible
    assert (colours[(shown == Kind.CORRECT) & ~edge, 3] == 0).all()


def test_without_nuclei_nothing_is_drawn():
    nothing = np.zeros((5, 6), int)
    assert not mark_image(compare(nothing, nothing)).any()


def test_levels_are_hundredths():
    assert levels(np.array([0, 0.004, 0.5, 0.996, 1])).tolist() == [1, 1, 51, 101, 101]
    assert levels(np.array([1.0])).item() == LEVELS - 1
