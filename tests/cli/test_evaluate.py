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
