"""Outlines that show what became of each nucleus: predicted, edited, confirmed, looked at."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from skimage.draw import line

from ..editing import Change, state_image
from .correcting import Correcting
from .layers import RESULT, placement

# Okabe-Ito, told apart by colour-blind people, too
COLOURS = {
    "predicted": "#56B4E9",
    "edited": "#E69F00",
    "confirmed": "#009E73",
    "chosen": "#F0E442",
}
# metadata key of layers that are there to look at alone
MARK = "nucleiseg_states"
_CHOSEN = 4
_NAME = "· states"


def is_outlines(layer: Any) -> bool:
    """Whether a layer shows states and is nothing to segment, compare or correct."""
    return MARK in layer.metadata


def outlines(labels: np.ndarray, states: dict[int, Any], chosen: int) -> np.ndarray:
    """Outline of each nucleus, just inside of it, coloured by its state.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    states : dict of int to State
    chosen : int
        Number of the nucleus that is looked at.

    Returns
    -------
    (H, W) uint8 ndarray
        0 where there is no outline, 1 predicted, 2 edited, 3 confirmed, 4 the one looked at, whose
        outline is twice as wide.
    """
    image = state_image(labels, states)
    edge = np.zeros(labels.shape, bool)
    down, across = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    if chosen:
        inside = labels == chosen
        wide = np.zeros_like(edge)
        own = edge & inside
        wide[1:] |= own[:-1]
        wide[:-1] |= own[1:]
        wide[:, 1:] |= own[:, :-1]
        wide[:, :-1] |= own[:, 1:]
        edge |= wide & inside
        image[inside] = _CHOSEN
    image[~edge] = 0
    return image


class StatesLayer:
    """The layer of outlines above the nuclei of the plane that is shown.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._of: Correcting | None = None
        self._plane: tuple[int, ...] = ()
        self._layer: Labels | None = None
        self._chosen = 0

    @property
    def layer(self) -> Labels | None:
        """The layer, where it is there."""
        return self._layer if self._layer in self._viewer.layers else None

    @property
    def of(self) -> Correcting | None:
        """Whose states are shown."""
        return self._of

    def show(self, correcting: Correcting, plane: tuple[int, ...]) -> None:
        """Show the states of the nuclei of a plane."""
        is_new = self._of is not correcting
        self._of, self._plane = correcting, plane
        image = outlines(correcting.plane(plane), correcting.states, correcting.current)
        self._chosen = correcting.current
        layer = self.layer
        if layer is None or is_new or layer.data.shape != image.shape:
            self.remove()
            self._add(image)
        else:
            layer.data = image

    def show_change(self, change: Change | None, numbers: Any = ()) -> None:
        """Show anew what a change touched and the nuclei of some numbers, and nothing else."""
        layer, correcting = self.layer, self._of
        if layer is None or correcting is None:
            return
        labels = correcting.plane(self._plane)
        touched = {int(n) for n in numbers} | {self._chosen, correcting.current}
        if change is not None:
            touched |= set(change.numbers)
        self._chosen = correcting.current
        box = _box(labels, touched, self._here(change))
        if box is None:
            return
        # one pixel more is read, for the neighbours of the pixels at the border
        wider = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
        new = outlines(labels[wider], correcting.states, correcting.current)
        inner = tuple(
            slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, wider, strict=True)
        )
        layer.data[box] = new[inner]
        layer.refresh(extent=False, thumbnail=False)

    def show_line(self, points: np.ndarray, closed: bool = False) -> None:
        """Draw a line that the mouse is drawing, until the next `show_change` or `show`."""
        layer = self.layer
        if layer is None or self._of is None:
            return
        labels = self._of.plane(self._plane)
        layer.data[:] = outlines(labels, self._of.states, self._of.current)
        corners = np.rint(points).astype(int)
        if closed:
            (top, left), (bottom, right) = corners.min(axis=0), corners.max(axis=0)
            corners = np.array(
                [[top, left], [top, right], [bottom, right], [bottom, left], [top, left]]
            )
        for start, stop in pairwise(corners):
            at = np.array(line(*start, *stop))
            inside = ((at >= 0) & (at < np.array(labels.shape)[:, None])).all(axis=0)
            layer.data[tuple(at[:, inside])] = _CHOSEN
        layer.refresh(extent=False, thumbnail=False)

    def show_again(self) -> None:
        """Show the plane anew."""
        if self._of is not None and self.layer is not None:
            self.show(self._of, self._plane)

    def remove(self) -> None:
        """Take the layer away."""
        if self.layer is not None:
            self._viewer.layers.remove(self._layer)
        self._layer = None

    def _add(self, image: np.ndarray) -> None:
        layers, nuclei = self._viewer.layers, self._of.layer
        active = layers.selection.active
        colours = {None: "transparent", 0: "transparent"}
        colours |= dict(enumerate(COLOURS.values(), start=1))
        self._layer = Labels(
            image,
            name=f"{nuclei.name} {_NAME}",
            colormap=DirectLabelColormap(color_dict=colours),
            opacity=1.0,
            metadata={MARK: True, RESULT: {}},
            **placement(nuclei),
        )
        layers.insert(layers.index(nuclei) + 1, self._layer)
        self._layer.editable = False
        layers.selection.active = active

    def _here(self, change: Change | None) -> tuple[np.ndarray, np.ndarray] | None:
        """Changed pixels of the plane that is shown."""
        if change is None or not len(change):
            return None
        places = change.places()
        inside = np.ones(len(change), bool)
        for at, where in zip(places[:-2], self._plane, strict=True):
            inside &= at == where
        return places[-2][inside], places[-1][inside]


def _box(
    labels: np.ndarray, numbers: set[int], places: tuple[np.ndarray, np.ndarray] | None
) -> tuple[slice, slice] | None:
    """The smallest box around nuclei and places, one pixel wider."""
    wanted = [n for n in numbers if n > 0]
    mask = np.isin(labels, wanted) if len(wanted) > 1 else labels == (wanted or [-2])[0]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    found = [(rows, columns)] if rows.size else []
    if places is not None and places[0].size:
        found.append(places)
    if not found:
        return None
    axes = zip(*found, strict=True)
    low_high = [(min(int(v.min()) for v in axis), max(int(v.max()) for v in axis)) for axis in axes]
    return tuple(
        slice(max(0, low - 1), min(size, high + 2))
        for (low, high), size in zip(low_high, labels.shape, strict=True)
    )  # type: ignore[return-value]
