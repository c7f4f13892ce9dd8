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
from napari_nucleiseg.gui.aids import nuclei_layers
from napari_nucleiseg.gui.growing import is_slide
from napari_nucleiseg.gui.layers import MICROGRAPH
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

    def paced(*args, **more):
        for event in stream(*args, block_px=150, **more):
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
    assert labels_in(viewer)[0].name == f"{dock.layer.name} · nuclei so far"
    assert nuclei_layers(viewer) == []
    ended: list[Streamed] = []
    session.event.connect(lambda e: ended.append(e) if isinstance(e, Streamed) else None)
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.state == "done", timeout=WAIT)
    assert "of 9 blocks of an earlier run" in dock.outcome.said.notices
    (layer,) = nuclei_layers(viewer)
    assert layer.name == f"{dock.layer.name} · nuclei"
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


@pytest.fixture
def asked(dock, monkeypatch):
    """What the dock asks of the session, instead of the work."""
    found: list[tuple] = []
    monkeypatch.setattr(dock._session, "segment_file", lambda *args: found.append(args))
    return found


def test_what_a_person_says_of_a_file_counts_for_the_slide(
    slide, dock, viewer, qtbot, fluorescence, tmp_path, asked
):
    """Axes that the file does not name, the size of its pixels; a name with several dots."""
    path = tmp_path / "scan.1.tif"
    grey = np.tile(fluorescence[0].pixels[::2, ::2], (2, 2))
    tifffile.imwrite(path, np.stack([grey] * 6), photometric="minisblack", tile=(64, 64))
    (image,) = viewer.open(str(path), plugin="napari-nucleiseg")
    dock.images.image.setCurrentText(image.name)
    at = dock.images.axes.findData("C")
    dock.images.axes.setCurrentIndex(at)
    dock.images.axes.activated.emit(at)
    dock.images.pixel_size.setValue(0.5)
    assert dock.images.kind == "channels"
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    [(item, out, config)] = asked
    assert (item.path, item.name, out) == (path, "scan.1", tmp_path / "results")
    assert (config.axes, config.pixel_size_um) == ("CYX", 0.5)


def test_pictures_of_one_file_have_results_of_their_own(slide, dock, qtbot, asked):
    known = dock.layer.metadata[MICROGRAPH]
    for series in ("A/1", "A/2"):
        dock.layer.metadata[MICROGRAPH] = {**known, "series": series}
        qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    assert [item.name for item, *_ in asked] == ["slide_A-1", "slide_A-2"]
    assert [item.series for item, *_ in asked] == ["A/1", "A/2"]


def test_of_a_stack_the_plane_shown_grows(slide, dock, viewer, qtbot, fluorescence, tmp_path):
    """Each plane has a layer and a label image of its own, that of the command line."""
    path, session = tmp_path / "deep.ome.tif", dock._session
    grey = np.tile(fluorescence[0].pixels[::2, ::2], (2, 2))
    planes = np.stack([grey, grey[::-1], grey[:, ::-1]])
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    units = {f"{name}Unit": "µm" for name in sizes}
    metadata = {"axes": "ZYX", **sizes, **units}
    tifffile.imwrite(path, planes, tile=(64, 64), photometric="minisblack", metadata=metadata)
    (image,) = viewer.open(str(path), plugin="napari-nucleiseg")
    dock.images.image.setCurrentText(image.name)
    assert dock.images.kind == "stack"
    assert is_slide(image, "stack", (1,))
    session.event.connect(lambda e: SHOWN.release() if isinstance(e, TileDone) else None)
    for number in (2, 3):
        viewer.dims.set_current_step(0, number - 1)
        qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: session.state == "done", timeout=WAIT)
        session._set_state("idle")
        assert "nuclei" in dock.outcome.result.text()
    layers = nuclei_layers(viewer)
    assert sorted(x.name for x in layers) == [f"deep · nuclei (plane {n})" for n in (2, 3)]
    for layer in layers:
        number = int(layer.name[-2])
        assert tuple(layer.scale) == (0.5, 0.5)
        shown = np.asarray(layer.data[0] if layer.multiscale else layer.data)
        made = tmp_path / "results" / f"deep_z{number}_labels.ome.zarr"
        np.testing.assert_array_equal(shown, read_labels(made).image)
        config = session.config.model_copy(update={"z": str(number)})
        whole = segment_now(open_micrograph(path), config)
        np.testing.assert_array_equal(shown > 0, whole.labels > 0)


def test_channels_that_are_a_file_each_are_no_slide(slide, dock):
    known = dock.layer.metadata[MICROGRAPH]
    dock.layer.metadata[MICROGRAPH] = {**known, "files": [str(slide), str(slide)]}
    assert not is_slide(dock.layer, "channels")


def test_labels_that_were_deleted_do_not_come_back_with_other_work(slide, dock, viewer, qtbot):
    session = dock._session

    def look(event):
        if isinstance(event, TileDone):
            session.cancel()
            SHOWN.release()

    session.event.connect(look)
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.state == "cancelled", timeout=WAIT)
    (layer,) = labels_in(viewer)
    viewer.layers.remove(layer)
    session.event.emit(TileDone(1, 3))
    assert not labels_in(viewer)


def test_only_who_deletes_the_slide_itself_stops_its_work(slide, dock, viewer, asked, qtbot):
    session, bridge = dock._session, dock._bridge
    first = viewer.add_image(np.zeros((30, 30), np.uint8))
    bridge.ask(first, ())
    dock.images.image.setCurrentText("slide")
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    assert bridge.asked is dock.layer
    stopped = []
    session._set_state("running")
    session.cancel = lambda: stopped.append(True)
    viewer.layers.remove(first)
    assert not stopped
    viewer.layers.remove(dock.layer)
    assert stopped
    del session.cancel
    session._set_state("idle")


def test_a_folder_that_cannot_be_written_to_is_said(slide, dock, qtbot, monkeypatch):
    monkeypatch.setattr(
        "napari_nucleiseg.gui.segment_dock.QFileDialog.getExistingDirectory",
        lambda *_: str(slide / "inside"),
    )
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock._session.state == "failed", timeout=WAIT)
    assert "The output folder cannot be written to" in dock.outcome.sentence.text()
