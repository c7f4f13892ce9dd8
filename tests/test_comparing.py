"""Comparison of models: rows, sums, what fails, and what it all says."""

from __future__ import annotations

import csv
import pickle
from contextlib import closing

import numpy as np
import pytest

from napari_nucleiseg import SegmentConfig, comparing
from napari_nucleiseg.comparing import (
    LEAST_IMAGES,
    Annotated,
    Compared,
    Comparing,
    ComparisonDone,
    NotCompared,
    Row,
    annotated_folder,
    annotated_samples,
    compare,
    splits_of,
    summarise,
    write_tables,
)
from napari_nucleiseg.errors import FileError, NucleisegError, SettingError, ShapeError
from napari_nucleiseg.evaluation import score_image
from napari_nucleiseg.events import DeviceChosen, Segmented, TileDone
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import SAMPLES
from napari_nucleiseg.segmentation import segment_now

CONFIG = SegmentConfig(device="cpu", engine="torch")
SIZE = (8, 10)


def truth() -> np.ndarray:
    labels = np.zeros(SIZE, np.int32)
    labels[1:4, 1:4], labels[5:8, 5:9] = 1, 2
    return labels


def items(count: int) -> list[Annotated]:
    plain = Micrograph(np.zeros(SIZE, np.uint8), "YX")
    return [Annotated(f"image {i}", plain, truth()) for i in range(count)]


def finds_one_or_both(micrograph, config):
    """Stands in for segmentation: "nuclei" finds both nuclei, any other model one."""
    yield DeviceChosen("cpu", "a fake", "for a test")
    yield TileDone(1, 2)
    yield TileDone(2, 2)
    labels = truth() if config.model == "nuclei" else np.where(truth() == 1, 1, 0).astype(np.int32)
    yield Segmented(labels, 2, 3.0, 99.0, {"model": config.model})


def row(model: str, image: int, ap: float, seconds: float = 2.0) -> Row:
    scores = {"dice": ap, "iou": ap, "ap50": ap, "average_precision": ap, "panoptic": ap}
    return Row(model, f"image {image}", scores, seconds, 1.0)


# --- with real models --------------------------------------------------------------------------


@pytest.mark.slow
def test_rows_are_what_segmentation_and_evaluation_give(fluorescence, stained, model_folder):
    given = [
        Annotated("cells", *fluorescence),
        Annotated("tissue", lambda: stained[0], stained[1]).loaded(),
    ]
    events = list(compare(["nuclei", "noisy", "torn"], given, CONFIG))
    found = {(e.row.model, e.row.image): e for e in events if isinstance(e, Compared)}
    assert list(found) == [(m, i) for m in ("nuclei", "noisy") for i in ("cells", "tissue")]
    for (model, image), event in found.items():
        micrograph, true = fluorescence if image == "cells" else stained
        alone = segment_now(micrograph, CONFIG.model_copy(update={"model": model}))
        assert np.array_equal(event.labels, alone.labels)
        assert event.row.scores == score_image(true, alone.labels)
        assert event.row.megapixels == true.size / 1e6
        assert event.manifest["model"]["name"] == model
    [torn] = [e for e in events if isinstance(e, NotCompared)]
    assert (torn.model, torn.image) == ("torn", "")
    assert "damaged" in torn.text
    done = events[-1]
    assert isinstance(done, ComparisonDone)
    assert [m.model for m in done.models] == ["nuclei", "noisy"]
    assert done.models[0].means["dice"] == pytest.approx(
        np.mean([found["nuclei", i].row.scores["dice"] for i in ("cells", "tissue")])
    )


# --- with a stand-in for segmentation ----------------------------------------------------------


@pytest.fixture
def fake(monkeypatch):
    def use(generator):
        monkeypatch.setattr(comparing, "segment", generator)
        monkeypatch.setattr(comparing, "find_model", lambda name: name)

    use(finds_one_or_both)
    return use


def test_progress_counts_models_images_and_tiles(fake):
    steps = [e for e in compare(["a", "nuclei"], items(2), CONFIG) if isinstance(e, Comparing)]
    assert [(s.model_number, s.image_number, s.tile, s.tiles) for s in steps[:4]] == [
        (1, 1, 0, 0),
        (1, 1, 1, 2),
        (1, 1, 2, 2),
        (1, 2, 0, 0),
    ]
    shares = [s.share for s in steps]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)


def test_the_best_comes_first_and_the_others_are_judged_against_it(fake):
    *_, done = compare(["a", "nuclei", "a"], items(LEAST_IMAGES), CONFIG)
    best, other = done.models
    assert (best.model, best.images, best.means["average_precision"]) == ("nuclei", 6, 1.0)
    assert (other.model, other.means["average_precision"]) == ("a", 0.5)
    assert best.verdict == "highest AP"
    assert other.verdict.startswith("nuclei is better than a (+0.500, 95 % interval")


def test_the_time_is_that_of_segmenting_without_loading(fake):
    rows = [e.row for e in compare(["nuclei"], items(1), CONFIG) if isinstance(e, Compared)]
    assert 0 < rows[0].seconds < 99


def test_few_images_and_small_differences_are_no_verdict():
    few = summarise([row("a", i, 0.9) for i in range(3)] + [row("b", i, 0.1) for i in range(3)])
    assert "too few images" in few[1].verdict
    rows = [row("a", i, 0.5) for i in range(20)]
    rows += [row("b", i, 0.6 if i % 2 else 0.39) for i in range(20)]
    assert summarise(rows)[1].verdict.startswith("no significant difference between b and a")
    assert summarise([row("a", 0, 0.5)])[0].verdict == ""


def test_means_and_speed():
    [found] = summarise([row("a", 0, 0.2, seconds=1.0), row("a", 1, 0.6, seconds=3.0)])
    assert found.means["panoptic"] == pytest.approx(0.4)
    assert found.seconds == 2.0
    assert found.megapixels_per_second == pytest.approx(0.5)


def test_a_model_that_managed_more_images_comes_before_one_with_higher_scores():
    rows = [row("all", i, 0.5) for i in range(8)] + [row("some", i, 0.9) for i in range(7)]
    first, second = summarise(rows)
    assert (first.model, second.model, second.images) == ("all", "some", 7)
    assert second.verdict.startswith("some is better than all (+0.400")


@pytest.mark.parametrize("error", [NucleisegError("Too dark"), RuntimeError("no kernel")])
def test_a_model_that_fails_on_an_image_is_told_and_others_go_on(fake, error):
    def fails_once(micrograph, config):
        if config.model == "a" and micrograph.name == "second":
            raise error
        yield from finds_one_or_both(micrograph, config)

    fake(fails_once)
    second = Micrograph(np.zeros(SIZE, np.uint8), "YX", name="second")
    given = [*items(1), Annotated("second", second, truth())]
    events = list(compare(["a", "nuclei"], given, CONFIG))
    [failure] = [e for e in events if isinstance(e, NotCompared)]
    assert failure.text.startswith("a on second: ")
    assert error.args[0] in failure.text
    assert [(m.model, m.images) for m in events[-1].models] == [("nuclei", 2), ("a", 1)]


def test_an_image_that_cannot_be_used_is_told_once(fake, tmp_path):
    plain = Micrograph(np.zeros(SIZE, np.uint8), "YX")
    given = [
        Annotated("cropped", plain, truth()[:5]),
        Annotated("gone", tmp_path / "gone.tif", truth()),
        *items(1),
    ]
    events = list(compare(["a", "nuclei"], given, CONFIG))
    failures = [e for e in events if isinstance(e, NotCompared)]
    assert [(f.model, f.image) for f in failures] == [("", "cropped"), ("", "gone")]
    assert "8×10" in failures[0].text
    assert "5×10" in failures[0].text
    assert len(events[-1].models) == 2


def test_where_nothing_worked_it_fails_and_says_why():
    with pytest.raises(NucleisegError, match="There is no such model: 'nope'"):
        list(compare(["nope"], items(1), CONFIG))


def test_nothing_to_do_is_said(fake):
    with pytest.raises(SettingError, match="No model"):
        list(compare([], items(1), CONFIG))
    with pytest.raises(SettingError, match="No annotated micrograph"):
        list(compare(["nuclei"], [], CONFIG))


def test_closing_stops_the_segmentation(fake):
    closed = []

    def waits(micrograph, config):
        try:
            yield TileDone(1, 2)
            yield TileDone(2, 2)
        finally:
            closed.append(config.model)

    fake(waits)
    with closing(compare(["a", "b"], items(2), CONFIG)) as events:
        next(events)
        assert next(events).tile == 1
    assert closed == ["a"]


# --- what is compared on -----------------------------------------------------------------------


def test_samples_can_go_to_another_process():
    given = pickle.loads(pickle.dumps(annotated_samples()))
    assert [item.name for item in given] == list(SAMPLES)
    micrograph, true = given[0].read()
    assert micrograph.shape == true.shape
    assert true.max() == 22


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(SAMPLES):
        for kind, source in (("images", SAMPLES[name].micrograph), ("masks", SAMPLES[name].labels)):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{name}.png").write_bytes(source.read_bytes())
        line = f"{name},{'val' if i else 'train'}\n"
        with (tmp_path / "index.csv").open("a") as file:
            file.write(line if i else f"image_id,split\n{line}")
    return tmp_path


def test_a_folder_and_its_splits(folder):
    assert splits_of(folder) == ("train", "val")
    everything, notices = annotated_folder(folder)
    assert [item.name for item in everything] == sorted(SAMPLES)
    assert notices == (
        "1 of the 3 micrographs are of the split train: models that have learned from them score "
        "too well",
    )
    assert annotated_folder(folder, "val")[1] == ()
    assert [item.name for item in annotated_folder(folder, "VAL")[0]] == ["brightfield", "stained"]
    with pytest.raises(SettingError, match="Splits: train, val"):
        annotated_folder(folder, "test")
    (folder / "index.csv").unlink()
    assert splits_of(folder) == ()
    with pytest.raises(SettingError, match=r"index\.csv"):
        annotated_folder(folder, "val")


def test_a_folder_without_pairs_is_said(tmp_path):
    with pytest.raises(FileError, match="No pairs of micrograph and label image"):
        annotated_folder(tmp_path)
    with pytest.raises(FileError, match="There is no such folder"):
        annotated_folder(tmp_path / "none")


def test_a_micrograph_in_the_place_of_the_truth_is_refused(folder):
    source = SAMPLES["fluorescence"].micrograph
    (folder / "masks" / "fluorescence.png").write_bytes(source.read_bytes())
    [item] = annotated_folder(folder, "train")[0]
    with pytest.raises(FileError, match="looks like a micrograph"):
        item.read()


def test_truth_of_classes_is_joined(folder, tmp_path):
    place = tmp_path / "classes"
    place.mkdir()
    (place / "image.png").write_bytes(SAMPLES["fluorescence"].micrograph.read_bytes())
    labels = np.zeros((360, 360), np.int32)
    one, two = labels.copy(), labels.copy()
    one[:9, :9], two[20:29, :9] = 1, 1
    write_labels(place / "class1.png", one)
    write_labels(place / "class2.png", two)
    [item] = annotated_folder(place)[0]
    _, true = item.read()
    assert len(np.unique(true)) == 3


def test_sizes_that_differ_are_a_sentence():
    with pytest.raises(ShapeError, match="true nuclei of this image"):
        Annotated("a", Micrograph(np.zeros(SIZE, np.uint8), "YX"), truth().T).read()


# --- tables ------------------------------------------------------------------------------------


def test_tables_hold_every_row_and_the_sums(tmp_path):
    rows = [row("a, b", i, 0.5) for i in range(2)]
    images, models = write_tables(tmp_path / "out", rows)
    with images.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [r["image"] for r in read] == ["image 0", "image 1"]
    assert float(read[0]["average_precision"]) == 0.5
    with models.open(newline="") as file:
        [model] = csv.DictReader(file)
    assert (model["model"], model["images"], model["megapixels_per_second"]) == ("a, b", "2", "0.5")
