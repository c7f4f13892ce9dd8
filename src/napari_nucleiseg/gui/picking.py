"""Clicks on nuclei in the view, told apart from dragging it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from qtpy.QtCore import QObject

# a hand moves a little while it clicks (px)
_STILL = 4


def pick_by_click(viewer: Any, owner: QObject, picked: Callable[[Any], None]) -> None:
    """Call a method of a widget with the event of each click in the view.

    Parameters
    ----------
    viewer : Viewer
    owner : QObject
        The widget; when Qt deletes it, nothing is called any more.
    picked : method
        Not kept alive.
    """
    reference = weakref.WeakMethod(picked)

    def press(_viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        began = np.asarray(event.pos)
        moved = 0.0
        yield
        while event.type == "mouse_move":
            moved = max(moved, float(np.abs(np.asarray(event.pos) - began).max()))
            yield
        method = reference()
        if moved < _STILL and method is not None:
            method(event)

    callbacks = viewer.mouse_drag_callbacks
    callbacks.append(press)

    def forget() -> None:
        if press in callbacks:
            callbacks.remove(press)

    owner.destroyed.connect(lambda *_: forget())
