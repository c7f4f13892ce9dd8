"""A dock that is closed by its X leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.correct_dock import CorrectDock
from napari_nucleiseg.gui.evaluate_dock import EvaluateDock
from napari_nucleiseg.gui.finetune_dock import FinetuneDock
from napari_nucleiseg.gui.measure_dock import MeasureDock


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


@pytest.mark.parametrize("kind", [CorrectDock, EvaluateDock, MeasureDock, FinetuneDock])
def test_keys_callbacks_and_layers_go_with_the_dock(kind, opened, qtbot):
    real = bridge_of(opened).viewer
    before = keys_of(real), len(real.mouse_drag_callbacks), len(real.layers)
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
