"""A folder on two worker processes gives what one process gives, also if one is killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_nucleiseg import batch_workers
from napari_nucleiseg.batch_config import BatchConfig
from napari_nucleiseg.batch_events import BatchEnded, FileBegun, FileFailed, FileFinished
from napari_nucleiseg.batch_plan import plan_batch
from napari_nucleiseg.batch_run import run_batch
from napari_nucleiseg.cluster import open_client
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.samples import SAMPLES

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

STAINED = SAMPLES["stained"].micrograph
TORCH = SegmentConfig(engine="torch", device="cpu", tile_px=256, overlap_px=64)


@pytest.fixture(scope="module")
def client():
    with open_client(2, shares_cores=True) as opened:
        yield opened


@pytest.fixture
def shared(client, monkeypatch):
    """One pair of workers for all tests: they take long to start."""

    @contextmanager
    def given(count, scheduler, *, shares_cores):
        assert (scheduler, shares_cores) == (None, True)
        yield client

    monkeypatch.setattr(batch_workers, "open_client", given)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images and a damaged one between them."""
    place = tmp_path / "plate"
    place.mkdir()
    for name in ("a.png", "c.png", "d.png"):
        shutil.copy(STAINED, place / name)
    (place / "b.png").write_bytes(STAINED.read_bytes()[:900])
    return place


def run(folder: Path, out: Path, **options) -> list:
    config = BatchConfig(folder=folder, out=out, **options)
    [plan] = plan_batch(config, TORCH)
    return list(run_batch(plan.files, config, TORCH))


def of(events: list, kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def contents(out: Path) -> dict[str, bytes]:
    """All results but those with times in them."""
    files = (p for p in out.rglob("*") if p.is_file() and p.name not in TIMED)
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


TIMED = {"summary.csv", "gallery.html"}


def test_results_are_those_of_one_process(shared, folder, tmp_path):
    options = {"overlay": True, "table": True, "exports": ("geojson", "imagej_roi")}
    one = run(folder, tmp_path / "one", **options)
    two = run(folder, tmp_path / "two", workers=2, **options)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    names = {"a_labels.tif", "a_labels.json", "a_overlay.png", "a_nuclei.csv"}
    assert names | {"a.geojson", "a_rois.zip"} < set(contents(tmp_path / "two"))
    assert sorted(e.number for e in of(two, FileBegun)) == [0, 1, 2, 3]
    assert sorted(e.number for e in of(two, FileFinished)) == [0, 2, 3]
    [[ours], [theirs]] = [of(events, FileFailed) for events in (two, one)]
    assert (ours.number, ours.reason) == (theirs.number, theirs.reason)
    [[ours], [theirs]] = [of(events, BatchEnded) for events in (two, one)]
    assert (ours.segmented, ours.failed, ours.nuclei) == (3, 1, theirs.nuclei)
    # what is done is left out, and nobody starts workers for it
    (folder / "b.png").unlink()
    again = run(folder, tmp_path / "two", workers=2, **options)
    assert [e.was_done for e in of(again, FileFinished)] == [True] * 3


def processes(client) -> set[int]:
    return set(client.run(os.getpid, on_error="ignore").values())


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_worker_costs_its_file_only(shared, client, folder, tmp_path):
    (folder / "b.png").unlink()
    for name in ("e.png", "f.png"):
        shutil.copy(STAINED, folder / name)
    config = BatchConfig(folder=folder, out=tmp_path / "out", workers=2)
    [plan] = plan_batch(config, TORCH)
    before = processes(client)
    finished = []
    for event in run_batch(plan.files, config, TORCH):
        assert not isinstance(event, FileFailed), event
        if isinstance(event, FileFinished):
            finished.append(event)
            if len(finished) == 1:
                # four files are left: each worker has one
                os.kill(min(before), signal.SIGKILL)
    assert sorted(event.number for event in finished) == list(range(5))
    # the scheduler may count the killed one for a moment longer
    until = time.monotonic() + 30
    while len(there := processes(client) - {min(before)}) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert there != before
    first, *others = (read_labels(event.labels).image for event in finished)
    assert first.max() > 20
    for other in others:
        assert np.array_equal(other, first)


def test_slides_among_the_files_go_tile_by_tile(shared, mosaic, tmp_path, monkeypatch):
    pytest.importorskip("zarr", minversion="3")
    monkeypatch.setattr("napari_nucleiseg.batch.STREAM_PIXELS", 300_000)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "slide.tif", mosaic.pixels)
    shutil.copy(STAINED, tmp_path / "in" / "a.png")
    for name, workers in (("one", 1), ("two", 2)):
        events = run(tmp_path / "in", tmp_path / name, workers=workers)
        assert of(events, BatchEnded)[0].segmented == 2
    labels = [read_labels(tmp_path / n / "slide_labels.ome.zarr").image for n in ("one", "two")]
    assert np.array_equal(*labels)
    assert labels[0].max() > 20
    records = [(tmp_path / n / "slide_labels.json").read_bytes() for n in ("one", "two")]
    assert records[0] == records[1]
