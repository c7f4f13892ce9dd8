"""Shapes that a person drew around what was reviewed, as areas of a label image."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels, Shapes

from ..reviewed import Area

_ELLIPSE_CORNERS = 32


def areas_on(shapes: Shapes, labels: Labels, plane: tuple[int, ...] = ()) -> tuple[Area, ...]:
    """Areas that the shapes of a layer enclose, in pixels of a labels layer.

    Parameters
    ----------
    shapes : Shapes
        Lines and paths enclose nothing.
    labels : Labels
        May lie elsewhere, with other pixels.
    plane : tuple of int
        Of a stack: only shapes on this plane count.
    """
    areas = []
    for data, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind in ("line", "path"):
            continue
        corners = np.asarray(data, float)
        on = tuple(int(v) for v in np.rint(corners[0, :-2]))
        if on and plane and on != plane[-len(on) :]:
            continue
        if kind == "ellipse":
            corners = _around(corners)
        placed = [labels.world_to_data(shapes.data_to_world(corner)) for corner in corners]
        vertices = tuple((float(c[-2]), float(c[-1])) for c in placed)
        if len(vertices) >= 3:
            areas.append(Area(vertices=vertices))
    return tuple(areas)


def _around(box: np.ndarray) -> np.ndarray:
    """Corners on the ellipse in a box of four corners."""
    centre = box.mean(axis=0)
    half, other = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)[:, None]
    corners: np.ndarray = centre + np.cos(angle) * half + np.sin(angle) * other
    return corners
