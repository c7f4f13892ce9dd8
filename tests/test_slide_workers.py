"""A slide on two worker processes gives what one process gives, also if one is killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import closing, suppress

import numpy as np
import pytest

from napari_nucleiseg.cluster import open_client
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.errors import FileError, ModelError
from napari_nucleiseg.events import TileDone
from napari_nucleiseg.io import open_micrograph, read_labels
from napari_nucleiseg.slide_tiles import Tiles
from napari_nucleiseg.slide_workers import SlideWorkers
from napari_nucleiseg.streaming import stream
from napari_nucleiseg.tiling import Grid

pytest.importorskip("zarr", minversion="3")
pytest.importorskip("distributed")

CONFIG = SegmentConfig(device="cpu", engine="torch", tile_px=256, overlap_px=64)
BLOCK = 180


@pytest.fixture(scope="module")
def client():
    with open_client(2) as opened:
        yield opened


@pytest.fixture(scope="module")
def expected(mosaic, tmp_path_factory) -> np.ndarray:
    """Labels of one process."""
    *_, last = stream(mosaic, CONFIG, tmp_path_factory.mktemp("one") / "a.ome.zarr", block_px=BLOCK)
    return read_labels(last.path).image


@pytest.mark.slow
def test_two_workers_give_the_labels_of_one_process(client, mosaic, expected, tmp_path):
    """Pixels in a file; all tiles are made over there."""
    np.save(tmp_path / "m.npy", mosaic.pixels)
    micrograph = open_micrograph(tmp_path / "m.npy")
    made = set()
    workers = SlideWorkers(client)
    submit = workers._submit

    def watch(numbers):
        made.update(numbers)
        submit(numbers)

    workers._submit = watch
    events = stream(micrograph, CONFIG, tmp_path / "a.ome.zarr", block_px=BLOCK, workers=workers)
    *_, last = events
    assert np.array_equal(read_labels(last.path).image, expected)
    assert last.count == expected.max()
    assert len(made) == len(workers._tiles.places)
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["a.ome.zarr"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_worker_costs_its_tile_only(client, mosaic, expected, tmp_path):
    """Both are killed: at least one of them is at work."""
    before = client.run(os.getpid)
    out = tmp_path / "a.ome.zarr"
    events = stream(mosaic, CONFIG, out, block_px=BLOCK, workers=SlideWorkers(client))
    for event in events:
        if isinstance(event, TileDone) and event.done == 1:
            for pid in before.values():
                os.kill(pid, signal.SIGKILL)
    assert np.array_equal(read_labels(out).image, expected)
    # the scheduler may count the killed ones for a moment longer
    killed, until = set(before.values()), time.monotonic() + 30
    while len(set(client.run(os.getpid, on_error="ignore").values()) - killed) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_stopped_and_gone_on_by_one_process(client, mosaic, expected, tmp_path):
    out = tmp_path / "a.ome.zarr"
    first = stream(mosaic, CONFIG, out, block_px=BLOCK, workers=SlideWorkers(client))
    with closing(first) as events:
        next(event for event in events if isinstance(event, TileDone))
    again = list(stream(mosaic, CONFIG, out, block_px=BLOCK))
    assert next(e for e in again if isinstance(e, TileDone)).done == 2
    assert np.array_equal(read_labels(out).image, expected)


class Soon:
    """Stands in for a client: a tile is made when its result is asked for."""

    def __init__(self) -> None:
        self.submitted: list[int] = []

    def submit(self, function, packed, number, **options):
        self.submitted.append(number)
        return self

    def result(self) -> None:
        pass


def tiles(folder, shape) -> Tiles:
    folder.mkdir(parents=True)
    return Tiles(shape, Grid(256, 64, 32), lambda tiles: tiles, lambda y, x: None, folder, 2)


def test_no_more_than_a_row_of_blocks_is_made_ahead(tmp_path):
    from napari_nucleiseg.windows import blocks_of

    shape = (4000, 600)
    slide, soon = tiles(tmp_path / "a" / "b", shape), Soon()
    workers = SlideWorkers(soon)
    windows = [block.grown(40, shape) for block in blocks_of(shape, 300)]
    workers.begin(slide, CONFIG, "", windows)
    for window in windows:
        slide.prepare(slide.touching(window))
        lowest = max(slide.places[n][0].stop for n in soon.submitted)
        assert lowest <= window.rows.stop + 256 + 340
    assert set(soon.submitted) == set(range(len(slide.places)))


def test_a_worker_with_another_model_is_told(tmp_path):
    import cloudpickle

    from napari_nucleiseg.slide_workers import _make_tile

    packed = cloudpickle.dumps((tiles(tmp_path / "a", (64, 64)), CONFIG, "another"))
    with pytest.raises(ModelError, match="another model of this name: nuclei"):
        _make_tile(packed, 0)


@pytest.mark.slow
def test_two_programs_have_workers_at_the_same_time():
    """Nothing is said, and a warning would be an error here, of a port that is taken."""
    with socket.socket() as other:
        # maybe it is taken already, which is as good
        with suppress(OSError):
            other.bind(("127.0.0.1", 8787))
            other.listen()
        with open_client(1) as opened:
            assert opened.submit(sum, (1, 2)).result() == 3


def test_a_scheduler_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr("napari_nucleiseg.cluster.PATIENCE", "0.2s")
    with (
        pytest.raises(FileError, match=r"no dask scheduler at this address: tcp://127\.0\.0\.1:9"),
        open_client(1, "tcp://127.0.0.1:9"),
    ):
        pass
