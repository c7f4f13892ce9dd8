"""Evaluation of folders: who belongs to whom, what is missing, and what the numbers are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_nucleiseg.errors import FileError, SettingError, ShapeError
from napari_nucleiseg.evaluation import Evaluated, ImageCompared, evaluate
from napari_nucleiseg.events import LeftOut, Notice
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.judging import judge_folders
from napari_nucleiseg.metrics.average_precision import average_precision
from napari_nucleiseg.project import NAME, Project
from napari_nucleiseg.reviewed import rectangle
from napari_nucleiseg.samples import SAMPLES, read_sample

ONE = np.array([[1, 1, 0, 0], [1, 1, 0, 2], [0, 0, 0, 2]])
MISSED = np.array([[5, 5, 0, 0], [5, 5, 0, 0], [0, 0, 0, 0]])
EMPTY = np.zeros((3, 4), int)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions ``pred/NAME_labels.tif`` and truths ``true/NAME.png`` of two images, a and b."""
    for name, prediction in (("a", MISSED), ("b", ONE)):
        write_labels(tmp_path / "pred" / f"{name}_labels.tif", prediction)
        write_labels(tmp_path / "true" / f"{name}.png", ONE)
    return tmp_path / "pred", tmp_path / "true"


def last(*args, **options) -> Evaluated:
    *_, result = evaluate(*args, **options)
    assert isinstance(result, Evaluated)
    return result


def test_files_are_matched_by_name_and_scored(folders):
    events = list(evaluate(*folders))
    assert [type(e) for e in events] == [ImageCompared, ImageCompared, Evaluated]
    a, b, result = events
    assert (a.name, a.true_count, a.found_count, a.done, a.total) == ("a", 2, 1, 1, 2)
    assert a.scores["average_precision"] == pytest.approx(0.5)
    assert a.scores["f1"] == pytest.approx(2 / 3)
    assert set(b.scores.values()) == {1.0}
    everything = result.summaries["all"]
    assert (everything.images, everything.true_count, everything.found_count) == (2, 4, 3)
    assert everything.mean_ap["0.50"] == pytest.approx(0.75)
    assert everything.pooled_ap["0.50"] == pytest.approx(3 / 4)
    assert everything.pooled["dice"] == pytest.approx(2 * 10 / (12 + 10))


def test_the_record_is_plain_json(folders):
    record = json.loads(json.dumps(last(*folders).record()))
    assert [image["name"] for image in record["images"]] == ["a", "b"]
    assert record["summary"]["all"]["mean"]["dice"] == pytest.approx((0.8 + 1) / 2)


def test_two_files_need_no_common_name(folders):
    pred, true = folders
    result = last(pred / "a_labels.tif", true / "b.png")
    assert result.images[0].scores["dice"] == pytest.approx(0.8)


def test_a_file_finds_its_partner_in_a_folder(folders):
    pred, true = folders
    assert [i.name for i in last(pred / "b_labels.tif", true).images] == ["b"]
    assert [i.name for i in last(pred, true / "b.png").images] == ["b"]


def test_missing_predictions_are_named(folders):
    pred, true = folders
    (pred / "a_labels.tif").unlink()
    with pytest.raises(FileError, match=r"1 of 2 images have no prediction: a "):
        list(evaluate(pred, true))


def test_a_prediction_without_truth_is_told_and_left_out(folders):
    pred, true = folders
    (true / "a.png").unlink()
    events = list(evaluate(pred, true))
    assert [e.text for e in events if isinstance(e, LeftOut)] == [
        "1 of 2 predictions have no true label image and do not count: a"
    ]
    assert events[-1].summaries["all"].images == 1


def test_nothing_in_common_is_an_error(folders, tmp_path):
    write_labels(tmp_path / "other" / "c.tif", ONE)
    with pytest.raises(FileError, match="have no prediction: a, b"):
        list(evaluate(tmp_path / "other", folders[1]))


def test_many_missing_ones_are_counted_not_listed(tmp_path):
    for i in range(12):
        write_labels(tmp_path / "true" / f"{i:02}.tif", ONE)
    write_labels(tmp_path / "pred" / "00_labels.tif", ONE)
    with pytest.raises(FileError, match=r"11 of 12 .* 05 and 6 more"):
        list(evaluate(tmp_path / "pred", tmp_path / "true"))


def test_sizes_that_differ_are_named_with_their_files(folders):
    pred, true = folders
    write_labels(pred / "a_labels.tif", ONE[:, :3])
    with pytest.raises(ShapeError, match=r"a\.png is 3×4, .*a_labels\.tif is 3×3"):
        list(evaluate(pred, true))


@pytest.mark.parametrize("which", [0, 1])
def test_a_folder_that_is_not_there_is_named(folders, which):
    paths = list(folders)
    paths[which] = paths[which].with_name("nowhere")
    with pytest.raises(FileError, match="nowhere"):
        list(evaluate(*paths))


def test_a_folder_without_label_images_is_named(folders, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("none here")
    with pytest.raises(FileError, match="notes"):
        list(evaluate(tmp_path / "notes", folders[1]))


def test_our_own_output_folder_is_understood(folders, tmp_path):
    pred, true = folders
    (pred / "a_labels.json").write_text("{}")
    (pred / "a_overlay.png").write_bytes((true / "a.png").read_bytes())
    write_labels(pred / "a.tif", EMPTY)  # the micrograph, beside its labels
    (pred / ".hidden.tif").write_bytes(b"")
    assert last(pred, true).images[0].scores["dice"] == pytest.approx(0.8)


def test_two_files_of_one_name_are_refused(folders):
    pred, true = folders
    write_labels(true / "a.tif", ONE)
    with pytest.raises(FileError, match=r"a\.png and a\.tif"):
        list(evaluate(pred, true))


def test_one_file_per_nucleus_counts_as_a_true_label_image(tmp_path):
    for i in (1, 2):
        write_labels(tmp_path / "true" / "a" / f"{i}.png", (i == ONE).astype(np.uint8) * 255)
    write_labels(tmp_path / "pred" / "a_labels.tif", ONE)
    assert last(tmp_path / "pred", tmp_path / "true").images[0].scores["panoptic"] == 1


def test_ignored_pixels_count_on_neither_side(tmp_path):
    truth = ONE.copy()
    truth[:, 3] = -1
    write_labels(tmp_path / "true.tif", truth)
    write_labels(tmp_path / "pred.tif", ONE)
    image = last(tmp_path / "pred.tif", tmp_path / "true.tif").images[0]
    assert (image.true_count, image.found_count, image.scores["dice"]) == (1, 1, 1)


class TestIndex:
    @pytest.fixture
    def index(self, tmp_path: Path) -> Path:
        path = tmp_path / "index.csv"
        path.write_text(
            "image_id,modality,split\na,stained,val\nb,fluorescence,val\nc,stained,train\n",
            encoding="utf-8-sig",
        )
        return path

    def test_modalities_are_summed_up(self, folders, index):
        result = last(*folders, index=index, split="val")
        assert set(result.summaries) == {"all", "fluorescence", "stained"}
        assert result.summaries["stained"].mean_ap["0.50"] == pytest.approx(0.5)
        assert result.summaries["fluorescence"].images == 1

    def test_images_that_are_not_listed_do_not_count(self, folders, index):
        write_labels(folders[0] / "z_labels.tif", ONE)
        write_labels(folders[1] / "y.tif", ONE)
        assert [i.name for i in last(*folders, index=index, split="val").images] == ["a", "b"]

    def test_a_listed_image_must_be_there(self, folders, index):
        with pytest.raises(FileError, match="1 of 3 images have no prediction: c"):
            list(evaluate(*folders, index=index))
        (folders[1] / "a.png").unlink()
        with pytest.raises(FileError, match="1 of 2 images have no true label image: a"):
            list(evaluate(*folders, index=index, split="val"))

    def test_an_unknown_split_lists_the_known_ones(self, folders, index):
        with pytest.raises(SettingError, match=r"'test'.*train, val"):
            list(evaluate(*folders, index=index, split="test"))

    def test_missing_columns_are_named(self, folders, index):
        index.write_text("image,split\na,val\n")
        with pytest.raises(SettingError, match="image_id"):
            list(evaluate(*folders, index=index, split="val"))

    def test_an_index_that_cannot_be_read_is_named(self, folders, tmp_path):
        with pytest.raises(FileError, match=r"none\.csv"):
            list(evaluate(*folders, index=tmp_path / "none.csv"))

    def test_a_split_needs_an_index(self, folders):
        with pytest.raises(SettingError, match="--index"):
            list(evaluate(*folders, split="val"))


def test_scores_of_a_sample_are_those_of_the_metrics(tmp_path):
    truth = read_sample("fluorescence")[1]
    prediction = np.roll(truth, 3, axis=0)
    write_labels(tmp_path / "t.tif", truth)
    write_labels(tmp_path / "p.tif", prediction)
    image = last(tmp_path / "p.tif", tmp_path / "t.tif").images[0]
    assert list(image.ap.values()) == average_precision(truth, prediction).tolist()


def test_a_micrograph_is_refused_as_truth_and_named_as_prediction(tmp_path):
    sample = SAMPLES["fluorescence"]
    with pytest.raises(FileError, match=r"looks like a micrograph.*fluorescence\.png"):
        list(evaluate(sample.labels, sample.micrograph))
    events = list(evaluate(sample.micrograph, sample.labels))
    assert any(isinstance(e, Notice) and "may be a micrograph" in e.text for e in events)


def test_an_empty_zarr_is_refused_by_name(tmp_path, folders):
    (tmp_path / "a.ome.zarr").mkdir()
    for pair in ((folders[0], tmp_path / "a.ome.zarr"), (tmp_path / "a.ome.zarr", folders[1])):
        with pytest.raises(FileError, match=r"a\.ome\.zarr"):
            list(evaluate(*pair))


def test_rows_of_an_index_without_an_image_do_not_count(folders, tmp_path):
    index = tmp_path / "rows.csv"
    index.write_text("split,image_id\nval,a\nval\n,\n")
    result = last(*folders, index=index, split="val")
    assert [image.name for image in result.images] == ["a"]
    with pytest.raises(SettingError, match="Splits: val"):
        list(evaluate(*folders, index=index, split="test"))
    index.write_text("split,image_id\nval\n")
    with pytest.raises(SettingError, match=r"lists no image: .*rows\.csv"):
        list(evaluate(*folders, index=index))


def test_the_corrections_of_a_project_are_a_truth(tmp_path):
    _, labels = read_sample("fluorescence")
    images, found = tmp_path / "images", tmp_path / "found"
    images.mkdir()
    path = images / "cells.png"
    path.write_bytes(SAMPLES["fluorescence"].micrograph.read_bytes())
    write_labels(found / "cells_labels.tif", labels)
    half = rectangle((-0.5, -0.5), (labels.shape[0] - 0.5, labels.shape[1] / 2), labels.shape)
    with Project(images / NAME) as project:
        reference = project.add(path)
        corrections = project.corrections(reference)
        corrections.save(labels, {}, [half])
        corrections.close()
    for truth in (images, images / NAME):
        *_, last = evaluate(found, truth)
        assert [image.name for image in last.images] == ["cells"]
        summary = last.summaries["all"]
        assert 0 < summary.true_count < len(np.unique(labels)) - 1
        assert summary.mean["dice"] == 1
    list(judge_folders(found, images, tmp_path / "report"))
    assert "cells" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
