"""What people run into with other programs, for stacks and OME-Zarr.

Numbers in the names of tests are those of the project's list of such cases. Those about layers are
in ``tests/gui/test_planes.py``.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_nucleiseg import cli
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.io import open_micrograph, read_labels
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.segmentation import segment_now

zarr = pytest.importorskip("zarr", minversion="3")


def run(*words: object, code: int = 0):
    """Segment from the command line, without a traceback."""
    result = CliRunner().invoke(cli.app, ["segment", *map(str, words)], env={"COLUMNS": "200"})
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return result


def write_zarr(path: Path, pixels: np.ndarray, axes: str, names: tuple[str, ...] = ()) -> Path:
    """One picture with one level, 0.2 µm, planes 0.5 µm apart."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    group.create_array("0", data=pixels, chunks=tuple(64 if a in "yx" else 1 for a in axes))
    steps = {"z": 0.5, "y": 0.2, "x": 0.2}
    scale = {"type": "scale", "scale": [steps.get(a, 1.0) for a in axes]}
    described = [
        {"name": a, "type": "space", **({"unit": "micrometer"} if a in steps else {})} for a in axes
    ]
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    omero = {"omero": {"channels": [{"label": name} for name in names]}} if names else {}
    group.attrs["ome"] = {"multiscales": [{"axes": described, "datasets": datasets}], **omero}
    return path


@pytest.fixture
def grey(fluorescence) -> np.ndarray:
    """Some nuclei, 160 x 200, 16 bits."""
    return fluorescence[0].pixels[:160, :200].astype(np.uint16) * 100


@pytest.fixture
def channels(grey) -> np.ndarray:
    """Noise, then nuclei."""
    noise = np.random.default_rng(0).integers(0, 400, grey.shape).astype(np.uint16)
    return np.stack([noise, grey])


class TestCase1:
    """Channels are no focal planes, in a Zarr and in a stack; one is chosen by name or number."""

    @pytest.mark.parametrize("flags", [("--channel", "2"), ("--channel", "dapi"), ()])
    def test_channels_of_a_zarr(self, tmp_path, channels, grey, flags):
        path = write_zarr(tmp_path / "a.zarr", channels, "cyx", ("membrane", "DAPI"))
        assert open_micrograph(path).axes == "CYX"
        result = run(path, "--out", tmp_path, *flags)
        labels = read_labels(tmp_path / "a_labels.tif").image
        np.testing.assert_array_equal(labels, segment_now(Micrograph(grey, "YX")).labels)
        assert flags or "looked for in channel 2 (DAPI)" in result.stderr

    @pytest.mark.parametrize("kind", ["zarr", "tif"])
    def test_channels_of_a_stack(self, tmp_path, channels, kind):
        stack = np.stack([channels // 2, channels, channels // 3], axis=1)
        path = tmp_path / f"a.{kind}"
        if kind == "zarr":
            write_zarr(path, stack, "czyx", ("membrane", "DAPI"))
        else:
            labels = {"Labels": ["membrane", "DAPI"] * 3}
            planes = np.moveaxis(stack, 0, 1)
            tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "ZCYX", **labels})
        config = SegmentConfig(z="2", channel="2")
        here = segment_now(open_micrograph(path), config).labels
        assert here.shape == channels.shape[1:]
        run(path, "--out", tmp_path, "--z", 2, "--channel", 2)
        np.testing.assert_array_equal(read_labels(tmp_path / "a_labels.tif").image, here)
        np.testing.assert_array_equal(here, segment_now(Micrograph(channels[1], "YX")).labels)


class TestCase2:
    """Three channels of 16 bits are channels and not colours, also where they stay in the file."""

    def test_three_channels_of_a_zarr(self, tmp_path, channels, grey):
        three = np.stack([channels[0], channels[0] // 2, grey])
        path = write_zarr(tmp_path / "a.zarr", three, "cyx")
        opened = open_micrograph(path)
        assert (opened.axes, opened.is_colour) == ("CYX", False)
        result = run(path, "--out", tmp_path)
        assert "looked for in channel 3" in result.stderr
        labels = read_labels(tmp_path / "a_labels.tif").image
        np.testing.assert_array_equal(labels, segment_now(Micrograph(grey, "YX")).labels)

    @pytest.mark.parametrize("flags", [(), ("--colour", "colour"), ("--colour", "channels")])
    def test_three_channels_of_8_bits_and_the_switch(self, tmp_path, stained, flags):
        """What OME-Zarr makes of a colour picture are three channels: the switch takes it back."""
        planes = np.ascontiguousarray(np.moveaxis(stained[0].pixels, -1, 0))
        path = write_zarr(tmp_path / "a.zarr", planes, "cyx")
        run(path, "--out", tmp_path, *flags)
        labels = read_labels(tmp_path / "a_labels.tif").image
        as_colour = np.array_equal(labels, segment_now(stained[0]).labels)
        assert as_colour == (flags == ("--colour", "colour"))

    @pytest.mark.parametrize(("dtype", "axes"), [(np.uint8, "ZYXS"), (np.uint16, "CZYX")])
    def test_colours_of_a_stack(self, tmp_path, stained, dtype, axes):
        planes = np.stack([stained[0].pixels] * 9).astype(dtype)
        tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb")
        assert open_micrograph(tmp_path / "a.tif").axes == axes


def test_case_4_odd_names_of_folders_that_are_pictures(tmp_path, grey):
    names = (
        "ядра клеток",
        "細胞核",
        "two words %20 #1",
        unicodedata.normalize("NFD", "Zellkörper"),
    )
    folder, out = tmp_path / "Bilder ü", tmp_path / "Ergebnisse für ä"
    folder.mkdir()
    for name in names:
        write_zarr(folder / f"{name}.ome.zarr", grey[:96, :96], "yx")
    document = json.loads(run(folder, "--out", out, "--json").stdout)
    assert len(document["results"]) == len(names)
    for name in names:
        assert read_labels(out / f"{name}_labels.tif").image.shape == (96, 96)


def test_case_5_a_folder_of_stores_and_other_things(tmp_path, grey):
    folder = tmp_path / "in"
    folder.mkdir()
    write_zarr(folder / "good.zarr", grey[:96, :96], "yx")
    tifffile.imwrite(folder / "fine.tif", grey[:96, :96])
    write_zarr(folder / "stack.zarr", np.stack([grey[:96, :96]] * 3), "zyx")
    write_zarr(folder / "broken.zarr", grey, "yx")
    (folder / "broken.zarr" / "0" / "c" / "1" / "1").write_bytes(b"")
    (folder / "empty.zarr").mkdir()
    (folder / "a folder").mkdir()
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "notes.txt").write_text("not an image")
    result = run(folder, "--out", tmp_path / "out", code=1)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 3
    for name in ("stack.zarr", "broken.zarr", "empty.zarr"):
        assert sum(name in line for line in errors) == 1
    assert "2 of 5 micrographs segmented, 3 failed" in result.stdout
    assert "Thumbs.db, notes.txt" in result.stderr
    written = sorted(p.name for p in (tmp_path / "out").glob("*.tif"))
    assert written == ["fine_labels.tif", "good_labels.tif"]


def test_case_10_results_keep_the_pixel_size_of_a_stack(tmp_path, grey):
    path = write_zarr(tmp_path / "a.zarr", np.stack([grey[:96, :96]] * 2), "zyx")
    run(path, "--out", tmp_path, "--z", "1")
    found = open_micrograph(tmp_path / "a_labels.tif")
    assert found.pixel_size_um == pytest.approx((0.2, 0.2))
    assert found.axes == "YX"


def test_all_fields_of_a_plate_are_done_and_a_damaged_one_is_named(tmp_path, grey):
    group = zarr.open_group(str(tmp_path / "p.zarr"), mode="w", zarr_format=3)
    group.attrs["ome"] = {"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}
    for well in ("A/1", "B/2"):
        inner = group.create_group(well)
        inner.attrs["ome"] = {"well": {"images": [{"path": "0"}, {"path": "1"}]}}
        for field in "01":
            write_zarr(tmp_path / "p.zarr" / well / field, grey[:96, :96], "yx")
    (tmp_path / "p.zarr" / "B" / "2" / "0" / "0" / "c" / "1" / "1").write_bytes(b"no chunk")
    result = run(tmp_path / "p.zarr", "--out", tmp_path / "out", code=1)
    written = sorted(p.name for p in (tmp_path / "out").glob("*.tif"))
    assert written == ["p_A-1-0_labels.tif", "p_A-1-1_labels.tif", "p_B-2-1_labels.tif"]
    assert "3 of 4 micrographs segmented, 1 failed" in result.stdout
    [line] = [e for e in result.stderr.splitlines() if e.startswith("Error: ")]
    assert "p.zarr" in line
    document = json.loads(
        run(tmp_path / "p.zarr", "--out", tmp_path / "one", "--series", "A/1/1", "--json").stdout
    )
    assert [r["series"] for r in document["results"]] == ["A/1/1"]


def test_label_images_in_a_zarr_are_scored_and_measured(tmp_path, grey):
    """Both as one path and inside of a folder, where they are no folders of masks."""
    tifffile.imwrite(tmp_path / "a.tif", grey)
    run(tmp_path / "a.tif", "--out", tmp_path / "blocks", "--stream")
    run(tmp_path / "a.tif", "--out", tmp_path / "whole", "--no-stream")
    store, picture = "blocks/a_labels.ome.zarr", "whole/a_labels.tif"
    for found, truth in (("blocks", "whole"), ("whole", "blocks"), (store, picture)):
        words = ("evaluate", tmp_path / found, tmp_path / truth, "--json", "-")
        result = CliRunner().invoke(cli.app, [str(w) for w in words], env={"COLUMNS": "200"})
        assert result.exit_code == 0, (result.output, result.exception)
        assert json.loads(result.stdout)["summary"]["all"]["mean"]["dice"] == 1
    tables = []
    for labels in (store, picture):
        words = ("measure", tmp_path / labels, "--out", tmp_path / "n.csv")
        result = CliRunner().invoke(cli.app, [str(w) for w in words], env={"COLUMNS": "200"})
        assert result.exit_code == 0, (result.output, result.exception)
        tables.append((tmp_path / "n.csv").read_text("utf-8").splitlines())
    assert len(tables[0]) == len(tables[1]) > 4
