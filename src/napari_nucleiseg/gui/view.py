"""What of a layer the window shows, and moving it so that it shows a nucleus."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels

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
    # napari before 0.9 has it on the viewer
    camera = getattr(viewer, "scene", viewer).camera
    camera.center = (*camera.center[:-2], *world[-2:])
