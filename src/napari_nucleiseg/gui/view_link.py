"""From a nucleus to its place in the view, and from a click in the view to a nucleus."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QObject

# a nucleus that is smaller on the screen is shown so large
_LEAST_PX, _SHOWN_PX = 30, 90
_STILL_PX = 4


def look_at(viewer: Any, layer: Layer, place: tuple[float, float], diameter_px: float) -> None:
    """Centre the view on a place; where the nucleus would be a speck, come closer.

    Parameters
    ----------
    viewer : Viewer
    layer : Layer
        With the nucleus, 2-D.
    place : (float, float)
        (y, x) in pixels of the layer.
    diameter_px : float
        About how large the nucleus is.
    """
    world = np.asarray(layer.data_to_world(place))[-2:]
    # napari 0.9 moved it
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    camera.center = tuple(float(v) for v in world)
    size = diameter_px * float(np.mean(np.abs(layer.scale[-2:])))
    if size * camera.zoom < _LEAST_PX:
        camera.zoom = _SHOWN_PX / size


def pixel_at(layer: Layer, position: tuple[float, ...]) -> tuple[int, int]:
    """Pixel (y, x) of a 2-D layer at a position of the view."""
    y, x = layer.world_to_data(position)[-2:]
    return round(float(y)), round(float(x))


def hear_clicks(viewer: Any, owner: QObject, method: Callable[[tuple[float, ...]], None]) -> None:
    """Let a method hear where the user clicks, unless a tool paints; until the owner is deleted.

    Parameters
    ----------
    viewer : Viewer
    owner : QObject
    method : callable
        Called with the position in the view.
    """
    told = weakref.WeakMethod(method)

    def on_press(viewer: Any, event: Any) -> Generator[None, None, None]:
        start = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        moved = np.linalg.norm(np.asarray(event.pos) - start)
        active = viewer.layers.selection.active
        is_painting = active is not None and active.mode not in ("pan_zoom", "transform")
        alive = told()
        if alive is not None and moved <= _STILL_PX and event.button == 1 and not is_painting:
            alive(tuple(event.position))

    viewer.mouse_drag_callbacks.append(on_press)
    owner.destroyed.connect(partial(_forget, viewer.mouse_drag_callbacks, on_press))


def _forget(callbacks: list[Any], called: Any, *_: Any) -> None:
    if called in callbacks:
        callbacks.remove(called)
