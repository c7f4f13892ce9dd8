"""Viewers, docks and sessions for the tests of the GUI; nothing leaks from one test to the next."""

from __future__ import annotations

import gc

import pytest

pytest.importorskip("napari")

from napari_nucleiseg.gui import memory
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.in_window import load_torch
from napari_nucleiseg.gui.segment_dock import SegmentDock

# before a window loads Mesa: a training in this process would load Triton after it, and end it
load_torch()


@pytest.fixture(autouse=True, scope="module")
def light_rubbish():
    """What is there for good is not looked through again.

    napari collects garbage whenever a layer goes, and its fixtures do so around each test: with
    PyTorch and Qt loaded, half of the time of these tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    """Settings of the user who runs the tests are neither read nor written."""
    file = tmp_path / "docks.json"
    monkeypatch.setattr(memory, "memory_file", lambda: file)
    return file


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    """What napari hands to a dock: a proxy of a viewer."""
    return make_napari_viewer_proxy()


@pytest.fixture
def dock(viewer, qtbot):
    """The dock in its window."""
    widget = SegmentDock(viewer)
    viewer.window.add_dock_widget(widget, name="Segment nuclei")
    yield widget
    bridge = bridge_of(viewer)
    bridge.session.cancel()
    qtbot.waitUntil(lambda: not bridge.session.is_busy, timeout=60_000)


@pytest.fixture
def work(monkeypatch, viewer):
    """Replaces segmentation and questions by a generator of the test; still on the job's thread."""

    def replace(generator):
        session = bridge_of(viewer).session
        for place in ("_work_in", "_ask_in"):
            monkeypatch.setattr(session, place, lambda function, *args: generator(*args))

    return replace
