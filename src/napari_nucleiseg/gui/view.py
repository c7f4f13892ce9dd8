"""What of a layer the window shows, and moving it so that it shows a nucleus."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels, Layer

from ..viewing import View
from .layers import field_axes

# a nucleus nearer to the border of the view than this part of it is moved to the middle
MARGIN = 0.1


def seen_box(layer: Labels) -> tuple[slice, slice]:
    """Rows and columns of the plane that the window shows; all where nothing was drawn yet."""
    shape = np.array(layer.data.shape[-2:])
    corners = np.asarray(layer.corner_pixels)[:, -2:]
    low, high = np.clip(corners[0], 0, shape), np.clip(corners[1] + 1, 0, shape)
    if (high - low <= 1).any():
        low, high = np.zeros(2, int), shape
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def camera_of(viewer: Any) -> Any:
    """Give the camera of a viewer; napari before 0.9 has it on the viewer."""
    return getattr(viewer, "scene", viewer).camera


def canvas_size_of(viewer: Any) -> tuple[int, int]:
    """Height and width of the canvas in pixels of the screen."""
    # their places since napari 0.9, and before
    size = viewer.canvas.size if hasattr(viewer, "scene") else viewer._canvas_size
    return int(size[0]), int(size[1])


def seen_of(viewer: Any, layer: Layer) -> View | None:
    """Give what the window shows of a layer; None where it shows other axes than rows and columns.

    Parameters
    ----------
    viewer : Viewer
    layer : Layer
    """
    dims, camera = viewer.dims, camera_of(viewer)
    down, across = field_axes(layer)
    first = dims.ndim - layer.ndim
    shown = list(dims.displayed)
    if dims.ndisplay != 2 or sorted(shown) != [first + down, first + across]:
        return None
    canvas = canvas_size_of(viewer)
    half = np.array(canvas) / (2 * camera.zoom)
    corners = []
    for signs in ((-1, -1), (-1, 1), (1, 1), (1, -1)):
        point = np.array(dims.point, float)
        point[shown] = np.array(camera.center[-2:]) + half * signs
        at = np.asarray(layer.world_to_data(point[-layer.ndim :]))
        # edges of pixels: the first one lies between 0 and 1
        corners.append((at[down] + 0.5, at[across] + 0.5))
    y, x = np.array(corners).T
    area = abs(float((y * np.roll(x, -1) - x * np.roll(y, -1)).sum())) / 2
    if not area > 0:
        return None
    magnification = float(np.sqrt(canvas[0] * canvas[1] / area))
    return View((float(y.min()), float(y.max())), (float(x.min()), float(x.max())), magnification)


def centre_on(viewer: Any, layer: Labels, plane: tuple[int, ...], number: int) -> None:
    """Move the view to a nucleus, unless it is well in it already."""
    at = np.argwhere(layer.data[plane] == number)
    if not len(at):
        return
    middle = at.mean(axis=0)
    box = seen_box(layer)
    low = np.array([s.start for s in box])
    size = np.array([s.stop - s.start for s in box])
    inside = (at.min(axis=0) >= low + MARGIN * size) & (at.max(axis=0) <= low + (1 - MARGIN) * size)
    whole = size >= np.array(layer.data.shape[-2:])
    if (inside | whole).all():
        return
    world = layer.data_to_world((*plane, *middle))
    camera = camera_of(viewer)
    camera.center = (*camera.center[:-2], *world[-2:])
