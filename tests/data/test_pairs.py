from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleiseg.data.pairs import find_pairs, load_pairs
from napari_nucleiseg.data.patches import TrainingImage
from napari_nucleiseg.editing import State
from napari_nucleiseg.errors import TrainingError
from napari_nucleiseg.events import LeftOut, Notice
from napari_nucleiseg.intensity import NormaliseConfig, normalise
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.project import Project


@pytest.fixture
def folder(tmp_path, fluorescence, stained):
    """images/ and masks/ with two pairs."""
    (tmp_path / "images").mkdir()
    for name, (micrograph, labels) in {"a": fluorescence, "b": stained}.items():
        Image.fromarray(micrograph.pixels).save(tmp_path / "images" / f"{name}.png")
        write_labels(tmp_path / "masks" / f"{name}.png", labels)
    return tmp_path


def images(pairs):
    return [i for i in load_pairs(pairs, NormaliseConfig()) if isinstance(i, TrainingImage)]


def test_finds_images_and_masks_of_the_same_stem(folder, fluorescence):
    pairs, notices = find_pairs(folder)
    assert [p.name for p in pairs] == ["a", "b"]
    assert notices == ()
    first, second = images(pairs)
    assert np.array_equal(first.labels, fluorescence[1])
    assert (first.group, second.group) == ("dark", "colour")


def test_names_what_has_no_partner(folder):
    (folder / "masks" / "b.png").unlink()
    pairs, notices = find_pairs(folder)
    assert [p.name for p in pairs] == ["a"]
    assert "b.png has no label image" in notices[0]


def test_leaves_other_files_alone(folder):
    (folder / "images" / "Thumbs.db").write_bytes(b"thumbs")
    (folder / "images" / "notes.txt").write_text("notes", encoding="utf-8")
    assert [p.name for p in find_pairs(folder)[0]] == ["a", "b"]


def test_honours_the_split_of_an_index(folder):
    text = "image_id,split\na,train\nb,val\n"
    (folder / "index.csv").write_text(text, encoding="utf-8")
    assert {p.name: p.split for p in find_pairs(folder)[0]} == {"a": "train", "b": "val"}


def test_an_index_without_its_columns_is_named(folder):
    (folder / "index.csv").write_text("name\na\n", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"index\.csv"):
        find_pairs(folder)


def test_an_index_that_is_no_text_is_named(folder):
    (folder / "index.csv").write_bytes(b"\xff\xfe\0image_id")
    with pytest.raises(TrainingError, match=r"cannot be read: .*index\.csv \(it is no text file\)"):
        find_pairs(folder)


def test_a_short_row_of_an_index_is_in_no_split(folder):
    (folder / "index.csv").write_text("image_id,split\na,train\nb\n", encoding="utf-8")
    assert {p.name: p.split for p in find_pairs(folder)[0]} == {"a": "train", "b": ""}


def test_finds_label_images_beside_the_micrographs(folder, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in ("a", "b"):
        shutil.copy(folder / "images" / f"{name}.png", flat / f"{name}.png")
    write_labels(flat / "a_labels.tif", np.eye(360, dtype=np.int32))
    pairs, notices = find_pairs(flat)
    assert [(p.name, p.labels.name) for p in pairs] == [("a", "a_labels.tif")]
    assert "b.png has no b_labels" in notices[0]


def test_finds_one_file_per_nucleus(tmp_path, fluorescence):
    micrograph, labels = fluorescence
    for sub in ("images", "masks"):
        (tmp_path / "id1" / sub).mkdir(parents=True)
    Image.fromarray(micrograph.pixels).save(tmp_path / "id1" / "images" / "id1.png")
    for number in np.unique(labels[labels > 0]):
        mask = np.where(labels == number, 255, 0).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / "id1" / "masks" / f"{number}.png")
    (image,) = images(find_pairs(tmp_path)[0])
    assert len(np.unique(image.labels)) == len(np.unique(labels))
    assert np.array_equal(image.labels > 0, labels > 0)


def test_one_file_per_nucleus_with_the_same_names_in_each_folder(tmp_path, fluorescence):
    micrograph, labels = fluorescence
    for name in ("a", "b", "c"):
        for sub in ("images", "masks"):
            (tmp_path / name / sub).mkdir(parents=True)
        Image.fromarray(micrograph.pixels).save(tmp_path / name / "images" / "image.png")
        mask = np.where(labels == 1, 255, 0).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / name / "masks" / "1.png")
    assert [p.name for p in find_pairs(tmp_path)[0]] == ["a", "b", "c"]


def test_two_files_of_one_stem_are_said(folder):
    shutil.copy(folder / "images" / "a.png", folder / "images" / "a.bmp")
    _, notices = find_pairs(folder)
    assert any("the same name" in text for text in notices)


def test_different_sizes_name_both_files(folder):
    write_labels(folder / "masks" / "a.png", np.ones((10, 12), np.int32))
    items = list(load_pairs(find_pairs(folder)[0], NormaliseConfig()))
    left_out = [i.text for i in items if isinstance(i, LeftOut)]
    assert len(left_out) == 1
    assert re.search(r"a\.png is 360×360, .*a\.png is 10×12", left_out[0])
    assert [i.name for i in items if isinstance(i, TrainingImage)] == ["b"]


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_broken_file_is_named_and_the_others_train(folder, kind):
    (folder / kind / "a.png").write_bytes(b"")
    items = list(load_pairs(find_pairs(folder)[0], NormaliseConfig()))
    assert [i.name for i in items if isinstance(i, TrainingImage)] == ["b"]
    (left_out,) = (i.text for i in items if isinstance(i, LeftOut))
    assert "a.png" in left_out


def test_many_channels_train_on_the_one_with_nuclei(folder, fluorescence):
    micrograph, _ = fluorescence
    planes = np.stack((np.zeros_like(micrograph.pixels), micrograph.pixels))
    (folder / "images" / "a.png").unlink()
    tifffile.imwrite(folder / "images" / "a.tif", planes, imagej=True, metadata={"axes": "CYX"})
    first = images(find_pairs(folder)[0])[0]
    expected = normalise(micrograph.pixels, NormaliseConfig())[:1]
    assert np.array_equal(first.image, expected.astype(np.float16))


def test_binary_masks_never_train_one_giant_nucleus(folder, fluorescence):
    binary = np.where(fluorescence[1] > 0, 255, 0).astype(np.uint8)
    Image.fromarray(binary).save(folder / "masks" / "a.png")
    items = list(load_pairs(find_pairs(folder)[0], NormaliseConfig()))
    first = next(i for i in items if isinstance(i, TrainingImage))
    assert first.labels.max() > 10
    assert any(isinstance(i, Notice) for i in items)


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_useless_folder_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=name):
        find_pairs(tmp_path / name)


def test_a_mask_of_all_nuclei_does_not_train(folder, fluorescence, tmp_path):
    _, labels = fluorescence
    kinds = np.where(labels % 2, 1, 2) * (labels > 0)
    write_labels(folder / "masks" / "a.png", kinds)
    events = list(load_pairs(find_pairs(folder)[0], NormaliseConfig()))
    (left_out,) = [e.text for e in events if isinstance(e, LeftOut)]
    assert "does not tell nuclei apart" in left_out
    assert re.search(r"number \d lies in \d+ pieces", left_out)
    assert "nucleiseg check" in left_out
    assert [e.name for e in events if isinstance(e, TrainingImage)] == ["b"]


@pytest.fixture
def corrected(folder, fluorescence):
    """The same folder, its first micrograph corrected in a project beside."""
    with Project(folder / ".nucleiseg") as project:
        corrections = project.corrections(project.add(folder / "images" / "a.png"))
        corrections.save(fluorescence[1], {3: State.CONFIRMED}, [])
        corrections.record(states={5: State.EDITED})
    return folder


def test_corrections_take_the_place_of_a_label_image(corrected):
    pairs, notices = find_pairs(corrected)
    assert [(p.name, p.is_corrected) for p in pairs] == [("a", True), ("b", False)]
    assert notices == ()
    first, second = images(pairs)
    assert set(np.unique(first.labels)) == {-1, 0, 3, 5}
    assert (second.labels >= 0).all()


def test_equal_names_in_a_project_are_two_pairs(corrected, fluorescence):
    picture = corrected / "images" / "a.tif"
    tifffile.imwrite(picture, fluorescence[0].pixels)
    with Project(corrected / ".nucleiseg") as project:
        corrections = project.corrections(project.add(picture))
        corrections.save(fluorescence[1], {3: State.CONFIRMED}, [])
    pairs, _ = find_pairs(corrected / ".nucleiseg")
    assert sorted(p.micrograph.name for p in pairs) == ["a.png", "a.tif"]
    assert len({p.name for p in pairs}) == 2


def test_a_micrograph_kept_for_tests_stays_so_when_it_is_corrected(corrected):
    text = "image_id,split\na,val\nb,train\n"
    (corrected / "index.csv").write_text(text, encoding="utf-8")
    pairs, notices = find_pairs(corrected)
    assert {p.name: (p.split, p.is_corrected) for p in pairs} == {
        "a": ("val", True),
        "b": ("train", False),
    }
    assert notices == ()


def test_a_label_image_counts_until_something_was_reviewed(folder, stained):
    with Project(folder / ".nucleiseg") as project:
        corrections = project.corrections(project.add(folder / "images" / "b.png"))
        corrections.save(stained[1] * 0, {}, [])
    pairs, _ = find_pairs(folder)
    assert [(p.name, p.is_corrected) for p in pairs] == [("a", False), ("b", False)]
    (only,) = find_pairs(folder / ".nucleiseg")[0]
    (left_out,) = load_pairs([only], NormaliseConfig())
    assert "Nothing in this micrograph was reviewed" in left_out.text


def test_a_project_is_a_training_folder_of_its_own(corrected):
    (corrected / "masks" / "a.png").unlink()
    assert find_pairs(corrected)[1] == ()
    (only,) = find_pairs(corrected / ".nucleiseg")[0]
    assert only.micrograph == corrected / "images" / "a.png"


def test_a_micrograph_that_changed_since_is_left_out_of_the_project(corrected):
    (corrected / "images" / "b.png").rename(corrected / "images" / "a.png")
    with pytest.raises(TrainingError, match="No pairs"):
        find_pairs(corrected / ".nucleiseg")
    _, notices = find_pairs(corrected)
    assert "has changed since it was corrected" in notices[0]
