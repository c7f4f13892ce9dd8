"""Reviewed areas as a layer of shapes that can be drawn, moved and deleted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Shapes

from ..reviewed import Area
from .correcting import Correcting

COLOUR = "#CC79A7"
_ENDED = ("added", "changed", "removed")
_ELLIPSE_CORNERS = 32


def areas_of(layer: Shapes) -> tuple[Area, ...]:
    """Areas that the shapes of a layer enclose; lines enclose none."""
    areas = []
    for data, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind in ("line", "path"):
            continue
        corners = np.asarray(data, float)
        if kind == "ellipse":
            corners = _around(corners)
        plane = tuple(int(v) for v in np.rint(corners[0, :-2]))
        vertices = tuple((float(y), float(x)) for y, x in corners[:, -2:])
        if len(vertices) >= 3:
            areas.append(Area(vertices=vertices, plane=plane))
    return tuple(areas)


def _around(box: np.ndarray) -> np.ndarray:
    """Corners on the ellipse in a box of four corners."""
    centre = box.mean(axis=0)
    half, other = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)[:, None]
    return centre + np.cos(angle) * half + np.sin(angle) * other


def shapes_of(areas: Iterable[Area]) -> list[np.ndarray]:
    """Corners of areas as napari wants them: leading axes of a stack first."""
    return [np.array([(*area.plane, y, x) for y, x in area.vertices]) for area in areas]


class ReviewedLayer:
    """The layer of one image, made when there is a first area.

    Parameters
    ----------
    viewer : Viewer
    correcting : Correcting
        Its ``areas`` and the shapes follow each other.
    """

    def __init__(self, viewer: Any, correcting: Correcting) -> None:
        self._viewer, self._of = viewer, correcting
        self._layer: Shapes | None = None
        self._is_showing = False

    @property
    def layer(self) -> Shapes | None:
        """The layer, where it is there."""
        return self._layer if self._layer in self._viewer.layers else None

    @property
    def was_deleted(self) -> bool:
        """Whether the layer was there and is not any more."""
        return self._layer is not None and self.layer is None

    def show(self) -> None:
        """Show the areas that there are."""
        layer, areas = self.layer, self._of.areas
        if layer is None and not areas:
            return
        self._is_showing = True
        try:
            if layer is None:
                layer = self._add()
            if areas_of(layer) != areas:
                layer.data = []
                if areas:
                    layer.add(shapes_of(areas), shape_type="polygon")
        finally:
            self._is_showing = False

    def _add(self) -> Shapes:
        layers, nuclei = self._viewer.layers, self._of.layer
        active = layers.selection.active
        self._layer = Shapes(
            ndim=nuclei.ndim,
            name=f"{self._of.image.name} · reviewed",
            edge_color=COLOUR,
            face_color="transparent",
            edge_width=1,
            opacity=1.0,
            scale=nuclei.scale,
            translate=nuclei.translate,
            rotate=nuclei.rotate,
            shear=nuclei.shear,
            affine=nuclei.affine,
            units=nuclei.units,
            axis_labels=nuclei.axis_labels,
        )
        self._layer.current_edge_color, self._layer.current_face_color = COLOUR, "transparent"
        self._layer.events.data.connect(self._on_data)
        layers.insert(layers.index(nuclei) + 1, self._layer)
        layers.selection.active = active
        return self._layer

    def _on_data(self, event: Any) -> None:
        action = getattr(getattr(event, "action", None), "value", "changed")
        if not self._is_showing and action in _ENDED:
            self._of.review(areas_of(self._layer))
