"""Whole stacks: every plane segmented as by itself, joined, written with axes and sizes."""

from __future__ import annotations

import csv
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleiseg.batch_config import BatchConfig
from napari_nucleiseg.batch_events import FileFinished
from napari_nucleiseg.batch_plan import look_at
from napari_nucleiseg.batch_run import run_batch
from napari_nucleiseg.config import JoinConfig, SegmentConfig
from napari_nucleiseg.errors import SettingError, ShapeError
from napari_nucleiseg.events import Notice, Streamed, TileDone
from napari_nucleiseg.inputs import find_items
from napari_nucleiseg.io import open_micrograph
from napari_nucleiseg.joining import join
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.segmentation import segment_now
from napari_nucleiseg.stack_segmentation import segment_stack

CONFIG = SegmentConfig(device="cpu", engine="torch")
IN_Z, IN_T = JoinConfig(join="z"), JoinConfig(join="t")


@pytest.fixture(scope="module")
def stack() -> Micrograph:
    """Nuclei that move by 3 px from plane to plane; in the third of four they are gone."""
    from napari_nucleiseg.samples import read_sample

    grey = read_sample("fluorescence")[0].pixels[:128, :160]
    planes = [grey, np.roll(grey, 3, axis=1), grey * 0 + grey.min(), np.roll(grey, 6, axis=1)]
    return Micrograph(np.stack(planes), "ZYX", (0.2, 0.25), name="a", z_step_um=0.5)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(one)) == len(np.unique(other))


def test_planes_become_one_label_image(stack, tmp_path):
    out = tmp_path / "a_labels.ome.tif"
    *events, last = segment_stack(stack, CONFIG, IN_Z, out)
    assert isinstance(last, Streamed)
    opened = open_micrograph(out)
    assert (opened.axes, opened.pixel_size_um, opened.z_step_um) == ("ZYX", (0.2, 0.25), 0.5)
    planes = [segment_now(stack.plane(z=n), CONFIG).labels for n in (1, 2, 3, 4)]
    assert not planes[2].any()
    expected = join(planes, IN_Z)
    found = opened.loaded().pixels
    assert last.count == found.max() == expected.max() > 3
    for n in (0, 1, 3):
        np.testing.assert_array_equal(found[n], expected[n])
    # the plane without nuclei lies in a gap, which what is around it closes
    assert found[2].any()
    assert set(np.unique(found[2])) <= set(np.unique(found[1]))
    assert last.manifest["join"]["join"] == "z"
    assert last.manifest["nuclei"] == last.count
    assert len(last.manifest["intensity_range"]) == 4
    done = [e.done / e.total for e in events if isinstance(e, TileDone)]
    assert done == sorted(done)
    assert done[-1] == 1
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


def test_time_points_become_tracks(stack, tmp_path):
    series = Micrograph(stack.pixels[:2], "TYX", name="a")
    *_, last = segment_stack(series, CONFIG, IN_T, tmp_path / "a_labels.ome.tif")
    labels = open_micrograph(last.path)
    assert labels.axes == "TYX"
    table = np.genfromtxt(tmp_path / "a_tracks.csv", delimiter=",", names=True)
    assert set(table["track_id"]) == set(range(1, last.count + 1))
    for row in table:
        y, x = np.nonzero(labels.pixels[int(row["t"])] == row["track_id"])
        assert (len(y), y.mean(), x.mean()) == pytest.approx((row["area"], row["y"], row["x"]))
    steps = [
        np.diff(table["x"][table["track_id"] == n])[0]
        for n in range(1, last.count + 1)
        if (table["track_id"] == n).sum() == 2
    ]
    assert np.median(steps) == pytest.approx(3, abs=0.5)


def test_the_other_axis_and_the_channel_are_chosen(stack, tmp_path):
    pixels = np.zeros((2, 2, *stack.pixels[:2].shape), stack.pixels.dtype)
    pixels[1, 0] = stack.pixels[:2]
    both = Micrograph(pixels, "TCZYX", name="a")
    config = CONFIG.model_copy(update={"t": "2", "channel": "1"})
    *_, last = segment_stack(both, config, IN_Z, tmp_path / "a_labels.ome.tif")
    labels = segment_now(stack.plane(z=1), CONFIG).labels
    first = open_micrograph(last.path).pixels[0]
    assert ((first > 0) <= (labels > 0)).all()
    assert last.count > 3


def test_the_channel_is_proposed_once_for_all_planes(stack, tmp_path):
    """The first plane alone would have chosen the first channel."""
    pixels = np.zeros((2, 3, *stack.shape), stack.pixels.dtype)
    pixels[0, 0], pixels[1, 1], pixels[1, 2] = stack.pixels[0], stack.pixels[0], stack.pixels[1]
    both = Micrograph(pixels, "CZYX", name="a")
    *events, last = segment_stack(both, CONFIG, IN_Z, tmp_path / "a_labels.ome.tif")
    proposed = [e.text for e in events if isinstance(e, Notice) and "looked for" in e.text]
    assert len(proposed) == 1
    assert proposed[0].startswith("Nuclei are looked for in channel 2 of all planes: ")
    found = open_micrograph(last.path).pixels
    assert [bool(plane.any()) for plane in found] == [False, True, True]
    assert last.manifest["input"]["channel_number"] == 2


def test_what_cannot_be_joined_is_said(stack, tmp_path):
    out = tmp_path / "a_labels.ome.tif"
    with pytest.raises(ShapeError, match=r"no time points to join.*a has the axes ZYX"):
        list(segment_stack(stack, CONFIG, IN_T, out))
    chosen = CONFIG.model_copy(update={"z": "3"})
    with pytest.raises(SettingError, match="--join z and --z 3"):
        list(segment_stack(stack, chosen, IN_Z, out))


def test_a_run_that_is_stopped_leaves_nothing(stack, tmp_path):
    with closing(segment_stack(stack, CONFIG, IN_Z, tmp_path / "a_labels.ome.tif")) as events:
        next(e for e in events if isinstance(e, TileDone))
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())


def test_from_the_command_line(stack, tmp_path):
    import json

    from typer.testing import CliRunner

    from napari_nucleiseg import cli

    tifffile.imwrite(tmp_path / "a.tif", stack.pixels, imagej=True, metadata={"axes": "ZYX"})

    def run(*words: object, code: int = 0):
        words = ("segment", tmp_path / "a.tif", "--out", tmp_path / "out", *words)
        result = CliRunner().invoke(cli.app, [str(w) for w in words], env={"COLUMNS": "200"})
        assert result.exit_code == code, (result.output, result.exception)
        return result

    document = json.loads(run("--join", "z", "--join-gap", "0", "--json").stdout)
    [done] = document["results"]
    assert done["labels"].endswith("a_labels.ome.tif")
    found = open_micrograph(done["labels"]).pixels
    assert found.shape == stack.pixels.shape
    assert found.max() == done["nuclei"] == document["nuclei"]
    assert not found[2].any()
    record = json.loads((tmp_path / "out" / "a_labels.json").read_text())
    assert record["join"] == JoinConfig(join="z", join_gap=0).model_dump(mode="json")
    assert "not block by block" in run("--join", "z", "--stream", code=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["z", "t"])
def test_a_table_and_a_small_picture_of_joined_planes(stack, tmp_path, monkeypatch, axis):
    """Made with the labels, or later from those that are there."""
    labels = stack if axis == "z" else replace(stack, axes=stack.axes.replace("Z", "T"))
    source = tmp_path / "in"
    source.mkdir()
    data = {"axes": labels.axes, "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(source / "s.tif", labels.pixels, imagej=True, metadata=data, resolution=(2, 2))
    config = BatchConfig(folder=source, out=tmp_path / "out", table=True, summary=True)
    joining = JoinConfig(join=axis)

    def finished() -> FileFinished:
        files, _ = look_at(find_items([str(source)]).items, config, CONFIG, joining)
        events = list(run_batch(files, config, CONFIG, joining))
        [done] = [event for event in events if isinstance(event, FileFinished)]
        return done

    first = finished()
    assert first.table is not None
    rows = list(csv.DictReader(first.table.read_text("utf-8").splitlines()))
    names = {"z": {"volume_um3", "volume_voxels"}, "t": {"t", "area_um2"}}[axis]
    assert names < set(rows[0])
    assert len({row["label"] for row in rows}) == first.nuclei > 0
    with Image.open(tmp_path / "out" / ".thumbnails" / "s.jpg") as picture:
        assert max(picture.size) > 100
    kept = first.table.read_bytes()
    assert finished().was_done
    first.table.unlink()
    monkeypatch.setattr("napari_nucleiseg.batch.segment_stack", None)
    assert not (again := finished()).was_done
    assert again.table is not None
    assert again.table.read_bytes() == kept
