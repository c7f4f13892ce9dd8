"""``nucleiseg measure``."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
from running import run

from napari_nucleiseg.io import read_labels, read_micrograph, write_labels
from napari_nucleiseg.measure import MeasureConfig, measure
from napari_nucleiseg.samples import SAMPLES

STAINED = SAMPLES["stained"]


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_image_with_its_micrograph(tmp_path):
    out = tmp_path / "nuclei.csv"
    words = (STAINED.labels, "--image", STAINED.micrograph, "--pixel-size-um", 0.5)
    result = run("measure", *words, "--within-px", 7, "--out", out)
    assert result.stdout.strip() == f"34 nuclei of 1 images: {out}"
    labels = read_labels(STAINED.labels).image
    table = measure(
        labels,
        read_micrograph(STAINED.micrograph),
        pixel_size_um=(0.5, 0.5),
        config=MeasureConfig(within_px=7),
    )
    rows = rows_of(out)
    assert list(rows[0]) == ["image", *table]
    for name, column in table.items():
        written = [float(row[name] or "nan") for row in rows]
        assert np.array_equal(written, column, equal_nan=True), name


def test_a_folder_becomes_one_table(pairs, tmp_path):
    out = tmp_path / "nuclei.parquet"
    run("measure", pairs / "masks", "--image", pairs / "images", "--out", out)
    table = pd.read_parquet(out)
    counts = {n: len(np.unique(read_labels(s.labels).image)) - 1 for n, s in SAMPLES.items()}
    assert table.groupby("image").size().to_dict() == counts
    # grey and colour ones have other intensities; what one lacks is not a number
    grey = table[table["image"] == "fluorescence"]
    assert grey["intensity_mean"].notna().all()
    assert grey["intensity_mean_red"].isna().all()


def test_without_micrographs_there_are_sizes_only(tmp_path):
    out = tmp_path / "nuclei.csv"
    run("measure", STAINED.labels, "--out", out)
    assert not [name for name in rows_of(out)[0] if name.startswith("intensity")]


def test_an_image_without_nuclei(tmp_path):
    write_labels(tmp_path / "a_labels.tif", np.zeros((8, 8), np.int32))
    out = tmp_path / "nuclei.csv"
    result = run("measure", tmp_path / "a_labels.tif", "--out", out)
    assert result.stdout.startswith("no nuclei of 1 images")
    assert out.read_text("utf-8").startswith("image,label,y_px")
    assert rows_of(out) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.tif", "--out", "a.csv"), "nowhere.tif"),
        ((STAINED.labels, "--out", "a.xlsx"), "a.xlsx. Use .csv or .parquet"),
        (
            (STAINED.labels, "--image", SAMPLES["fluorescence"].micrograph, "--out", "a.csv"),
            "fluorescence is 360×360, the label image 256×320",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("measure", *words, code=2)
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
