"""Real files that other tools stumble over, segmented.

They are looked for in the folder that the environment variable NUCLEISEG_TEST_FILES names, and are
no part of the project; how each is read is tested in ``tests/io/test_dispatch.py``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_nucleiseg import cli
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.io import (
    open_labels,
    open_micrograph,
    read_labels,
    read_micrograph,
    series_names,
)
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.segmentation import segment_now

REAL = Path(os.environ.get("NUCLEISEG_TEST_FILES") or os.devnull)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.is_dir(), reason="NUCLEISEG_TEST_FILES names no folder"),
]


def run(*words: object, code: int = 0) -> dict:
    """The summary of the command line, which says all in one line each."""
    words = ("segment", *words, "--json")
    result = CliRunner().invoke(cli.app, [str(w) for w in words], env={"COLUMNS": "200"})
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return json.loads(result.stdout)


def count(name: str, **settings: object) -> int:
    return segment_now(read_micrograph(REAL / name), SegmentConfig(**settings)).count


@pytest.mark.parametrize(
    "name", ["all-nan.tif", "all-black.tif", "all-65535.tif", "one-pixel.tif", "thin-3x2000.tif"]
)
def test_where_there_is_nothing_nothing_is_found(name):
    assert count(name) == 0


def test_one_hot_pixel_hides_no_nuclei():
    micrograph = read_micrograph(REAL / "imagej-2c-hot-pixel.tif")
    calm = np.where(micrograph.pixels > 50_000, 0, micrograph.pixels)
    assert (calm != micrograph.pixels).sum() == 2
    found = segment_now(micrograph)
    assert found.manifest["input"]["channel_number"] == 2
    assert abs(found.count - segment_now(Micrograph(calm, "CYX")).count) <= 1
    assert found.count >= 28


def test_an_offset_changes_nothing():
    micrograph = read_micrograph(REAL / "scanr-datatype.tif")
    without = Micrograph(micrograph.pixels - micrograph.pixels.min(), "YX")
    found, expected = segment_now(micrograph).count, segment_now(without).count
    assert abs(found - expected) <= 0.1 * expected
    assert found > 200


def test_nothing_is_found_in_a_scale_bar():
    micrograph = read_micrograph(REAL / "imagej-3c-16bit-tagged-rgb.tif")
    found = segment_now(micrograph)
    assert found.manifest["input"]["channel_number"] == 3
    # burnt in as black, in all channels
    bar = (micrograph.pixels == 0).all(axis=0)
    assert bar.sum() > 5000
    covered = np.unique(found.labels[bar])
    areas = np.bincount(found.labels.ravel())
    inside = np.bincount(found.labels[bar], minlength=len(areas))
    assert not [n for n in covered if n and inside[n] > areas[n] / 2]


def test_dim_nuclei_beside_bright_ones():
    micrograph = read_micrograph(REAL / "nuclei-high-dynamic-range.tif")
    labels = segment_now(micrograph).labels
    means = [micrograph.pixels[labels == n].mean() for n in range(1, labels.max() + 1)]
    assert max(means) > 4 * min(means)


def test_results_keep_the_pixel_size(tmp_path):
    run(REAL / "nuclei-calibrated.tif", "--out", tmp_path)
    found = read_micrograph(tmp_path / "nuclei-calibrated_labels.tif")
    assert found.pixel_size_um == pytest.approx((0.2, 0.2))
    assert found.pixels.max() > 0


def test_five_dimensions_and_the_labels_inside():
    opened = open_micrograph(REAL / "tczyx-v04-labels.zarr")
    assert (opened.axes, opened.pixels.shape) == ("TCZYX", (4, 2, 3, 64, 64))
    assert [level.shape for level in opened.levels] == [(4, 2, 3, 32, 32)]
    ((_, labels),) = open_labels(REAL / "tczyx-v04-labels.zarr")
    assert (labels.axes, labels.pixels.shape) == ("TZYX", (4, 3, 64, 64))
    assert labels.pixel_size_um == opened.pixel_size_um == (0.5, 0.5)
    plane = read_micrograph(REAL / "tczyx-v04-labels.zarr", z=1, t="middle")
    assert plane.axes == "CYX"


def test_both_versions_of_a_zarr_hold_the_same():
    one, other = (read_micrograph(REAL / f"blobs-{v}.ome.zarr") for v in ("v04", "v05"))
    np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_chooser_for_two_series():
    path = REAL / "bf2raw-two-series.zarr"
    assert series_names(path) == ("0", "1")
    assert read_micrograph(path, series=2).series == "1"


def test_a_batch_runs_over_all_fields_of_a_plate(tmp_path):
    document = run(REAL / "plate.zarr", "--out", tmp_path)
    wanted = [f"{well}/{field}" for well in ("A/1", "A/2", "B/1", "B/2") for field in "01"]
    assert [r["series"] for r in document["results"]] == wanted
    for name in wanted:
        labels = tmp_path / f"plate_{name.replace('/', '-')}_labels.tif"
        assert read_labels(labels).image.shape == (64, 64)


def test_all_at_once_each_is_done_or_named(tmp_path):
    """Bad files leave their neighbours alone, and each is said in one line."""
    document = run(REAL, REAL / "ome-multifile", "--out", tmp_path, code=1)
    failed = {Path(r["input"]).name for r in document["failed"]}
    assert failed == {
        "claims-200000-square.tif",
        "corrupt-jpeg-tiles.tif",
        "png-text-bomb.png",
        "tczyx-v04-labels.zarr",
        "text-named-png.png",
        "truncated-header.tif",
        "truncated.jpg",
        "truncated.png",
        "unopenable.tiff",
        "v05-missing-chunk.ome.zarr",
        "zero-byte.tif",
    }
    assert all(r["error"] and "\n" not in r["error"] for r in document["failed"])
    assert all(Path(r["input"]).name in r["error"] for r in document["failed"])
    done = {(Path(r["input"]).name, r["series"]) for r in document["results"]}
    assert len(done) == len(document["results"])
    everything = {p.name for p in REAL.iterdir()} - {"README.md", "ome-multifile"}
    assert {name for name, _ in done} | failed >= everything
