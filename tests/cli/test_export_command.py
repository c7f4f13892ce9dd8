"""``nucleiseg export``, and ``nucleiseg segment --export``."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from running import run

from napari_nucleiseg import export_files
from napari_nucleiseg.io import read_labels, write_labels
from napari_nucleiseg.parts import Parts
from napari_nucleiseg.samples import SAMPLES


def labels_in(path) -> list[int]:
    features = json.loads(path.read_text())["features"]
    return [feature["properties"]["measurements"]["Label"] for feature in features]


def test_a_folder_of_label_images(pairs, tmp_path):
    out = tmp_path / "out"
    words = ("--to", "geojson", "--to", "imagej-roi", "--to", "coco", "--out", out)
    result = run("export", pairs / "masks", *words)
    assert result.stdout.strip() == f"3 label images exported: {out}"
    endings = (".geojson", "_rois.zip", "_coco.json")
    assert {p.name for p in out.iterdir()} == {f"{n}{e}" for n in SAMPLES for e in endings}
    for name, sample in SAMPLES.items():
        labels = read_labels(sample.labels).image
        assert labels_in(out / f"{name}.geojson") == np.unique(labels[labels > 0]).tolist()


def test_a_result_is_called_after_its_micrograph(tmp_path):
    write_labels(tmp_path / "a_labels.tif", np.array([[0, 7]]))
    about = {"program": "napari-nucleiseg", "input": {"path": "/scans/a.czi"}}
    (tmp_path / "a_labels.json").write_text(json.dumps(about))
    run("export", tmp_path / "a_labels.tif", "--to", "coco", "--out", tmp_path / "out")
    document = json.loads((tmp_path / "out" / "a_coco.json").read_text())
    assert document["images"] == [{"id": 1, "file_name": "a.czi", "width": 2, "height": 1}]


@pytest.mark.slow
def test_segment_exports_too(cells, tmp_path):
    out = tmp_path / "out"
    words = ("segment", cells, "--out", out, "--export", "geojson", "--export", "imagej-roi")
    document = json.loads(run(*words, "--json").stdout)
    paths = [str(out / name) for name in ("cells.geojson", "cells_rois.zip")]
    assert document["results"][0]["exports"] == paths
    labels = read_labels(out / "cells_labels.tif").image
    assert labels_in(out / "cells.geojson") == list(range(1, labels.max() + 1))
    assert "done before" in run(*words, "--resume").stdout


def test_what_cannot_be_exported_is_one_sentence(cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export_files, "MOST_PIXELS", 5_000_000)
    write_labels(tmp_path / "stack_labels.tif", np.ones((4, 8, 9), np.int32))
    tifffile.imwrite("large_labels.tif", np.zeros((2500, 2500), np.float32), compression="zlib")
    for folder in ("one", "two"):
        write_labels(tmp_path / folder / "a_labels.tif", np.array([[0, 7]]))
    for words, said in (
        (("export", "nowhere.tif", "--to", "coco"), "There is no such file or folder: nowhere"),
        (("export", "one", "--to", "svg"), "Unknown export: 'svg'. Known: coco, geojson, imag"),
        (("export", "stack_labels.tif", "--to", "coco"), "Only a single plane can be exported: s"),
        (("export", "large_labels.tif", "--to", "coco"), "whole numbers can be exported: large_l"),
        (("export", "one", "two", "--to", "coco"), "Two label images have the same name"),
        (("segment", cells, "--export", "svg"), "Unknown export: 'svg'. Known: coco, geojson"),
        (("segment", cells, "--export", "coco", "--join", "z"), "Only single planes can be exp"),
    ):
        result = run(*words, "--out", "out", code=2)
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["tif", "ome.zarr"])
def test_a_large_label_image_is_exported_part_by_part(cells, tmp_path, monkeypatch, kind):
    """The same nuclei as of one that fits the memory."""
    how = "--stream" if kind == "ome.zarr" else "--no-stream"
    run("segment", cells, "--out", tmp_path / "made", how)
    [labels] = (tmp_path / "made").glob(f"*_labels.{kind}")
    words = ("export", labels, "--to", "geojson", "--to", "coco")
    run(*words, "--out", tmp_path / "whole")
    monkeypatch.setattr(export_files, "MOST_PIXELS", 1000)
    monkeypatch.setattr("napari_nucleiseg.parts.BLOCK_PX", 64)
    seen = []
    go = Parts.go
    monkeypatch.setattr(Parts, "go", lambda parts: seen.append(parts) or go(parts))
    run(*words, "--out", tmp_path / "parts")
    assert len(seen) == 1
    for name in ("cells.geojson", "cells_coco.json"):
        whole, parts = (
            json.loads((tmp_path / folder / name).read_bytes()) for folder in ("whole", "parts")
        )
        key = "features" if "features" in whole else "annotations"
        assert len(whole[key]) > 20
        assert sorted(map(str, whole[key])) == sorted(map(str, parts[key]))
