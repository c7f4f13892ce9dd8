from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk

from napari_nucleiseg.alignment import Offset, moved
from napari_nucleiseg.diagnosis import FIXES, check_fixes, examine, fix, merged
from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.intensity import NormaliseConfig, normalise


@pytest.fixture
def pair(fluorescence):
    micrograph, labels = fluorescence
    return normalise(micrograph.pixels, NormaliseConfig()), labels.copy()


def kinds(findings):
    return {f.kind for f in findings}


def spoil_tiny(labels):
    y, x = np.argwhere(labels == 0)[len(labels) ** 2 // 3]
    labels[y, x : x + 2] = 900
    return labels


def spoil_holes(labels):
    y, x = np.argwhere(labels == 3).mean(axis=0).astype(int)
    labels[y - 1 : y + 2, x - 1 : x + 2] = 0
    return labels


def spoil_pieces(labels):
    return np.where(labels == 3, 7, labels)


def spoil_merged(labels):
    labels[:50, 250:] = 0
    labels[disk((20, 300), 10, shape=labels.shape)] = 900
    labels[disk((20, 319), 10, shape=labels.shape)] = 900
    return labels


def spoil_shifted(labels):
    return np.maximum(moved(labels, Offset(-20, 9, 0, 0)), 0)


def spoil_mask(labels):
    return np.where(labels % 2, 1, 2) * (labels > 0)


SPOILT = {
    "tiny": (spoil_tiny, "tiny"),
    "holes": (spoil_holes, "holes"),
    "pieces": (spoil_pieces, "pieces"),
    "merged": (spoil_merged, "waist"),
    "shifted": (spoil_shifted, "shift"),
    "mask": (spoil_mask, "split"),
}


@pytest.mark.parametrize("kind", ["fluorescence", "stained", "brightfield"])
def test_real_label_images_are_good(request, kind):
    micrograph, labels = request.getfixturevalue(kind)
    found = examine(normalise(micrograph.pixels, NormaliseConfig()), labels)
    assert not [f.sentence for f in found if f.is_problem]


@pytest.mark.parametrize("kind", SPOILT)
def test_what_was_spoilt_is_found_alone_and_its_remedy_helps(pair, kind):
    image, labels = pair
    spoil, name = SPOILT[kind]
    spoilt = spoil(labels).astype(np.int32)
    found = examine(image, spoilt)
    assert kind in kinds(found)
    if kind != "merged":  # its new discs lie on background and may be other things as well
        assert kinds(found) <= {kind, "tiny"}
    (mine,) = [f for f in found if f.kind == kind]
    assert f"--fix {name}" in mine.sentence
    before = spoilt.copy()
    repaired, done = fix(image, spoilt, found, [name])
    assert np.array_equal(spoilt, before)
    assert len(done) == 1
    assert kind not in kinds(examine(image, repaired))
    assert repaired.dtype == np.int32


def test_a_repaired_mask_has_the_nuclei_that_do_not_touch(pair):
    image, labels = pair
    mask = spoil_mask(labels).astype(np.int32)
    repaired, done = fix(image, mask, examine(image, mask), ["split"])
    assert 16 <= len(np.unique(repaired)) - 1 <= 22
    assert "split into" in done[0]


def test_a_mask_that_is_one_clump_is_split_by_shape():
    labels = np.zeros((120, 120), np.int32)
    for y in range(5):
        for x in range(5):
            labels[disk((16 + 22 * y, 16 + 22 * x), 12)] = 1
    labels[40:60, 50:110] = 0
    image = (labels > 0).astype(np.float32)[None]
    found = examine(image, labels)
    assert kinds(found) == {"mask"}
    repaired, _ = fix(image, labels, found, ["split"])
    assert 20 <= repaired.max() <= 25
    assert f"{repaired.max()} nuclei" in found[0].remedy
    assert np.array_equal(repaired > 0, labels > 0)
    assert "mask" not in kinds(examine(image, repaired))


def test_a_clump_is_cut_more_than_once():
    labels = np.zeros((60, 120), np.int32)
    for n in range(4):
        labels[disk((30, 15 + 22 * n), 12)] = 1
    image = (labels > 0).astype(np.float32)[None]
    found = examine(image, labels)
    repaired, _ = fix(image, labels, found, ["waist"])
    assert len(np.unique(repaired)) == 1 + 4
    assert merged(repaired) == []


def test_nothing_is_done_unasked(pair):
    image, labels = pair
    spoilt = spoil_tiny(labels)
    found = examine(image, spoilt)
    repaired, done = fix(image, spoilt, found, ["holes", "waist"])
    assert np.array_equal(repaired, spoilt)
    assert done == []


def test_sizes_and_contrasts_that_the_model_does_not_know_are_told(pair):
    image, labels = pair
    assert "size" not in kinds(examine(image, labels, 24.0))
    (size,) = [f for f in examine(image, labels, 4.0) if f.kind == "size"]
    assert "the model knows 4.0 px" in size.text
    assert not size.is_problem
    noise = np.random.default_rng(0).random(image.shape)
    assert "contrast" in kinds(examine(noise, labels))
    assert "contrast" in kinds(examine(np.zeros_like(image), labels))
    assert kinds(examine(image, labels * 0)) == {"empty"}


def test_remedies_have_names():
    assert check_fixes(["all"]) == tuple(FIXES)
    assert check_fixes(["shift", "tiny"]) == ("tiny", "shift")
    with pytest.raises(SettingError, match="Known: all, split"):
        check_fixes(["magic"])
