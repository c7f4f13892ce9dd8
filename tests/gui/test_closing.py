"""A dock that is closed by its X leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.compare_dock import CompareDock
from napari_nucleiseg.gui.correct_dock import CorrectDock
from napari_nucleiseg.gui.evaluate_dock import EvaluateDock
from napari_nucleiseg.gui.finetune_dock import FinetuneDock
from napari_nucleiseg.gui.measure_dock import MeasureDock
from napari_nucleiseg.gui.segment_dock import SegmentDock


@pytest.fixture
def opened(viewer):
    """An image with two nuclei."""
    labels = np.zeros((60, 80), np.int32)
    labels[5:15, 5:15], labels[30:45, 30:50] = 1, 2
    viewer.add_image((labels > 0) * np.uint8(200), name="cells")
    viewer.add_labels(labels, name="cells · nuclei")
    return viewer


def keys_of(viewer):
    return {str(key) for key in viewer.keymap}


DOCKS = [SegmentDock, CorrectDock, FinetuneDock, EvaluateDock, CompareDock, MeasureDock]


def listeners(real):
    """How many callbacks hear of what outlives a dock."""
    bridge = bridge_of(real)
    sources = (bridge.session, bridge.learning)
    signals = [s for x in sources for s in (x.event, x.failed, x.state_changed)]
    layers = [getattr(real.layers.events, n).callbacks for n in ("inserted", "removed", "renamed")]
    return [len(s) for s in signals] + [len(c) for c in (*layers, real.events.theme.callbacks)]


@pytest.mark.parametrize("kind", DOCKS)
def test_keys_callbacks_and_layers_go_with_the_dock(kind, opened, qtbot):
    real = bridge_of(opened).viewer
    before = keys_of(real), len(real.mouse_drag_callbacks), len(real.layers)
    heard = []
    for _ in range(2):
        dock = kind(opened)
        gone = []
        dock.destroyed.connect(lambda *_, gone=gone: gone.append(True))
        frame = opened.window.add_dock_widget(dock, name="Dock")
        frame.title.close_button.click()
        qtbot.waitUntil(lambda gone=gone: bool(gone))
        qtbot.waitUntil(lambda: len(real.layers) == before[2])
        assert keys_of(real) == before[0]
        assert len(real.mouse_drag_callbacks) == before[1]
        heard.append(listeners(real))
    # what hears for the viewer itself is there since the first dock
    assert heard[0] == heard[1]


def test_a_dock_that_floats_lives_on(opened, qtbot):
    dock = CorrectDock(opened)
    frame = opened.window.add_dock_widget(dock, name="Dock")
    gone = []
    dock.destroyed.connect(lambda *_, gone=gone: gone.append(True))
    frame.setFloating(True)
    qtbot.wait(50)
    frame.setFloating(False)
    qtbot.wait(50)
    assert not gone
    assert "cells · nuclei · states" in [x.name for x in opened.layers]
