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
        assert "7 nuclei" in result.stderr
        assert sorted(p.name for p in out.iterdir()) == [
            "slide_labels.json",
            "slide_labels.ome.zarr",
            "slide_overlay.png",
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


@pytest.fixture
def planes(grey, tmp_path):
    """Three files of one time series each, whose names do not sort as people count."""
    folder = tmp_path / "movie"
    folder.mkdir()
    for n, name in enumerate(("cell_9", "cell_10", "cell_11")):
        tifffile.imwrite(folder / f"{name}.tif", np.roll(grey, 3 * n, axis=1))
    return folder


def test_files_are_one_stack(planes, grey, tmp_path):
    """As one file of the same planes, with one result."""
    pytest.importorskip("dask")
    run("segment", planes / "cell_*.tif", "--out", tmp_path / "out", "--stack", "T")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "cell_labels.json",
        "cell_labels.ome.tif",
        "cell_tracks.csv",
    ]
    one = np.stack([np.roll(grey, 3 * n, axis=1) for n in range(3)])
    tifffile.imwrite(tmp_path / "one.tif", one, photometric="minisblack")
    flags = ("--axes", "tyx", "--join", "t", "--pixel-size-um", "0.5")
    run("segment", tmp_path / "one.tif", "--out", tmp_path / "out", *flags)
    whole = open_micrograph(tmp_path / "out" / "one_labels.ome.tif")
    found = open_micrograph(tmp_path / "out" / "cell_labels.ome.tif")
    assert (whole.axes, found.axes) == ("TYX", "TYX")
    assert (whole.pixel_size_um, found.pixel_size_um) == ((0.5, 0.5), None)
    assert found.pixels.max() > 3
    np.testing.assert_array_equal(found.pixels, whole.pixels)
    record = json.loads((tmp_path / "out" / "cell_labels.json").read_text())
    assert [path.rsplit("_", 1)[1] for path, *_ in record["input"]["files"]] == [
        "9.tif",
        "10.tif",
        "11.tif",
    ]

    words = ("segment", planes, "--out", tmp_path / "out", "--stack", "t", "--resume")
    assert "1 done before" in run(*words).stdout
    tifffile.imwrite(planes / "cell_10.tif", grey)
    assert "1 of 1 micrographs segmented" in run(*words).stdout


def test_a_plane_of_several_files_is_chosen(planes, grey, tmp_path):
    pytest.importorskip("dask")
    run("segment", planes, "--out", tmp_path / "out", "--stack", "z", "--z", "2")
    expected = segment_now(Micrograph(np.roll(grey, 3, axis=1), "YX"))
    np.testing.assert_array_equal(found(tmp_path / "out", "cell"), expected.labels)


def test_a_stack_with_a_hole_is_no_stack(planes, tmp_path):
    (planes / "cell_10.tif").write_bytes(b"II*\0")
    said = run("segment", planes, "--out", tmp_path / "out", "--stack", "t", code=1).stderr
    assert "cell_10.tif" in said
    missing = (planes / "cell_9.tif", planes / "cell_8.tif")
    said = run("segment", *missing, "--out", tmp_path / "out", "--stack", "t", code=2).stderr
    assert "cell_8.tif" in said
    assert not (tmp_path / "out").exists()


def test_axes_that_a_file_names_are_not_said_again(stack, tmp_path):
    said = run("segment", stack, "--out", tmp_path / "out", "--axes", "TYX", code=1).stderr
    assert "The axes of this micrograph are not TYX" in said
    assert (
        "Allowed: axes of a file"
        in run("segment", stack, "--out", tmp_path / "out", "--axes", "XYZ", code=2).stderr
    )
