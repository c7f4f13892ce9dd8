"""All files of a folder: what is planned, what is written, what is left out the next time."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleiseg import batch
from napari_nucleiseg.batch import segment_file
from napari_nucleiseg.batch_config import BatchConfig
from napari_nucleiseg.batch_events import BatchEnded, FileBegun, FileFailed, FileFinished
from napari_nucleiseg.batch_plan import BatchPlanned, look_at, plan_batch
from napari_nucleiseg.batch_run import run_batch
from napari_nucleiseg.config import JoinConfig, SegmentConfig
from napari_nucleiseg.errors import DependencyError, NucleisegError, SettingError
from napari_nucleiseg.events import NucleiWritten
from napari_nucleiseg.inputs import find_items
from napari_nucleiseg.io import read_labels, read_micrograph
from napari_nucleiseg.io._size import size_of
from napari_nucleiseg.measure import measure
from napari_nucleiseg.samples import SAMPLES
from napari_nucleiseg.store import find_model
from napari_nucleiseg.wording import estimate

STAINED = SAMPLES["stained"].micrograph
TORCH = SegmentConfig(engine="torch", device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images and a damaged one between them."""
    place = tmp_path / "plate [1]"
    place.mkdir()
    for name in ("a.png", "c.png"):
        shutil.copy(STAINED, place / name)
    (place / "b.png").write_bytes(STAINED.read_bytes()[:900])
    (place / "notes.txt").write_text("not an image")
    return place


def planned(config: BatchConfig, settings: SegmentConfig = TORCH) -> BatchPlanned:
    [event] = plan_batch(config, settings)
    assert isinstance(event, BatchPlanned)
    return event


def run(config: BatchConfig, settings: SegmentConfig = TORCH) -> list:
    return list(run_batch(planned(config, settings).files, config, settings))


def of(events: list, kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def test_a_plan_says_what_there_is_to_do(folder):
    plan = planned(BatchConfig(folder=folder, out=folder / "nuclei"))
    assert [file.item.path.name for file in plan.files] == ["a.png", "b.png", "c.png"]
    assert [file.is_done for file in plan.files] == [False] * 3
    megapixels = 256 * 320 / 1e6
    assert [file.megapixels for file in plan.files] == pytest.approx([megapixels] * 3)
    # by the speed on the card of the bundled model
    assert plan.seconds == pytest.approx(3 * megapixels / 1.2, rel=0.2)
    assert plan.problems == ("Left out, as they are no images of a known format: notes.txt",)
    assert not (folder / "nuclei").exists()


def test_what_a_file_holds_and_what_is_joined_counts(tmp_path):
    zarr = pytest.importorskip("zarr")
    images = tmp_path / "images"
    plate = zarr.open_group(images / "two.zarr", mode="w", zarr_format=2)
    plate.attrs["bioformats2raw.layout"] = 3
    for name in ("0", "1"):
        series = plate.create_group(name)
        series.create_array("0", shape=(200, 300), chunks=(100, 100), dtype="uint8")
        axes = [{"name": n, "type": "space"} for n in "yx"]
        series.attrs["multiscales"] = [
            {"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}
        ]
    stack = np.zeros((5, 100, 200), np.uint8)
    tifffile.imwrite(images / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    shutil.copyfile(SAMPLES["stained"].micrograph, images / "whole.png")
    # a header of 40 gigapixels in a file of some bytes, as damaged files have
    lying = np.zeros((1, 1), np.uint8)
    tifffile.imwrite(images / "lying.tif", lying, software="")
    with tifffile.TiffFile(images / "lying.tif", mode="r+b") as tif:
        for tag in ("ImageWidth", "ImageLength"):
            tif.pages[0].tags[tag].overwrite(60_000, dtype="I")
    items = find_items([str(images)]).items
    config = BatchConfig(folder=images, out=tmp_path / "out")
    files, seconds = look_at(items, config, TORCH)
    sizes = {file.item.title: file.megapixels for file in files}
    assert sizes == {
        "lying.tif": None,
        "stack.tif": 0.02,
        "two.zarr 0": 0.06,
        "two.zarr 1": 0.06,
        "whole.png": 0.08192,
    }
    speed = find_model(TORCH.model).speed
    assert seconds == pytest.approx(sum(filter(None, sizes.values())) / speed)
    assert estimate(files, seconds).endswith(" s without 1 of unknown size")
    (joined,) = (item for item in items if item.path.name == "stack.tif")
    ((file,), _) = look_at([joined], config, TORCH, JoinConfig(join="z"))
    assert file.megapixels == 0.1


def test_a_pattern_counts_also_in_a_folder_whose_name_looks_like_one(folder):
    plan = planned(BatchConfig(folder=folder, pattern="[ab].png", out=folder / "out"))
    assert [file.item.name for file in plan.files] == ["a", "b"]
    (folder / "inner").mkdir()
    shutil.copy(STAINED, folder / "inner" / "a2.png")
    config = BatchConfig(folder=folder, pattern="a*.png", recursive=True, out=folder / "out")
    assert [file.item.path.name for file in planned(config).files] == ["a.png", "a2.png"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (BatchConfig(folder=Path("nowhere")), "There is no such folder: nowhere"),
        (BatchConfig(folder=Path("."), pattern="*.czi"), "No micrograph has a name like this"),
        (BatchConfig(folder=Path(".")), "The folder holds no micrographs"),
    ],
)
def test_why_there_is_nothing_to_do(config, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NucleisegError, match=said):
        list(plan_batch(config, TORCH))


@pytest.mark.slow
def test_a_bad_file_is_reported_and_the_others_are_done(folder, tmp_path):
    config = BatchConfig(folder=folder, out=tmp_path / "out", overlay=True, table=True)
    events = run(config)
    assert [event.number for event in of(events, FileBegun)] == [0, 1, 2]
    [failure] = of(events, FileFailed)
    assert failure.number == 1
    assert "b.png" in failure.reason
    finished = of(events, FileFinished)
    assert [event.number for event in finished] == [0, 2]
    [ended] = of(events, BatchEnded)
    assert events[-1] is ended
    assert (ended.total, ended.segmented, ended.were_done, ended.failed) == (3, 2, 0, 1)
    assert ended.nuclei == sum(event.nuclei for event in finished)
    # the same files as those of the command line
    for item in find_items([str(folder / "a.png")]).items:
        list(segment_file(item, tmp_path / "shell", TORCH, overlay=True, table=True))
    for ending in ("_labels.tif", "_overlay.png"):
        ours, theirs = (tmp_path / place / f"a{ending}" for place in ("out", "shell"))
        assert ours.read_bytes() == theirs.read_bytes()
    records = [
        json.loads((tmp_path / place / "a_labels.json").read_text()) for place in ("out", "shell")
    ]
    assert records[0] == records[1]
    # the table is that of the label image
    with (tmp_path / "out" / "a_nuclei.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = read_labels(tmp_path / "out" / "a_labels.tif").image
    table = measure(labels, read_micrograph(folder / "a.png"))
    assert list(rows[0]) == ["image", *table]
    assert [float(row["area_px"]) for row in rows] == table["area_px"].tolist()
    assert not (tmp_path / "out" / "b_labels.tif").exists()


@pytest.mark.slow
def test_what_is_done_is_left_out_the_next_time(folder, tmp_path):
    (folder / "b.png").unlink()
    config = BatchConfig(folder=folder, out=tmp_path / "out")
    # stopped after the first file
    events = run_batch(planned(config).files, config, TORCH)
    for event in events:
        if isinstance(event, FileFinished):
            break
    events.close()
    assert [file.is_done for file in planned(config).files] == [True, False]
    first = (tmp_path / "out" / "a_labels.tif").stat().st_mtime_ns
    finished = of(run(config), FileFinished)
    assert [event.was_done for event in finished] == [True, False]
    assert finished[0].nuclei == finished[1].nuclei > 0
    assert (tmp_path / "out" / "a_labels.tif").stat().st_mtime_ns == first
    assert planned(config).seconds == 0

    def done(**changes) -> list[bool]:
        return [file.is_done for file in planned(config.model_copy(update=changes)).files]

    assert done() == [True, True]
    # what was not asked for then is missing now
    assert done(overlay=True) == done(table=True) == [False, False]
    other = TORCH.model_copy(update={"probability": 0.6})
    assert [file.is_done for file in planned(config, other).files] == [False, False]
    # an image that was changed since, and a result that is gone
    later = first + 10**12
    os.utime(folder / "a.png", ns=(later, later))
    (tmp_path / "out" / "c_labels.tif").unlink()
    assert done() == [False, False]
    # a damaged record is no record
    (tmp_path / "out" / "c_labels.json").write_text("[1]")
    assert done() == [False, False]
    assert planned(config.model_copy(update={"resume": False})).seconds > 0


@pytest.mark.slow
def test_all_are_done_again_where_that_is_wished(folder, tmp_path):
    config = BatchConfig(folder=folder, pattern="a.png", out=tmp_path / "out", resume=False)
    for _ in range(2):
        [finished] = of(run(config), FileFinished)
        assert not finished.was_done


@pytest.mark.slow
def test_exports_are_written_beside_the_labels_and_belong_to_what_is_done(folder, tmp_path):
    out = tmp_path / "out"
    exports = ("geojson", "imagej-roi", "coco")
    config = BatchConfig(folder=folder, pattern="a.png", out=out, exports=exports)
    [finished] = of(run(config), FileFinished)
    assert [path.name for path in finished.exports] == ["a.geojson", "a_rois.zip", "a_coco.json"]
    record = json.loads((out / "a_labels.json").read_text())
    assert record["written"] == ["a_labels.tif", "a.geojson", "a_rois.zip", "a_coco.json"]
    labels = read_labels(out / "a_labels.tif").image
    features = json.loads((out / "a.geojson").read_text())["features"]
    assert [f["properties"]["measurements"]["Label"] for f in features] == (
        np.unique(labels[labels > 0]).tolist()
    )
    assert json.loads((out / "a_coco.json").read_text())["images"][0]["file_name"] == "a.png"
    [again] = of(run(config), FileFinished)
    assert again.was_done
    assert sorted(again.exports) == sorted(finished.exports)
    # what is gone is not done; without being asked for it is not missed
    (out / "a_rois.zip").unlink()
    assert [file.is_done for file in planned(config).files] == [False]
    fewer = config.model_copy(update={"exports": ("geojson",)})
    assert [file.is_done for file in planned(fewer).files] == [True]
    # results are no images that were left out
    beside = BatchConfig(folder=out, out=out)
    with pytest.raises(NucleisegError, match="holds no micrographs"):
        planned(beside)


@pytest.mark.slow
def test_beside_a_slide_lies_what_lies_beside_an_image(folder, tmp_path, monkeypatch):
    """Picture, table and exports; what is missing later is made without segmenting again."""
    pytest.importorskip("zarr", minversion="3")
    all_of_it = {"exports": ("geojson", "imagej_roi"), "table": True, "overlay": True}
    config = BatchConfig(folder=folder, pattern="a.png", out=tmp_path / "whole", **all_of_it)
    run(config)
    monkeypatch.setattr("napari_nucleiseg.batch.STREAM_PIXELS", 1000)
    monkeypatch.setattr("napari_nucleiseg.beside.OVERLAY_PX", 160)
    out = tmp_path / "out"
    config = config.model_copy(update={"out": out})
    [finished] = of(run(config), FileFinished)
    assert finished.labels.name == "a_labels.ome.zarr"
    assert finished.notices == ()
    names = ("a_nuclei.csv", "a.geojson", "a_rois.zip", "a_overlay.png")
    assert [p.name for p in (finished.table, *finished.exports, finished.overlay)] == list(names)
    ours, theirs = (
        [row.split(",") for row in (place / "a_nuclei.csv").read_text("utf-8").splitlines()]
        for place in (out, tmp_path / "whole")
    )
    assert ours[0] == theirs[0]
    assert len(ours) == finished.nuclei + 1 > 20
    # nuclei are the same with other numbers
    at = ours[0].index("area_px"), ours[0].index("intensity_mean_red")
    assert sorted((row[at[0]], row[at[1]]) for row in ours) == sorted(
        (row[at[0]], row[at[1]]) for row in theirs
    )
    # half the size, with outlines
    with Image.open(out / "a_overlay.png") as picture:
        assert picture.size == (160, 128)
    assert [file.is_done for file in planned(config).files] == [True]

    kept = {name: (out / name).read_bytes() for name in names}
    for name in names[1:]:
        (out / name).unlink()
    (out / "a_nuclei.csv").write_bytes(b"")
    assert [file.is_done for file in planned(config).files] == [False]
    with monkeypatch.context() as context:
        context.setattr("napari_nucleiseg.batch.stream", None)
        context.setattr("napari_nucleiseg.batch.segment", None)
        [again] = of(run(config), FileFinished)
        assert {name: (out / name).read_bytes() for name in names} == kept
        assert again.nuclei == finished.nuclei
        # one that was not asked for before
        more = config.model_copy(update={"exports": ("geojson", "coco")})
        [again] = of(run(more), FileFinished)
    assert (out / "a_coco.json").is_file()
    record = json.loads((out / "a_labels.json").read_text("utf-8"))
    assert {"a_coco.json", *names} < set(record["written"])
    assert [file.is_done for file in planned(more).files] == [True]


@pytest.mark.parametrize("place", ["write_labels", "keep_thumbnail"])
def test_killed_between_two_files_it_is_done_again(folder, tmp_path, monkeypatch, place):
    """What is there without being complete is no file from elsewhere."""
    config = BatchConfig(
        folder=folder, pattern="a.png", out=tmp_path / "out", table=True, exports=("geojson",)
    )

    class Killed(BaseException):
        pass

    with monkeypatch.context() as context:
        write = getattr(batch, place)

        def then_killed(*args):
            write(*args)
            raise Killed

        context.setattr(batch, place, then_killed)
        with pytest.raises(Killed):
            run(config)
    assert (tmp_path / "out" / "a_labels.tif").exists()
    assert [file.is_done for file in planned(config).files] == [False]
    assert len(of(run(config), FileFinished)) == 1
    assert [file.is_done for file in planned(config).files] == [True]


@pytest.mark.slow
def test_a_slide_stopped_while_it_is_measured_is_not_segmented_again(folder, tmp_path, monkeypatch):
    pytest.importorskip("zarr", minversion="3")
    monkeypatch.setattr("napari_nucleiseg.batch.STREAM_PIXELS", 1000)
    out = tmp_path / "out"
    config = BatchConfig(folder=folder, pattern="a.png", out=out, table=True, exports=("geojson",))
    with closing(run_batch(planned(config).files, config, TORCH)) as events:
        next(event for event in events if isinstance(event, NucleiWritten))
    assert not (out / "a_nuclei.csv").exists()
    assert not (out / "a.geojson").exists()
    assert [file.is_done for file in planned(config).files] == [False]
    monkeypatch.setattr("napari_nucleiseg.batch.stream", None)
    [finished] = of(run(config), FileFinished)
    assert finished.table == out / "a_nuclei.csv"
    assert (out / "a.geojson").stat().st_size > 1000
    assert [file.is_done for file in planned(config).files] == [True]


@pytest.mark.parametrize("step", [0, 1])
def test_an_image_whose_table_is_missing_is_not_segmented_again(
    folder, tmp_path, monkeypatch, step
):
    config = BatchConfig(folder=folder, pattern="a.png", out=tmp_path / "out", table=step == 0)
    run(config)
    (tmp_path / "out" / "a_nuclei.csv").unlink(missing_ok=True)
    monkeypatch.setattr("napari_nucleiseg.batch.segment", None)
    [again] = of(run(config.model_copy(update={"table": True})), FileFinished)
    rows = (tmp_path / "out" / "a_nuclei.csv").read_text("utf-8").splitlines()
    assert len(rows) == again.nuclei + 1 > 20


def test_exports_that_cannot_be_end_a_run_before_it_begins(tmp_path, monkeypatch):
    out = tmp_path / "out"
    with pytest.raises(SettingError, match="Only single planes can be exported"):
        list(run_batch((), BatchConfig(out=out, exports=("coco",)), TORCH, JoinConfig(join="z")))
    monkeypatch.setitem(sys.modules, "roifile", None)
    config = BatchConfig(out=out, exports=("imagej_roi",))
    with pytest.raises(DependencyError, match=r"napari-nucleiseg\[export\]"):
        list(run_batch((), config, TORCH))
    with pytest.raises(SettingError, match="Known: coco"):
        BatchConfig(out=out, exports=("svg",))
    assert not out.exists()


def test_a_run_that_makes_nothing_leaves_no_folder(folder, tmp_path):
    for out in (tmp_path / "new", tmp_path / "there"):
        config = BatchConfig(folder=folder, pattern="a.png", out=out, summary=False)
        wrong = TORCH.model_copy(update={"channel": "no such"})
        if out.name == "there":
            out.mkdir()
        assert len(of(run(config, wrong), FileFailed)) == 1
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "there").is_dir()


def test_an_output_folder_that_cannot_be_written_to_ends_it_before_it_begins(folder, tmp_path):
    (tmp_path / "file").write_text("")
    config = BatchConfig(folder=folder, out=tmp_path / "file" / "out")
    with pytest.raises(NucleisegError, match="The output folder cannot be written to"):
        list(run_batch((), config, TORCH))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".tif", ".npy"])
def test_the_size_is_in_the_header(suffix, tmp_path):
    pixels = np.zeros((30, 50), np.uint8)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, pixels)
    elif suffix == ".tif":
        tifffile.imwrite(path, np.zeros((3, 30, 50)), photometric="minisblack")
    else:
        Image.fromarray(pixels).save(path)
    assert size_of(path) == (30, 50)
    for damage in (b"no picture", b"II*\0", b""):
        path.write_bytes(damage)
        assert size_of(path) is None
    assert size_of(tmp_path / f"nowhere{suffix}") is None


@pytest.mark.slow
def test_what_another_run_or_file_left_is_not_taken_as_done(folder, tmp_path):
    (folder / "b.png").unlink()
    (folder / "c.png").unlink()
    out = tmp_path / "out"
    plain = BatchConfig(folder=folder, out=out, resume=True)
    full = BatchConfig(folder=folder, out=out, overlay=True, table=True, resume=True)
    sparse = TORCH.model_copy(update={"min_area_px": 400})
    run(full)
    assert [file.is_done for file in planned(full).files] == [True]
    run(plain, sparse)
    # its overlay and table are those of the run before
    assert [file.is_done for file in planned(full, sparse).files] == [False]
    assert [file.is_done for file in planned(plain, sparse).files] == [True]
    image = folder / "a.png"
    older = image.stat().st_mtime_ns - 10**12
    os.utime(image, ns=(older, older))
    assert [file.is_done for file in planned(plain, sparse).files] == [False]
    run(plain, sparse)
    (out / "a_labels.tif").write_bytes(b"")
    assert [file.is_done for file in planned(plain, sparse).files] == [False]
