"""A slide in the dock: segmented from its file, its labels shown as they grow."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_nucleiseg import batch, streaming
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.events import Streamed, TileDone
from napari_nucleiseg.gui.growing import is_slide
from napari_nucleiseg.io import open_micrograph, read_labels
from napari_nucleiseg.segmentation import segment_now
from napari_nucleiseg.streaming import stream

pytest.importorskip("zarr", minversion="3")

WAIT = 120_000
SHOWN = threading.Semaphore(0)


@pytest.fixture
def slide(viewer, dock, fluorescence, tmp_path, monkeypatch):
    """A small mosaic in a file, with a limit that makes it large."""
    pixels = np.tile(fluorescence[0].pixels[::2, ::2], (2, 2))
    path = tmp_path / "slide.ome.tif"
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="minisblack")
    monkeypatch.setattr(batch, "STREAM_PIXELS", 100_000)
    monkeypatch.setattr("napari_nucleiseg.io._tiff_stack.LAZY_BYTES", 0)
    monkeypatch.setattr(
        "napari_nucleiseg.gui.segment_dock.QFileDialog.getExistingDirectory",
        lambda *_: str(tmp_path / "results"),
    )
    # in this process: another one would not know the small blocks
    monkeypatch.setattr(dock._session, "_work_in", lambda work, *args: work(*args))

    def paced(*args):
        for event in stream(*args, block_px=150):
            yield event
            # no block begins before the window has shown the last one
            if isinstance(event, TileDone):
                assert SHOWN.acquire(timeout=60)

    monkeypatch.setattr(batch, "stream", paced)
    monkeypatch.setattr(streaming, "MARGIN_PX", 40)
    dock._session.config = SegmentConfig(
        device="cpu", engine="torch", tile_px=256, nucleus_diameter="none"
    )
    viewer.open(str(path), plugin="napari-nucleiseg")
    return path


def labels_in(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def test_labels_grow_in_the_window_and_a_stopped_run_goes_on(slide, dock, viewer, qtbot, tmp_path):
    session = dock._session
    assert is_slide(dock.layer, dock.images.kind)
    seen: list[int] = []

    def look(event):
        if isinstance(event, TileDone):
            (layer,) = labels_in(viewer)
            found = layer.data[0] if layer.multiscale else layer.data
            seen.append(int(np.asarray(found).max()))
            if len(seen) == 4:
                session.cancel()
            SHOWN.release()

    session.event.connect(look)
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.state == "cancelled", timeout=WAIT)
    # how many nuclei there were when each block was done
    assert len(seen) == 4, seen
    assert 0 < seen[0] < seen[-1], seen
    part = tmp_path / "results" / "slide_labels.part.ome.zarr"
    assert part.is_dir()
    assert labels_in(viewer)[0].name == f"{dock.layer.name} · nuclei"
    ended: list[Streamed] = []
    session.event.connect(lambda e: ended.append(e) if isinstance(e, Streamed) else None)
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.state == "done", timeout=WAIT)
    assert "of 9 blocks of an earlier run" in dock.outcome.said.notices
    (layer,) = labels_in(viewer)
    out = tmp_path / "results" / "slide_labels.ome.zarr"
    assert ended[0].path == out
    assert not part.exists()
    assert (out.parent / "slide_labels.json").is_file()
    shown = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    np.testing.assert_array_equal(shown, read_labels(out).image)
    whole = segment_now(open_micrograph(slide), session.config)
    np.testing.assert_array_equal(shown > 0, whole.labels > 0)
    assert f"{whole.count} nuclei" in dock.outcome.result.text()


def test_without_a_folder_nothing_begins(slide, dock, viewer, qtbot, monkeypatch):
    monkeypatch.setattr(
        "napari_nucleiseg.gui.segment_dock.QFileDialog.getExistingDirectory", lambda *_: ""
    )
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    assert dock._session.state == "idle"
    assert not labels_in(viewer)
