"""``nucleiseg evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from running import run

from napari_nucleiseg.io import read_labels, write_labels
from napari_nucleiseg.samples import SAMPLES


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in SAMPLES:
        truth = read_labels(SAMPLES[name].labels).image
        write_labels(tmp_path / "true" / f"{name}.png", truth)
        write_labels(tmp_path / "pred" / f"{name}_labels.tif", np.roll(truth, 2, axis=0))
    return tmp_path / "pred", tmp_path / "true"


def test_table_and_file(folders, tmp_path):
    result = run("evaluate", *folders, "--json", tmp_path / "scores.json", "--per-image")
    record = json.loads((tmp_path / "scores.json").read_text())
    everything = record["summary"]["all"]
    [mean] = [line for line in result.stdout.splitlines() if line.startswith("all, mean")]
    columns = mean.removeprefix("all, mean").split()
    assert columns[:3] == ["3", "76", "76"]
    assert columns[3] == f"{everything['mean']['dice']:.3f}"
    assert columns[5] == f"{everything['mean_ap']['0.50']:.3f}"
    assert columns[7] == f"{everything['mean']['average_precision']:.3f}"
    assert all(f"\n{name} " in result.stdout for name in SAMPLES)
    assert {image["name"] for image in record["images"]} == set(SAMPLES)


def test_by_modality(folders, tmp_path):
    index = tmp_path / "index.csv"
    index.write_text("image_id,modality,split\nstained,H&E [x],val\nfluorescence,F,val\n")
    result = run("evaluate", *folders, "--index", index, "--split", "val")
    assert "H&E [x], mean" in result.stdout
    assert "F, pooled" in result.stdout


def test_what_is_missing_is_one_sentence(folders):
    (folders[0] / "stained_labels.tif").unlink()
    result = run("evaluate", *folders, code=2)
    [line] = result.stderr.splitlines()
    assert "1 of 3 images have no prediction: stained" in line


def test_a_file_that_cannot_be_written(folders, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("evaluate", *folders, "--json", tmp_path / "file" / "s.json", code=2)
    assert "could not be written" in result.stderr


def test_json_to_standard_output_is_all_there_is(folders, tmp_path):
    result = run("evaluate", *folders, "--json", "-")
    run("evaluate", *folders, "--json", tmp_path / "scores.json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "scores.json").read_text())


def test_predictions_without_truth_end_with_exit_code_1(folders):
    (folders[1] / "stained.png").unlink()
    result = run("evaluate", *folders, code=1)
    assert "1 of 3 predictions have no true label image and do not count: stained" in result.stderr
    assert "all, mean" in result.stdout


@pytest.fixture
def index(tmp_path: Path) -> Path:
    path = tmp_path / "index.csv"
    lines = ("image_id,modality,lab", "stained,H,one", "fluorescence,F,two", "brightfield,B,two")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_report_in_a_new_folder(folders, tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("stained", "fluorescence"):
        file = SAMPLES[name].micrograph
        (tmp_path / "images" / f"{name}.png").write_bytes(file.read_bytes())
    out = tmp_path / "new" / "report"
    result = run("evaluate", *folders, "--out", out, "--images", tmp_path / "images")
    assert f"Report: {out / 'report.html'}" in result.stdout
    assert {p.name for p in out.iterdir()} == {
        "nuclei.csv",
        "images.csv",
        "summary.json",
        "report.html",
    }
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "micrograph of stained" in page
    assert "micrograph of brightfield" not in page
    assert "1 images have no micrograph" in result.stderr


def test_a_folder_for_the_report_that_is_a_file(folders, tmp_path):
    (tmp_path / "out").write_text("")
    result = run("evaluate", *folders, "--out", tmp_path / "out", code=2)
    assert str(tmp_path / "out") in result.stderr
    assert "all, mean" not in result.stdout


def test_summed_up_by_another_column(folders, index):
    result = run("evaluate", *folders, "--index", index, "--group", "lab")
    assert "one, mean" in result.stdout
    assert "two, pooled" in result.stdout
    assert "F, mean" not in result.stdout
    result = run("evaluate", *folders, "--index", index, "--group", "labs", code=2)
    assert "no such column: 'labs'. Columns: image_id, modality, lab" in result.stderr
    result = run("evaluate", *folders, "--group", "lab", code=2)
    assert "A group needs an index" in result.stderr


def test_the_threshold_names_other_nuclei_correct(folders, tmp_path):
    correct = {}
    for threshold in (0.5, 0.9):
        file = tmp_path / f"{threshold}.json"
        result = run("evaluate", *folders, "--threshold", threshold, "--json", file)
        record = json.loads(file.read_text())
        assert record["threshold"] == threshold
        correct[threshold] = record["summary"]["all"]["kinds"]["correct"]
        assert f"At IoU {threshold:g}: {correct[threshold]} correct" in result.stdout
    assert correct[0.9] < correct[0.5]
    result = run("evaluate", *folders, "--threshold", 0.3, code=2)
    assert "between 0.5 and 1: 0.3" in result.stderr


def test_another_model_on_the_same_images(folders, tmp_path):
    for name in SAMPLES:
        truth = read_labels(SAMPLES[name].labels).image
        write_labels(tmp_path / "better" / f"{name}.png", truth)
    out = tmp_path / "out"
    words = ("evaluate", tmp_path / "better", folders[1], "--compare", folders[0], "--out", out)
    result = run(*words, "--per-image", "--json", tmp_path / "compared.json")
    assert {p.name for p in out.iterdir()} == {
        "differences.csv",
        "comparison.json",
        "comparison.html",
    }
    record = json.loads((tmp_path / "compared.json").read_text())
    assert (record["one"], record["other"]) == ("better", "pred")
    assert record["scores"]["average_precision"]["one"] == 1
    assert record == json.loads((out / "comparison.json").read_text())
    assert record["words"] in result.stdout
    assert "stained, AP" in result.stdout
