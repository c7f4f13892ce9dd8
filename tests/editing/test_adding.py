from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_nucleiseg import editing
from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.targets import distance_and_offsets

NAMES = ("probability", "distance")


@pytest.fixture
def maps(fluorescence):
    """What a good network would say of the sample, a little unsure."""
    _, labels = fluorescence
    probability = ndimage.gaussian_filter((labels > 0).astype(np.float32), 1.0) * 0.8
    return np.stack([probability, distance_and_offsets(labels[None])[0][0, 0]])


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_click_brings_back_each_nucleus_with_its_neighbours_untouched(fluorescence, maps):
    _, labels = fluorescence
    scores = []
    for number in np.unique(labels[labels > 0]):
        less = np.where(labels == number, 0, labels)
        deep = ndimage.distance_transform_edt(labels == number)
        click = tuple(int(v) for v in np.unravel_index(deep.argmax(), deep.shape))
        change = editing.nucleus_from_maps(NAMES, maps, less, click=click, taken=(99,))
        assert set(change.before.tolist()) == {0}
        assert set(change.after.tolist()) == {100}
        change.apply(less)
        scores.append(overlap(less == 100, labels == number))
    assert min(scores) > 0.7


def test_a_click_is_judged_against_all_nuclei_around_even_if_none_is_there(fluorescence, maps):
    _, labels = fluorescence
    empty = np.zeros_like(labels)
    scores = []
    for number in np.unique(labels[labels > 0]):
        deep = ndimage.distance_transform_edt(labels == number)
        click = tuple(int(v) for v in np.unravel_index(deep.argmax(), deep.shape))
        new = empty.copy()
        editing.nucleus_from_maps(NAMES, maps, empty, click=click).apply(new)
        scores.append(overlap(new > 0, labels == number))
    assert np.median(scores) > 0.85
    assert min(scores) > 0.5


def test_an_unsure_nucleus_is_found(fluorescence, maps):
    _, labels = fluorescence
    faint = maps * np.array([0.25, 1], np.float32)[:, None, None]
    less = np.where(labels == 5, 0, labels)
    click = tuple(float(v) for v in ndimage.center_of_mass(labels == 5))
    editing.nucleus_from_maps(NAMES, faint, less, click=click).apply(less)
    assert overlap(less == labels.max() + 1, labels == 5) > 0.7


def test_a_box_makes_one_nucleus_of_what_is_in_it(fluorescence, maps):
    _, labels = fluorescence
    box = ndimage.find_objects(labels)[4]
    less = np.where(labels == 5, 0, labels)
    corners = ((box[0].stop, box[1].start), (box[0].start, box[1].stop))
    editing.nucleus_from_maps(NAMES, maps, less, box=corners).apply(less)
    assert overlap(less == labels.max() + 1, labels == 5) > 0.7


def test_a_model_without_distances_will_do(fluorescence, maps):
    _, labels = fluorescence
    click = tuple(float(v) for v in ndimage.center_of_mass(labels == 5))
    less = np.where(labels == 5, 0, labels)
    editing.nucleus_from_maps(NAMES[:1], maps[:1], less, click=click).apply(less)
    assert overlap(less == labels.max() + 1, labels == 5) > 0.7


@pytest.mark.parametrize("by", ["click", "box"])
@pytest.mark.parametrize("kind", ["fluorescence", "brightfield"])
def test_intensities_will_do_whether_nuclei_are_bright_or_dark(request, kind, by):
    micrograph, labels = request.getfixturevalue(kind)
    scores = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        y, x = ((s.start + s.stop - 1) / 2 for s in box)
        corners = ((box[0].start - 4, box[1].start - 4), (box[0].stop + 3, box[1].stop + 3))
        place = {"click": (y, x)} if by == "click" else {"box": corners}
        less = np.where(labels == number, 0, labels)
        try:
            editing.nucleus_from_pixels(micrograph.pixels, less, **place).apply(less)
        except SettingError:
            scores.append(0)
            continue
        scores.append(overlap(less == less.max(), labels == number))
    assert np.median(scores) > 0.5


def test_where_nothing_is_a_sentence_says_so(fluorescence, maps):
    _, labels = fluorescence
    flat = np.zeros_like(maps)
    with pytest.raises(SettingError, match="sees no nucleus here"):
        editing.nucleus_from_maps(NAMES, flat, np.zeros_like(labels), click=(50, 50))
    with pytest.raises(SettingError, match="all pixels are equal"):
        editing.nucleus_from_pixels(flat[0], np.zeros_like(labels), click=(50, 50))
    taken = tuple(int(v) for v in np.argwhere(labels == 5)[0])
    with pytest.raises(SettingError, match="already: number 5"):
        editing.nucleus_from_maps(NAMES, maps, labels, click=taken)
    with pytest.raises(SettingError, match="beside the image"):
        editing.nucleus_from_maps(NAMES, maps, labels, click=(-4, 9))
    with pytest.raises(SettingError, match="click or by a box"):
        editing.nucleus_from_maps(NAMES, maps, labels)
