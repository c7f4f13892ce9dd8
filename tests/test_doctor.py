from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from napari_nucleiseg.data.pairs import find_pairs
from napari_nucleiseg.diagnosis import FIXES, VERBS
from napari_nucleiseg.doctor import (
    Checked,
    ImageChecked,
    PairRead,
    check,
    read_pair,
)
from napari_nucleiseg.editing import State
from napari_nucleiseg.errors import FileError, SettingError, TrainingError
from napari_nucleiseg.events import Saved
from napari_nucleiseg.io import read_labels, write_labels
from napari_nucleiseg.project import NAME, Project
from napari_nucleiseg.reviewed import whole_image
from napari_nucleiseg.samples import SAMPLES
from napari_nucleiseg.store import find_model


@pytest.fixture
def data(tmp_path):
    """A training folder of the three samples."""
    for sample in SAMPLES.values():
        for kind, source in (("images", sample.micrograph), ("masks", sample.labels)):
            path = tmp_path / "data" / kind / sample.micrograph.name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
    return tmp_path / "data"


def result(*values, **options) -> Checked:
    *_, last = check(*values, **options)
    assert isinstance(last, Checked)
    return last


def kinds(checked, name):
    (image,) = [i for i in checked.images if i.name == name]
    return [f.kind for f in image.findings]


def test_sound_data_has_no_problems(data):
    events = list(check(data, find_model("nuclei")))
    assert [(e.name, e.done, e.total) for e in events if isinstance(e, ImageChecked)] == [
        ("brightfield", 1, 3),
        ("fluorescence", 2, 3),
        ("stained", 3, 3),
    ]
    assert events[-1].problems == 0
    record = events[-1].record()
    assert [i["nuclei"] for i in record["images"]] == [20, 22, 34]


def test_the_card_says_what_the_model_knows():
    assert find_model("nuclei").median_diameter_px == pytest.approx(19.4)


@pytest.mark.parametrize("colours", [False, True])
def test_case_17_a_mask_is_named_with_its_pieces_and_split_in_a_copy(data, tmp_path, colours):
    labels = read_labels(data / "masks" / "fluorescence.png").image
    if colours:
        table = np.random.default_rng(0).integers(50, 256, (labels.max() + 1, 3))
        table[0] = 0
        mask = table[labels].astype(np.uint8)
    else:
        mask = np.where(labels > 0, 255, 0).astype(np.uint8)
    path = data / "masks" / "fluorescence.png"
    Image.fromarray(mask).save(path)
    content = path.read_bytes()
    found = result(data, fixes=["split"], out=tmp_path / "copy")
    (image,) = [i for i in found.images if i.name == "fluorescence"]
    finding = image.findings[0]
    assert finding.kind == ("colours" if colours else "binary mask")
    count = read_labels(path).image.max()
    assert f"became {count} nuclei" in finding.text
    assert path.read_bytes() == content
    copy = read_labels(tmp_path / "copy" / "masks" / "fluorescence.tif")
    assert copy.notices == ()
    assert len(np.unique(copy.image)) - 1 == count
    again = result(tmp_path / "copy")
    assert not {"binary mask", "colours"} & set(kinds(again, "fluorescence"))


def test_case_5_what_is_broken_alone_or_no_image_is_named(data, tmp_path):
    images, masks = data / "images", data / "masks"
    (images / "Thumbs.db").write_bytes(b"thumbs")
    shutil.copyfile(images / "stained.png", images / "alone.png")
    (images / "stained.png").write_bytes((images / "stained.png").read_bytes()[:900])
    write_labels(masks / "brightfield.png", np.eye(40, dtype=np.int32))
    found = result(data, fixes=["all"], out=tmp_path / "copy")
    assert kinds(found, "stained") == ["unreadable"]
    assert kinds(found, "brightfield") == ["other size"]
    assert kinds(found, "fluorescence") == []
    (other, alone) = sorted(found.findings, key=lambda f: f.is_problem)
    assert "Thumbs.db" in other.text
    assert not other.is_problem
    assert "alone.png has no label image" in alone.text
    assert found.problems == 3
    assert [p.name for p in find_pairs(tmp_path / "copy")[0]] == ["fluorescence"]


def test_an_image_twice_is_told_and_left_out_of_the_copy(data, tmp_path):
    for kind in ("images", "masks"):
        shutil.copyfile(data / kind / "stained.png", data / kind / "twin.png")
    with (data / "index.csv").open("w", newline="") as file:
        rows = [("fluorescence", "train"), ("stained", "train"), ("twin", "val")]
        csv.writer(file).writerows([("image_id", "split"), *rows])
    events = list(check(data, fixes=["duplicates"], out=tmp_path / "copy"))
    (twin,) = [e for e in events if isinstance(e, ImageChecked) and e.name == "twin"]
    assert "same pixels as stained, which is in the split 'train'" in twin.findings[0].text
    assert [e.path for e in events if isinstance(e, Saved)] == [tmp_path / "copy"]
    pairs, _ = find_pairs(tmp_path / "copy")
    assert [(p.name, p.split) for p in pairs] == [("fluorescence", "train"), ("stained", "train")]
    for kind in ("images", "masks"):
        assert (data / kind / "twin.png").is_file()


def test_remedies_are_chosen_for_each_pair_and_the_others_are_copied_as_they_are(data, tmp_path):
    before = {}
    for name in ("fluorescence", "stained"):
        labels = read_labels(data / "masks" / f"{name}.png").image.copy()
        rows, columns = np.nonzero(labels == 7)
        y, x = int(rows.mean()), int(columns.mean())
        labels[y - 1 : y + 2, x - 1 : x + 2] = 0
        write_labels(data / "masks" / f"{name}.png", labels)
        before[name] = labels
    chosen = {"stained": ("holes",), "fluorescence": ()}
    events = list(check(data, fixes=chosen, out=tmp_path / "copy"))
    fixed = {e.name: e.fixed for e in events if isinstance(e, ImageChecked)}
    assert fixed == {
        "brightfield": (),
        "fluorescence": (),
        "stained": ("holes of 1 nucleus filled",),
    }
    holes = [f for e in events[:-2] for f in e.findings if f.kind == "holes"]
    assert [f.numbers for f in holes] == [(7,), (7,)]
    copies = {n: read_labels(tmp_path / "copy" / "masks" / f"{n}.tif").image for n in before}
    assert np.array_equal(copies["fluorescence"], before["fluorescence"])
    assert not np.array_equal(copies["stained"], before["stained"])
    assert not any(
        f.kind == "holes" for i in result(tmp_path / "copy").images[2:] for f in i.findings
    )


def test_no_remedy_chosen_copies_nothing(data, tmp_path):
    assert result(data, fixes={"stained": ()}, out=tmp_path / "copy").problems == 0
    assert not (tmp_path / "copy").exists()
    with pytest.raises(SettingError, match="Unknown remedy"):
        result(data, fixes={"stained": ("magic",)}, out=tmp_path / "copy")


def test_every_remedy_has_a_word_for_its_button():
    assert VERBS.keys() == FIXES.keys()


def test_a_pair_is_read_to_be_looked_at(data):
    pairs, _ = find_pairs(data)
    (read,) = read_pair(pairs[1])
    assert isinstance(read, PairRead)
    assert (read.pair.name, read.micrograph.name) == ("fluorescence", "fluorescence")
    assert np.array_equal(read.labels, read_labels(pairs[1].labels).image)


def test_a_project_tells_what_was_not_reviewed(data):
    labels = {n: read_labels(data / "masks" / f"{n}.png").image for n in SAMPLES}
    with Project(data / NAME) as project:
        for name, states, areas in (
            ("fluorescence", {}, []),
            ("stained", {3: State.CONFIRMED}, []),
            ("brightfield", {}, [whole_image(labels["brightfield"].shape)]),
        ):
            corrections = project.corrections(project.add(data / "images" / f"{name}.png"))
            corrections.save(labels[name], states, areas)
    found = result(data / NAME)
    assert kinds(found, "images/fluorescence") == ["not reviewed"]
    assert kinds(found, "images/stained") == ["not reviewed"]
    assert kinds(found, "images/brightfield") == []
    assert found.problems == 1


def test_damaged_corrections_and_stacks_are_named_and_the_rest_is_looked_at(data):
    labels = {n: read_labels(data / "masks" / f"{n}.png").image for n in SAMPLES}
    with Project(data / NAME) as project:
        for name, image in labels.items():
            corrections = project.corrections(project.add(data / "images" / f"{name}.png"))
            stack = np.stack([image, image]) if name == "stained" else image
            plane = (0,) if name == "stained" else ()
            corrections.save(stack, {}, [whole_image(image.shape, plane)])
            if name == "fluorescence":
                (file,) = corrections.folder.glob("*.tif")
                file.write_bytes(file.read_bytes()[:100])
    found = result(data / NAME)
    assert kinds(found, "images/fluorescence") == ["unreadable"]
    assert kinds(found, "images/stained") == ["unreadable"]
    assert kinds(found, "images/brightfield") == []


def test_originals_are_safe(data, tmp_path):
    with pytest.raises(FileError, match="Add --out"):
        list(check(data, fixes=["all"]))
    with pytest.raises(FileError, match="not empty"):
        list(check(data, fixes=["all"], out=data))
    with pytest.raises(SettingError, match="Unknown remedy"):
        list(check(data, fixes=["magic"], out=tmp_path / "copy"))
    with pytest.raises(TrainingError, match="no such training folder"):
        list(check(tmp_path / "nowhere"))
