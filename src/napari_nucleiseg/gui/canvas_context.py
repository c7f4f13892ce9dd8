"""OpenGL frees what a removed layer was drawn with in the context of the canvas."""

from __future__ import annotations

import weakref
from typing import Any


def free_in_own_context(viewer: Any) -> None:
    """Make the OpenGL context of a viewer's canvas current before one of its layers goes.

    napari deletes the programs of a removed layer at once, in whatever context is current: after
    the window was painted, that of the window. Mesa (seen with 22.3) then deletes them later in
    that of the canvas and takes away the vertex shader that is in use there. If one layer is left,
    its next paint is a segmentation fault. In their own context they are deleted rightly.

    Parameters
    ----------
    viewer : Viewer
    """
    reference = weakref.ref(viewer)
    viewer.layers.events.removing.connect(lambda *_: _make_current(reference()))


def _make_current(viewer: Any) -> None:
    # a viewer without a window has nothing to free, nor one that is closed already
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    if canvas is not None and canvas.native.isValid():
        canvas.native.makeCurrent()
