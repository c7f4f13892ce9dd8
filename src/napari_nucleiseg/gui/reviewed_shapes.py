"""Areas that somebody drew as shapes, in pixels of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Layer, Shapes

from ..reviewed import Area
from .layers import field_axes

_ELLIPSE_CORNERS = 32


def shapes_for(viewer: Any, image: Layer) -> list[Shapes]:
    """Give the layers of shapes that may be drawn on an image, its own first.

    Those that lie beside it or are named after another image are not among them.
    """
    layers = list(reversed(viewer.layers))
    own = f"{image.name} · reviewed"
    others = {f"{x.name} · reviewed" for x in layers if isinstance(x, Image)} - {own}
    shapes = [x for x in layers if isinstance(x, Shapes) and x.name not in others]
    return sorted((x for x in shapes if _meet(image, x)), key=lambda x: x.name != own)


def _meet(image: Layer, shapes: Shapes) -> bool:
    """Whether any shape can lie on an image; an empty layer is still to be drawn in."""
    if not len(shapes.data):
        return True
    down, across = field_axes(image)
    first, last = image.extent.world[:, [down, across]]
    low, high = shapes.extent.world[:, -2:]
    return bool((high >= first).all() and (low <= last).all())


def areas_on(image: Layer, shapes: Shapes, plane: tuple[int, ...] = ()) -> tuple[Area, ...]:
    """Give what the shapes of a layer enclose of an image; lines enclose nothing.

    Parameters
    ----------
    image : Layer
    shapes : Shapes
        May have another scale and place than the image, and fewer axes.
    plane : tuple of int
        Of a stack: the plane; shapes that were drawn on another one are left out.
    """
    areas = []
    for data, kind in zip(shapes.data, shapes.shape_type, strict=True):
        corners = np.asarray(data, float)
        if kind in ("line", "path") or len(corners) < 3:
            continue
        if kind == "ellipse":
            corners = _around(corners)
        drawn_on = tuple(int(v) for v in np.rint(corners[0, :-2]))
        if plane and len(drawn_on) == len(plane) and drawn_on != plane:
            continue
        places = [_on_image(image, shapes.data_to_world(corner)) for corner in corners]
        areas.append(Area(vertices=tuple(places)))
    return tuple(areas)


def _on_image(image: Layer, world: Any) -> tuple[float, float]:
    """Row and column of an image at a place in the world, of which the last two axes count."""
    place = np.zeros(image.ndim)
    down, across = field_axes(image)
    place[[down, across]] = np.asarray(world)[-2:]
    found = image.world_to_data(place)
    return float(found[down]), float(found[across])


def _around(box: np.ndarray) -> np.ndarray:
    """Corners on the ellipse in a box of four corners."""
    centre = box.mean(axis=0)
    half, other = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)[:, None]
    return centre + np.cos(angle) * half + np.sin(angle) * other
