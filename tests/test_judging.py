"""One prediction against its truth, step by step, and folders with a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from damage import damage
from napari_nucleiseg.comparison import classify, compare
from napari_nucleiseg.errors import FileError, ShapeError
from napari_nucleiseg.evaluation import Evaluated, Files, ImageCompared
from napari_nucleiseg.events import Notice, Saved
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.judging import (
    STEPS,
    FilesRead,
    Judged,
    Judging,
    judge,
    judge_files,
    judge_folders,
    scores_at,
    scores_without,
    training_folder,
)
from napari_nucleiseg.metrics import METRICS, distances_of_outlines
from napari_nucleiseg.reviewed import Area
from napari_nucleiseg.samples import SAMPLES, read_sample


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    truth = read_sample("stained")[1]
    return np.roll(damage(truth, 0).labels, 1, 0), truth


def last(*args, **options) -> Judged:
    *steps, result = judge(*args, **options)
    assert [step.what for step in steps if isinstance(step, Judging)] == list(STEPS)
    return result


def test_the_result_is_that_of_the_comparison(pair):
    found, truth = pair
    result = last(found, truth, pixel_size_um=(0.5, 0.5))
    comparison = compare(truth, found, pixel_size_um=(0.5, 0.5))
    for threshold in (0.5, 0.7, 0.93):
        kinds = classify(comparison.overlaps, threshold)
        expected = comparison.table(kinds)
        table = {**result.table, **result.columns(result.kinds(threshold))}
        assert list(table) == list(expected)
        for name, column in expected.items():
            if column.dtype == object:
                assert column.tolist() == table[name].tolist()
            else:
                assert np.array_equal(column, table[name], equal_nan=True), name
    ap = METRICS.module("average_precision").ap_at(comparison.overlaps)
    assert list(result.ap.values()) == ap.tolist()
    for name in distances_of_outlines():
        assert result.distances_px[name] == pytest.approx(METRICS[name]()(truth, found))
    shown = np.where(result.iou > 0, (result.iou - 1.0) / 100, np.nan)
    assert np.allclose(shown, comparison.iou_image(), atol=0.0051, equal_nan=True)


def test_each_pixel_of_a_nucleus_leads_to_its_row(pair):
    found, truth = pair
    result = last(found, truth)
    table = result.table
    for y, x in np.argwhere((truth > 0) | (found > 0))[::37].tolist():
        row = result.row_at(y, x)
        if truth[y, x]:
            assert table["true_id"][row] == truth[y, x]
        elif table["true_id"][row] == 0:
            assert table["prediction_id"][row] == found[y, x]
        else:
            # a prediction beside its true nucleus
            assert (found[truth == table["true_id"][row]] == found[y, x]).any()
    y, x = np.argwhere((truth == 0) & (found == 0))[0].tolist()
    assert result.row_at(y, x) is None
    assert result.row_at(-1, 3) is None
    assert result.row_at(3, truth.shape[1]) is None


def test_only_reviewed_areas_count(pair):
    found, truth = pair
    box = Area(vertices=((20, 20), (20, 150), (150, 150), (150, 20)))
    result = last(found, truth, (box,))
    inside = set(result.table["true_id"].tolist()) - {0}
    most = {
        int(i)
        for i in np.unique(truth[truth > 0])
        if 2 * (truth[21:150, 21:150] == i).sum() > (truth == i).sum()
    }
    assert most <= inside
    assert len(inside) < len(np.unique(truth)) - 1


def test_sizes_that_differ_are_one_sentence(pair):
    with pytest.raises(ShapeError, match="differ in size: 256×320 and 9×9 px"):
        list(judge(pair[0], np.zeros((9, 9), int)))


def test_empty_images_have_a_result():
    nothing = np.zeros((6, 7), int)
    result = last(nothing, nothing)
    assert result.kinds(0.5).counts()["correct"] == 0
    assert len(result.table["kind"]) == 0
    assert result.row_at(2, 2) is None


def test_scores_at_a_threshold(pair):
    overlaps = compare(pair[1], pair[0]).overlaps
    at_half, fixed = scores_at(overlaps, 0.5), scores_without(overlaps)
    assert {*at_half, *fixed} == {"ap_at", *METRICS.names()} - set(distances_of_outlines())
    for name, value in (at_half | fixed).items():
        if name != "ap_at":
            assert value == pytest.approx(np.mean(METRICS[name]()(pair[1], pair[0]))), name
    higher = scores_at(overlaps, 0.8)
    assert all(higher[name] != value for name, value in at_half.items())
    assert higher["panoptic"] == pytest.approx(
        higher["recognition_quality"] * higher["segmentation_quality"]
    )


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name, sample in SAMPLES.items():
        truth = read_sample(name)[1]
        write_labels(tmp_path / "found" / f"{name}.png", damage(truth, 0).labels)
        write_labels(tmp_path / "data" / "masks" / f"{name}.png", truth)
        (tmp_path / "data" / "images").mkdir(exist_ok=True)
        file = tmp_path / "data" / "images" / f"{name}.png"
        file.write_bytes(sample.micrograph.read_bytes())
    return tmp_path


def test_folders_end_with_a_report(folders):
    truth, images = training_folder(folders / "data")
    assert (truth, images) == (folders / "data" / "masks", folders / "data" / "images")
    assert training_folder(truth) == (truth, None)
    events = list(judge_folders(folders / "found", truth, folders / "out", images, threshold=0.7))
    kinds = [type(e) for e in events]
    assert kinds == [ImageCompared] * 3 + [Evaluated, Saved]
    assert events[-2].threshold == 0.7
    assert events[-1].path == folders / "out" / "report.html"
    assert events[-1].path.is_file()


def test_an_image_of_the_folders(folders):
    files = Files(
        folders / "found" / "stained.png",
        folders / "data" / "masks" / "stained.png",
        folders / "data" / "images" / "stained.png",
    )
    read, *_, result = judge_files("stained", files, (0.5, 0.5))
    assert isinstance(read, FilesRead)
    assert read.micrograph.shape == read.truth.shape == (256, 320)
    assert result.comparison.pixel_size_um == (0.5, 0.5)
    # a micrograph that was damaged meanwhile is told of, and the rest is shown
    files.micrograph.write_bytes(b"no picture")
    notice, read, *_ = judge_files("stained", files)
    assert isinstance(notice, Notice)
    assert "stained.png" in notice.text
    assert read.micrograph is None


def test_a_report_that_cannot_be_written_is_told_before_the_work(folders):
    (folders / "out").write_text("a file")
    events = judge_folders(folders / "found", folders / "data" / "masks", folders / "out")
    with pytest.raises(FileError, match="out"):
        next(events)
