"""A dask scheduler and workers that somebody else has started, as real processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_nucleiseg import cluster
from napari_nucleiseg.cluster import open_client
from napari_nucleiseg.errors import FileError
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.samples import SAMPLES, read_sample

pytest.importorskip("zarr", minversion="3")
pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there"),
]

SCHEDULER = "from distributed.cli.dask_scheduler import main; main()"
WORKER = "from distributed.cli.dask_worker import main; main()"
WITHOUT_US = """
import importlib.metadata as installed
version = installed.version
installed.version = lambda name: version(name if name != "napari_nucleiseg" else "not there")
"""
PATIENCE_S = 60
SHORT = ("--device", "cpu", "--engine", "torch", "--tile-px", "256", "--overlap-px", "64")


def start(code: str, *words: str) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-c", code, *words], **quiet)


@contextmanager
def processes(workers: int, worker: str = WORKER):
    """A scheduler with workers: its address and all processes, the scheduler first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    place = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    begun = [start(SCHEDULER, *place)]
    alone = ("--nthreads", "1", "--no-dashboard", "--no-nanny")
    begun += [start(worker, address, *alone) for _ in range(workers)]
    try:
        wait_for(address, workers)
        yield address, begun
    finally:
        for process in begun:
            process.kill()
            process.wait()


def wait_for(address: str, workers: int) -> None:
    from distributed import Client

    with Client(address, timeout=PATIENCE_S) as client:
        if workers:
            client.wait_for_workers(workers, timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def somewhere():
    with processes(2) as (address, _):
        yield address


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An image, a damaged one, and one whose nuclei are far too wide for the network."""
    place = tmp_path_factory.mktemp("plate")
    shutil.copy(SAMPLES["stained"].micrograph, place / "a.png")
    (place / "b.png").write_bytes(SAMPLES["stained"].micrograph.read_bytes()[:900])
    pixels = read_sample("fluorescence")[0].pixels
    wide = ndimage.zoom(pixels, 3, order=1)
    tifffile.imwrite(place / "wide.tif", wide, tile=(256, 256))
    return place


def segment(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "napari_nucleiseg", "segment", *map(str, words), *SHORT]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.parametrize("how", ["--no-stream", "--stream"])
def test_files_are_those_of_one_process(somewhere, folder, tmp_path, how):
    one = segment(folder, "--out", tmp_path / "one", how)
    two = segment(folder, "--out", tmp_path / "two", how, "--scheduler", somewhere)
    assert (one.returncode, two.returncode) == (1, 1)
    for result in (one, two):
        assert "2 of 3 micrographs segmented, 1 failed" in result.stdout
        assert "b.png" in result.stderr
    ending = ".ome.zarr" if how == "--stream" else ".tif"
    for name in ("a", "wide"):
        ours, theirs = (
            read_labels(tmp_path / which / f"{name}_labels{ending}").image
            for which in ("one", "two")
        )
        assert ours.max() > 10
        assert np.array_equal(ours, theirs)
    # so that the network on the workers saw the slide shrunk
    assert '"magnification": 0.' in (tmp_path / "two" / "wide_labels.json").read_text("utf-8")


def test_a_scheduler_that_ends_meanwhile_is_said_and_the_slide_goes_on(folder, tmp_path):
    slide, out = folder / "wide.tif", tmp_path / "out"
    words = (slide, "--out", out, "--stream", "--nucleus-diameter", "none")
    with processes(1) as (address, begun):
        command = [sys.executable, "-m", "napari_nucleiseg", "segment", *map(str, words), *SHORT]
        running = subprocess.Popen([*command, "--scheduler", address], stderr=subprocess.PIPE)
        tiles = out / "wide_labels.part.ome.zarr" / "unfinished" / "tiles"
        until = time.monotonic() + PATIENCE_S
        while not any(tiles.glob("*.npy")):
            assert running.poll() is None, running.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)
        os.kill(begun[0].pid, signal.SIGKILL)
        said = running.communicate(timeout=PATIENCE_S)[1].decode()
    assert running.returncode != 0
    assert f"{slide}: The dask scheduler has ended" in said
    assert "Traceback" not in said
    assert not (out / "wide_labels.ome.zarr").exists()
    # one process goes on from there
    assert segment(*words).returncode == 0
    assert segment(slide, "--out", tmp_path / "whole", *words[3:]).returncode == 0
    ours, theirs = (
        read_labels(place / "wide_labels.ome.zarr").image for place in (out, tmp_path / "whole")
    )
    assert np.array_equal(ours, theirs)


def test_workers_without_this_program_are_refused():
    expected = r"does not have this program: tcp://.*pip install \"napari-nucleiseg\[cluster\]=="
    with (
        processes(1, WITHOUT_US + WORKER) as (address, _),
        pytest.raises(FileError, match=expected),
        open_client(1, address),
    ):
        pass


def test_workers_with_another_version_are_refused(somewhere, monkeypatch):
    monkeypatch.setattr(cluster, "__version__", "99")
    with (
        pytest.raises(FileError, match=r"another version of this program: .*, and 99 here"),
        open_client(1, somewhere),
    ):
        pass


def test_a_scheduler_without_workers_is_refused():
    with (
        processes(0) as (address, _),
        pytest.raises(FileError, match=f"no workers: {address}. Start some: dask worker"),
        open_client(1, address),
    ):
        pass
