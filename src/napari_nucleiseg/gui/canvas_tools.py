"""What the mouse does on the image: choose a nucleus, click two, draw a line, click or drag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from napari.layers import Labels
from psygnal import Signal

from .keys import give_back

Tool = Literal["", "merge", "line", "add"]
# a press that moves less than this on the screen is a click
STILL_PX = 4
_END = "Escape"


class CanvasTools:
    """Turns mouse presses on the canvas into points in pixels of a Labels layer.

    Parameters
    ----------
    viewer : Viewer

    Attributes
    ----------
    layer : Labels or None
        The layer that is corrected.
    tool : str
        Which tool is on: "merge", "line", "add", or "" for choosing a nucleus.
    clicked : Signal(ndarray)
        A point, (y, x) in pixels of the layer's last two axes.
    dragged : Signal(ndarray)
        The points of a line from press to release, (N, 2).
    dragging : Signal(ndarray)
        The same, while it is drawn.
    tool_changed : Signal(str)
    """

    clicked = Signal(object)
    dragged = Signal(object)
    dragging = Signal(object)
    tool_changed = Signal(str)

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self.layer: Labels | None = None
        self._tool: Tool = ""
        # the layer whose key ends the tool, what it does, and what it did before
        self._bound: tuple[Labels, Any, Any] | None = None
        viewer.mouse_drag_callbacks.append(self._on_mouse)

    def close(self) -> None:
        """Hear no more."""
        self.tool = ""
        if self._on_mouse in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_mouse)

    @property
    def tool(self) -> Tool:
        """The tool that is on."""
        return self._tool

    @tool.setter
    def tool(self, tool: Tool) -> None:
        if tool == self._tool:
            return
        layer = self.layer
        if layer is not None and layer in self._viewer.layers:
            if not self._tool:
                self._viewer.layers.selection.active = layer
                layer.mode = "pan_zoom"
            # the mouse draws, it must not move the image
            layer.mouse_pan = not tool
        self._bind_end(layer if tool else None)
        self._tool = tool
        self.tool_changed.emit(tool)

    def _bind_end(self, layer: Labels | None) -> None:
        """Let Escape end the tool; the key of a labels layer comes before that of a viewer."""
        if self._bound is not None:
            bound, own, before = self._bound
            give_back(bound, _END, own, before)
            self._bound = None
        if layer is not None:

            def end(_layer: Labels) -> None:
                self.tool = ""

            self._bound = layer, end, layer.bind_key(_END, end, overwrite=True)

    def _on_mouse(self, viewer: Any, event: Any) -> Iterator[None]:
        layer = self.layer
        if layer is None or layer not in viewer.layers or not self._is_ours(event):
            return
        start = np.array(event.pos, float)
        points = [self._place(event)]
        moved = False
        yield
        while event.type == "mouse_move":
            moved = moved or bool(np.abs(np.array(event.pos) - start).max() > STILL_PX)
            points.append(self._place(event))
            if moved and self._tool:
                self.dragging.emit(np.array(points))
            yield
        # the mouse may have been faster than what is told of its way
        moved = moved or bool(np.abs(np.array(event.pos) - start).max() > STILL_PX)
        points.append(self._place(event))
        if not moved:
            self.clicked.emit(points[0])
        elif self._tool:
            self.dragged.emit(np.array(points))

    def _is_ours(self, event: Any) -> bool:
        """Whether this press is neither for the brush nor for turning a stack in 3-D."""
        active = self._viewer.layers.selection.active
        is_painting = str(getattr(active, "mode", "pan_zoom")) != "pan_zoom"
        flat = self._viewer.dims.ndisplay == 2
        return event.button == 1 and flat and not event.modifiers and not is_painting

    def _place(self, event: Any) -> np.ndarray:
        return np.asarray(self.layer.world_to_data(event.position), float)[-2:]
