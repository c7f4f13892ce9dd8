"""What was measured of a labels layer, what is selected of it, and whether it is still true."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from napari.layers import Labels

from ..quantities import in_order, quantity_of
from .bridge import fingerprint
from .label_colours import LabelColours
from .layers import plane_of, read_labels_layer
from .nuclei_chooser import Given


class Measurements:
    """The measurements of one labels layer, which is not kept alive.

    Parameters
    ----------
    given : Given
        What was measured.
    table : dict of (N,) ndarray
        See `napari_nucleiseg.measure.measure`.
    colours : LabelColours
        Those lent to the layer.

    Attributes
    ----------
    table : dict of (N,) ndarray
    columns : list of str
        Those that can be shown, in the order of a reader.
    name : str
        Of the layer.
    plane : tuple of int
    selected : (N,) bool ndarray
    colours : LabelColours
    """

    def __init__(self, given: Given, table: dict[str, np.ndarray], colours: LabelColours) -> None:
        self._layer = weakref.ref(given.layer)
        self._crc = fingerprint(given.labels)
        self.name, self.plane, self.table, self.colours = (
            given.layer.name,
            given.plane,
            table,
            colours,
        )
        self.columns = in_order(table)
        self.selected = np.zeros(len(table["label"]), bool)

    @property
    def layer(self) -> Labels | None:
        """The layer, if it is still there."""
        return self._layer()

    @property
    def ids(self) -> np.ndarray:
        """Numbers of the nuclei."""
        return self.table["label"]

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """The table to save: as the command line writes it."""
        return {"image": np.full(len(self.ids), self.name, object), **self.table}

    def is_stale(self) -> bool:
        """Whether the layer's pixels are other ones than those that were measured."""
        layer = self.layer
        if layer is None or layer.ndim != 2 + len(self.plane):
            return True
        point = (*self.plane, 0, 0)
        return (
            plane_of(layer, point) != self.plane
            or fingerprint(read_labels_layer(layer, point)) != self._crc
        )

    def place_of(self, row: int) -> tuple[float, ...]:
        """Where the centre of a nucleus is, in world coordinates of its layer's axes."""
        layer = self.layer
        if layer is None:
            raise LookupError(f"{self.name} is gone")
        centre = (float(self.table["y_px"][row]), float(self.table["x_px"][row]))
        return tuple(layer.data_to_world((*self.plane, *centre)))


def set_features(layer: Labels, table: dict[str, np.ndarray]) -> None:
    """Give a labels layer the measurements as features: napari's status bar shows them.

    Features that others gave the layer are kept.
    """
    features: dict[str, Any] = {"index": table["label"]}
    features |= {c: table[c] for c in in_order(table) if c != "label"}
    before = layer.features
    if "index" in before.columns:
        theirs = [c for c in before.columns if c != "index" and quantity_of(c).meaning == c]
        kept = before.drop_duplicates("index").set_index("index")[theirs]
        kept = kept.reindex(table["label"])
        features |= {c: kept[c].to_numpy() for c in theirs}
    layer.features = features


def go_to(viewer: Any, layer: Labels, place: tuple[float, ...]) -> None:
    """Bring a place of a layer into the middle of the view, on its plane."""
    first = viewer.dims.ndim - layer.ndim
    for axis, value in enumerate(place[:-2], first):
        viewer.dims.set_point(axis, value)
    # napari 0.9 moved it
    camera = getattr(viewer, "scene", viewer).camera
    camera.center = (*camera.center[:-2], *place[-2:])
