"""A training pair as layers, and the view moved to a part of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer

from ..doctor import PairRead
from ..micrograph import Micrograph
from .bridge import Bridge
from .labels_of_files import labels_of, mark
from .layers import field_axes, field_shape, layer_of, path_of, placement

# around what is looked at
MARGIN_PX = 40


def show_pair(bridge: Bridge, read: PairRead) -> tuple[Image, Labels]:
    """Show a training pair; layers that show it already are taken, and brought up to date.

    Pixels that were not reviewed are shown as background: the layer is to be looked at. What
    somebody has painted in stays.
    """
    viewer, path = bridge.viewer, read.pair.micrograph
    image = next((x for x in viewer.layers if isinstance(x, Image) and path_of(x) == path), None)
    if image is None:
        image = bridge.add_micrograph(read.micrograph)
    else:
        _refresh(image, read.micrograph)
    shown = np.maximum(read.labels, 0)
    labels = labels_of(viewer, str(path), shown, keep_painted=True)
    if labels is None:
        labels = Labels(shown, name=f"{image.name} · labels", **placement(image))
        mark(labels, str(path))
        viewer.layers.insert(viewer.layers.index(image) + 1, labels)
    for layer in viewer.layers:
        layer.visible = layer in (image, labels)
    viewer.layers.selection.active = labels
    return image, labels


def _refresh(image: Image, micrograph: Micrograph) -> None:
    """Show the pixels that the file holds now."""
    data, _, _ = layer_of(micrograph)
    is_whole = isinstance(image.data, np.ndarray) and isinstance(data, np.ndarray)
    if is_whole and data.ndim == image.data.ndim and not np.array_equal(data, image.data):
        image.data = data


def look_at(
    viewer: Any, layer: Layer, box: tuple[int, int, int, int], plane: tuple[int, ...] = ()
) -> None:
    """Move and zoom the view to a part of a layer.

    Parameters
    ----------
    viewer : Viewer
    layer : Layer
    box : (int, int, int, int)
        Top, left, height and width in pixels.
    plane : tuple of int
        Of a stack: the plane to show.
    """
    top, left, height, width = box
    down, across = field_axes(layer)
    corners = []
    for y, x in ((top, left), (top + height, left + width)):
        at = np.zeros(layer.ndim)
        at[: len(plane)] = plane
        at[down], at[across] = y - 0.5, x - 0.5
        corners.append(np.asarray(layer.data_to_world(at)))
    first = viewer.dims.ndim - layer.ndim
    for axis in range(len(plane)):
        viewer.dims.set_point(first + axis, corners[0][axis])
    extent = np.abs(corners[1] - corners[0])[[down, across]]
    middle = ((corners[0] + corners[1]) / 2)[[down, across]]
    # their places since napari 0.9
    is_new = hasattr(viewer, "scene")
    camera = viewer.scene.camera if is_new else viewer.camera
    canvas = viewer.canvas.size if is_new else viewer._canvas_size
    camera.center = (0, *middle)
    camera.zoom = 0.8 * float(min(np.asarray(canvas) / np.maximum(extent, 1e-9)))


def look_at_nucleus(viewer: Any, labels: Labels, number: int) -> None:
    """Select a nucleus and move the view to it; where it is gone, to all of the image."""
    rows, columns = np.nonzero(np.asarray(labels.data) == number)
    if not number or not len(rows):
        look_at(viewer, labels, (0, 0, *field_shape(labels)))
        return
    labels.selected_label = number
    top, left = int(rows.min()) - MARGIN_PX, int(columns.min()) - MARGIN_PX
    height = int(rows.max()) + 1 + MARGIN_PX - top
    look_at(viewer, labels, (top, left, height, int(columns.max()) + 1 + MARGIN_PX - left))
