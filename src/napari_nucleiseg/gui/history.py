"""Every step in a Labels layer as a `Change`: painting, operations, undo and redo.

napari tells of painting alone. Undo and redo are heard by standing before the two methods of this
one layer, which its keys and every other caller go through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from napari.layers import Labels

from ..editing import Change
from .strokes import change_of

Way = Literal["do", "undo", "redo"]


def forget_edits(layer: Labels) -> None:
    """Let napari forget the edits of a layer: in other data they would hit other nuclei."""
    is_editable, mode = layer.editable, layer.mode
    layer.editable = False
    layer.editable = is_editable
    layer.mode = mode


class History:
    """Hears the steps of a Labels layer.

    Parameters
    ----------
    layer : Labels
    heard : callable
        Called with the change and the way it came about. While something is done the pixels may
        not be written yet; after undo and redo they are.
    """

    def __init__(self, layer: Labels, heard: Callable[[Change, Way], None]) -> None:
        self._layer, self._heard = layer, heard
        layer.events.paint.connect(self._on_paint)
        layer.undo, layer.redo = self._undo, self._redo

    def close(self) -> None:
        """Hear no more."""
        self._layer.events.paint.disconnect(self._on_paint)
        for name in ("undo", "redo"):
            self._layer.__dict__.pop(name, None)

    def clear(self) -> None:
        """Forget all steps."""
        forget_edits(self._layer)

    @property
    def length(self) -> int:
        """Steps that can be undone."""
        return len(self._layer._undo_history)

    @property
    def undone(self) -> int:
        """Steps that can be done again."""
        return len(self._layer._redo_history)

    def add_empty_step(self) -> None:
        """Add a step that changes no pixel, so that one about states alone can be undone, too."""
        self._layer._redo_history.clear()
        self._layer._append_to_undo_history([])

    def _on_paint(self, event: object) -> None:
        self._heard(change_of(event.value, self._layer.data.shape), "do")

    def _undo(self) -> None:
        steps = self._layer._undo_history
        if steps:
            change = change_of(steps[-1], self._layer.data.shape).reverse()
            Labels.undo(self._layer)
            self._heard(change, "undo")

    def _redo(self) -> None:
        steps = self._layer._redo_history
        if steps:
            # napari keeps the pieces of what was undone in the opposite order
            change = change_of(reversed(steps[-1]), self._layer.data.shape)
            Labels.redo(self._layer)
            self._heard(change, "redo")
