from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_nucleiseg.config import AugmentConfig, TrainConfig
from napari_nucleiseg.data.classes import class_of, with_class
from napari_nucleiseg.data.pairs import find_pairs, load_pairs
from napari_nucleiseg.data.patches import PatchSampler, TrainingImage
from napari_nucleiseg.errors import TrainingError
from napari_nucleiseg.events import LeftOut, Notice
from napari_nucleiseg.intensity import NormaliseConfig
from napari_nucleiseg.io import write_labels


def write(folder, labels, pixels):
    """A folder with one micrograph and a label image for each class."""
    folder.mkdir(parents=True)
    write_labels(folder / "image.tif", pixels)
    for number, image in labels.items():
        write_labels(folder / f"class{number}.tif", image)


@pytest.fixture
def squares():
    """Two nuclei of class 1, and one of class 2 that overlaps the second of them by 2 x 4 px."""
    first, second = np.zeros((2, 40, 48), np.int32)
    first[2:10, 2:10], first[20:30, 20:30] = 3, 7
    second[26:36, 28:38] = 5
    return {1: first, 2: second}


def load(folder):
    items = list(load_pairs(find_pairs(folder)[0], NormaliseConfig()))
    return [i for i in items if isinstance(i, TrainingImage)], items


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_numbers_carry_their_class_and_stay_distinct(classes):
    nuclei = np.arange(1, 101)
    kinds = np.random.default_rng(0).integers(1, classes + 1, 100)
    numbers = with_class(nuclei, kinds, classes)
    assert np.array_equal(class_of(numbers, classes), kinds)
    assert len(np.unique(numbers)) == 100
    if classes == 1:
        assert np.array_equal(numbers, nuclei)


def test_folders_of_classes_are_found_at_any_depth(tmp_path, squares):
    pixels = np.arange(40 * 48).reshape(40, 48)
    write(tmp_path / "slide" / "a", squares, pixels)
    write(tmp_path / "b", {2: squares[2]}, pixels)
    pairs, notices = find_pairs(tmp_path)
    assert [p.name for p in pairs] == ["b", "slide/a"]
    assert notices == ()
    images, _ = load(tmp_path)
    assert [i.classes for i in images] == [2, 2]
    assert set(class_of(images[0].labels[images[0].labels > 0], 2)) == {2}


def test_the_folder_itself_may_be_one(tmp_path, squares):
    write(tmp_path / "one", squares, np.arange(40 * 48).reshape(40, 48))
    pairs, notices = find_pairs(tmp_path / "one")
    assert [p.name for p in pairs] == ["one"]
    assert notices == ()


def test_overlaps_go_to_the_last_class_and_are_counted(tmp_path, squares):
    write(tmp_path / "a", squares, np.arange(40 * 48).reshape(40, 48))
    (image,), items = load(tmp_path)
    kinds = np.where(image.labels > 0, class_of(image.labels, 2), 0)
    assert np.array_equal(kinds, np.where(squares[2] > 0, 2, squares[1] > 0))
    assert len(np.unique(image.labels)) == 4
    assert any("8 pixels are in several classes" in i.text for i in items if isinstance(i, Notice))


def test_classes_that_differ_in_size_are_left_out_in_words(tmp_path, squares):
    pixels = np.arange(40 * 48).reshape(40, 48)
    write(tmp_path / "a", {1: squares[1], 2: squares[2][:20]}, pixels)
    (left_out,) = (i.text for i in load(tmp_path)[1] if isinstance(i, LeftOut))
    assert "class2.tif is 20×48, class1.tif is 40×48" in left_out


def test_classes_without_an_image_are_named(tmp_path, squares):
    pixels = np.arange(40 * 48).reshape(40, 48)
    write(tmp_path / "a", squares, pixels)
    write(tmp_path / "b", squares, pixels)
    (tmp_path / "b" / "image.tif").unlink()
    pairs, notices = find_pairs(tmp_path)
    assert [p.name for p in pairs] == ["a"]
    assert "b has files of classes but no image" in notices[0]
    (tmp_path / "a" / "image.tif").unlink()
    with pytest.raises(TrainingError, match=r"image\.tif and class1\.tif"):
        find_pairs(tmp_path)


def test_patches_keep_the_class_of_each_nucleus():
    # the class can be read off the picture
    labels = np.zeros((120, 120), np.int32)
    pixels = np.zeros((1, 120, 120), np.float16)
    for n, (y, x) in enumerate(np.ndindex(6, 6), 1):
        kind = n % 3 + 1
        place = slice(20 * y + 3, 20 * y + 17), slice(20 * x + 3, 20 * x + 17)
        labels[place], pixels[0][place] = with_class(n, kind, 3), kind / 4
    image = TrainingImage(pixels, labels, "grid", 3)
    still = AugmentConfig(
        gamma=0, gain=0, offset=0, invert=0, tint=0, blur=0, noise=0, illumination=0, empty=0
    )
    config = TrainConfig(patch_px=96, batch_size=8, augment=still)
    patches, found = PatchSampler([image], config).batch(0)
    for number in torch.unique(found[found > 0]):
        for patch, own in zip(patches, found, strict=True):
            inside = patch[0][own == number]
            if len(inside) > 30:
                kind = class_of(np.array(int(number)), 3)
                assert float(inside.median()) == pytest.approx(kind / 4, abs=0.02)


def test_patches_without_a_nucleus_are_drawn_again():
    labels = np.zeros((400, 400), np.int32)
    labels[190:210, 190:210] = 1
    image = TrainingImage(np.zeros((1, 400, 400), np.float16), labels, "lonely")
    config = TrainConfig(patch_px=64, batch_size=16, augment=AugmentConfig(empty=0))

    def shares(skip_empty):
        sampler = PatchSampler([image], config.model_copy(update={"skip_empty": skip_empty}))
        return float((sampler.batch(0)[1] > 0).flatten(1).any(1).float().mean())

    assert shares(True) > 2 * shares(False)
