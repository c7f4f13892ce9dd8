"""Files read ahead: one at a time, in order, each with its own errors."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_nucleiseg import batch_reading
from napari_nucleiseg.batch import read_file
from napari_nucleiseg.batch_plan import BatchFile
from napari_nucleiseg.batch_reading import ReadAhead
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.errors import FileError
from napari_nucleiseg.inputs import find_items
from napari_nucleiseg.samples import SAMPLES

STAINED = SAMPLES["stained"].micrograph
SETTINGS = SegmentConfig()


@pytest.fixture
def files(tmp_path: Path) -> list[BatchFile]:
    """Two images and a damaged one between them."""
    for name in ("a.png", "c.png"):
        shutil.copy(STAINED, tmp_path / name)
    (tmp_path / "b.png").write_bytes(STAINED.read_bytes()[:900])
    return [BatchFile(item, 0.08, False) for item in find_items([str(tmp_path)]).items]


@pytest.fixture
def reads(monkeypatch) -> list[tuple[str, bool]]:
    """Names of files in the order of their reading, and whether a thread read them."""
    seen = []

    def read(item, settings):
        seen.append((item.name, threading.current_thread() is not threading.main_thread()))
        return read_file(item, settings)

    monkeypatch.setattr(batch_reading, "read_file", read)
    return seen


def test_the_next_file_is_read_meanwhile_and_no_other(files, reads):
    a, b, c = (file.item for file in files)
    with ReadAhead(files, SETTINGS) as ahead:
        first = ahead.take(a)
        ahead._thread.submit(int).result()
        assert reads == [("a", False), ("b", True)]
        # what is wrong with the second is not said before its turn
        with pytest.raises(FileError, match=r"b\.png"):
            ahead.take(b)
        third = ahead.take(c)
    assert reads == [("a", False), ("b", True), ("c", True)]
    for got, item in ((first, a), (third, c)):
        expected = read_file(item, SETTINGS)
        assert got.stamp == expected.stamp
        assert np.array_equal(got.micrograph.pixels, expected.micrograph.pixels)


def test_a_large_file_waits_for_its_turn(files, reads, monkeypatch):
    monkeypatch.setattr(batch_reading, "available_bytes", lambda: 1_000_000)
    with ReadAhead(files, SETTINGS) as ahead:
        ahead.take(files[0].item)
        ahead._thread.submit(int).result()
        assert reads == [("a", False)]
