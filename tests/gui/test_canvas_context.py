"""What a layer was drawn with is freed where it was made."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtGui import QOpenGLContext
from vispy.gloo.context import GLContext

from napari_nucleiseg.gui.bridge import bridge_of


@pytest.fixture
def freed_in(monkeypatch):
    """OpenGL contexts in which napari freed what it had drawn."""
    found = []
    finish = GLContext.finish

    def recorded(context):
        found.append(QOpenGLContext.currentContext())
        finish(context)

    monkeypatch.setattr(GLContext, "finish", recorded)
    return found


@pytest.mark.slow
def test_removed_layers_are_freed_in_the_context_of_the_canvas(freed_in, make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    bridge_of(viewer)
    native = viewer.window._qt_viewer.canvas.native
    image = viewer.add_image(np.eye(60, 80))
    viewer.add_labels(np.ones((60, 80), np.int32))
    qtbot.waitUntil(native.isValid)

    def paint():
        with qtbot.waitSignal(native.frameSwapped):
            native.update()

    for remove in (lambda: viewer.layers.remove(image), viewer.layers.clear):
        # Mesa crashed at the second paint of the one layer that is left
        paint()
        paint()
        # the window was painted last
        assert QOpenGLContext.currentContext() is not native.context()
        freed_in.clear()
        remove()
        assert freed_in
        assert all(context is native.context() for context in freed_in)
    paint()


def test_a_viewer_without_a_window_loses_layers_too():
    from napari.components import ViewerModel

    viewer = ViewerModel()
    bridge_of(viewer)
    viewer.add_image(np.eye(60, 80))
    viewer.layers.clear()
    assert not viewer.layers
