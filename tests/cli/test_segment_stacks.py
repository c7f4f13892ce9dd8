"""``nucleiseg segment`` on stacks, plates, several channels, and block by block."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import tifffile
from running import run

from napari_nucleiseg import batch
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.io import open_micrograph, read_labels
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.segmentation import segment_now


@pytest.fixture
def grey(fluorescence) -> np.ndarray:
    """Some nuclei, 160 x 200."""
    return fluorescence[0].pixels[:160, :200]


@pytest.fixture
def stack(grey, tmp_path):
    """Four planes of two channels; the third plane of the second channel holds the nuclei."""
    pixels = np.zeros((4, 2, *grey.shape), grey.dtype)
    pixels[:] = np.random.default_rng(0).integers(0, 4, pixels.shape)
    pixels[2, 1] = grey
    path = tmp_path / "stack.ome.tif"
    channels = {"Name": ["actin", "DAPI"]}
    tifffile.imwrite(path, pixels, metadata={"axes": "ZCYX", "Channel": channels}, ome=True)
    return path


def found(folder, name="stack") -> np.ndarray:
    return read_labels(folder / f"{name}_labels.tif").image


@pytest.mark.parametrize("flags", [("--z", "3"), ("--z", "3", "--channel", "dapi"), ("--z", "max")])
def test_a_plane_of_a_stack(stack, grey, tmp_path, flags):
    run("segment", stack, "--out", tmp_path / "out", *flags)
    if "3" in flags:
        expected = segment_now(Micrograph(grey, "YX"))
        assert expected.count > 3
    else:
        whole = tifffile.imread(stack)[:, 1].max(axis=0)
        expected = segment_now(Micrograph(whole, "YX"))
    np.testing.assert_array_equal(found(tmp_path / "out"), expected.labels)
    record = json.loads((tmp_path / "out" / "stack_labels.json").read_text())
    assert record["config"]["z"] == flags[1]
    assert record["input"]["channel"] == ["DAPI"]


def test_a_stack_without_a_plane_says_which_there_are(stack, tmp_path):
    result = run("segment", stack, "--out", tmp_path / "out", code=1)
    [line] = [e for e in result.stderr.splitlines() if e.startswith("Error: ")]
    assert "stack.ome.tif has 2 channels, 4 focal planes" in line
    assert "Choose by --z" in line
    result = run("segment", stack, "--out", tmp_path / "out", "--z", "9", code=1)
    assert "no focal plane 9" in result.stderr
    assert "1 to 4" in result.stderr


def test_time_points(grey, tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([grey * 0, grey]), imagej=True, metadata={"axes": "TYX"})
    run("segment", path, "--out", tmp_path / "out", "--t", "2")
    labels = segment_now(Micrograph(grey, "YX")).labels
    np.testing.assert_array_equal(found(tmp_path / "out"), labels)


def test_channels_are_put_together(grey, tmp_path):
    left, right = grey.copy(), grey.copy()
    left[:, 100:], right[:, :100] = grey.min(), grey.min()
    path = tmp_path / "stack.tif"
    planes = np.stack([left, right, grey * 0])
    tifffile.imwrite(path, planes.astype(np.uint16), imagej=True, metadata={"axes": "CYX"})
    result = run("segment", path, "--out", tmp_path / "out", "--merge", "max", "--channel", "1,2")
    assert "Channels put together (max): 1 + 2." in result.stderr
    labels = segment_now(Micrograph(grey.astype(np.uint16), "YX")).labels
    np.testing.assert_array_equal(found(tmp_path / "out"), labels)


def test_a_picture_of_several(grey, tmp_path):
    path = tmp_path / "stack.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(grey * 0, metadata={"axes": "YX", "Name": "overview"})
        file.write(grey[:150], metadata={"axes": "YX", "Name": "detail"})
    run("segment", path, "--out", tmp_path / "out", "--series", "detail")
    labels = segment_now(Micrograph(grey[:150], "YX")).labels
    np.testing.assert_array_equal(found(tmp_path / "out"), labels)
    result = run("segment", path, "--out", tmp_path / "out", "--series", "3", code=1)
    assert "Choose one of overview, detail" in result.stderr


class TestByBlocks:
    @pytest.fixture(autouse=True)
    def _zarr(self):
        pytest.importorskip("zarr", minversion="3")

    @pytest.fixture
    def slide(self, grey, tmp_path):
        path = tmp_path / "slide.tif"
        tifffile.imwrite(path, grey, tile=(64, 64))
        return path

    def test_asked_for(self, slide, grey, tmp_path):
        out = tmp_path / "out"
        result = run("segment", slide, "--out", out, "--stream", "--overlay")
        assert "No picture of outlines was drawn" in result.stderr
        assert sorted(p.name for p in out.iterdir()) == [
            "slide_labels.json",
            "slide_labels.ome.zarr",
        ]
        labels = open_micrograph(out / "slide_labels.ome.zarr").loaded().pixels
        expected = segment_now(Micrograph(grey, "YX")).labels
        np.testing.assert_array_equal(labels > 0, expected > 0)
        pairs = np.unique(np.stack([labels, expected]).reshape(2, -1), axis=1)
        assert pairs.shape[1] == labels.max() + 1 == expected.max() + 1

    @pytest.mark.parametrize("flags", [(), ("--no-stream",)])
    def test_by_itself_where_it_is_large(self, slide, tmp_path, monkeypatch, flags):
        monkeypatch.setattr(batch, "STREAM_PIXELS", 1000)
        run("segment", slide, "--out", tmp_path / "out", *flags)
        assert (tmp_path / "out" / "slide_labels.ome.zarr").is_dir() == (not flags)
        assert (tmp_path / "out" / "slide_labels.tif").is_file() == bool(flags)

    def test_results_are_not_taken_for_micrographs(self, slide, tmp_path):
        run("segment", slide, "--out", tmp_path, "--stream")
        document = json.loads(run("segment", tmp_path, "--out", tmp_path, "--json").stdout)
        assert [r["input"] for r in document["results"]] == [str(slide)]

    @pytest.mark.slow
    def test_with_a_model_that_finds_whole_nuclei_too(self, slide, tmp_path):
        words = ("segment", slide, "--out", tmp_path / "out", "--model", "mask-rcnn")
        run(*words, "--stream")
        assert open_micrograph(tmp_path / "out" / "slide_labels.ome.zarr").loaded().pixels.any()

    def test_without_zarr_it_says_what_to_install(self, slide, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "zarr", None)
        result = run("segment", slide, "--out", tmp_path / "out", "--stream", code=1)
        assert 'pip install "napari-nucleiseg[zarr]"' in result.stderr
        monkeypatch.setattr(batch, "STREAM_PIXELS", 1000)
        run("segment", slide, "--out", tmp_path / "out")
        assert (tmp_path / "out" / "slide_labels.tif").is_file()


def test_settings_of_planes_are_part_of_the_record():
    assert SegmentConfig(z=3, t="max").model_dump()["z"] == "3"
