"""Colours of a labels layer that show a measurement or a selection, and the way back."""

from __future__ import annotations

import weakref
from collections import defaultdict

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

from .. import wording

COLOURMAP = "viridis"  # perceptually uniform, also for those who see few colours
UNKNOWN = (0.5, 0.5, 0.5, 1.0)
FAINT = 0.22
# few colours make napari's table of them small
_STEPS = 128
# outliers would leave all others one colour
_PERCENTILES = (2.0, 98.0)


def colour_range(values: np.ndarray) -> tuple[float, float]:
    """Values at the two ends of the colours; all that is finite counts, but for outliers."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = np.percentile(finite, _PERCENTILES)
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def colours_of(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Give a colour to each value, grey where it is not a number.

    Returns
    -------
    (N, 4) float ndarray
    """
    share = np.clip((np.asarray(values, float) - low) / (high - low), 0, 1)
    steps = np.round(np.nan_to_num(share) * _STEPS) / _STEPS
    colours = np.asarray(ensure_colormap(COLOURMAP).map(steps), float).reshape(-1, 4)
    colours[~np.isfinite(share)] = UNKNOWN
    return colours


class LabelColours:
    """Colours that a dock lends to a labels layer.

    Parameters
    ----------
    layer : Labels
        Not kept alive.
    """

    def __init__(self, layer: Labels) -> None:
        self._layer = weakref.ref(layer)
        self._theirs = layer.colormap
        self._ours: DirectLabelColormap | None = None

    def show(
        self, ids: np.ndarray, colours: np.ndarray | None, selected: np.ndarray | None
    ) -> None:
        """Show other colours.

        Parameters
        ----------
        ids : (N,) integer ndarray
            Numbers of the nuclei.
        colours : (N, 4) ndarray or None
            None stands for the layer's own colours.
        selected : (N,) bool ndarray or None
            All others become faint.
        """
        layer = self._layer()
        if layer is None:
            return
        if colours is None and selected is None:
            self.restore()
            return
        if self._ours is None or layer.colormap is not self._ours:
            # somebody chose other colours meanwhile
            self._theirs = layer.colormap
        if colours is None:
            colours = np.asarray(self._theirs.map(np.asarray(ids)), float).reshape(-1, 4)
        shown = np.array(colours, np.float32)
        others = np.array(UNKNOWN, np.float32)
        if selected is not None:
            shown[~selected, 3] *= FAINT
            others[3] *= FAINT
        table: defaultdict[int | None, np.ndarray] = defaultdict(lambda: others)
        table.update({None: others, 0: np.zeros(4, np.float32)})
        table.update(zip(np.asarray(ids).tolist(), shown, strict=True))
        layer.colormap = DirectLabelColormap(color_dict=table)
        self._ours = layer.colormap

    def restore(self) -> None:
        """Give the layer its own colours back, unless somebody chose others meanwhile."""
        layer = self._layer()
        if layer is not None and self._ours is not None and layer.colormap is self._ours:
            layer.colormap = self._theirs
        self._ours = None


class ColourBar(QWidget):
    """The colours of a measurement with the values at both ends."""

    def __init__(self) -> None:
        super().__init__()
        self._words = ("", "")
        self.setFixedHeight(30)
        self.setAccessibleName("Colours")

    @property
    def words(self) -> tuple[str, str]:
        """What stands at the two ends."""
        return self._words

    def show_range(self, low: float, high: float, unit: str) -> None:
        """Show other values."""
        self._words = tuple(
            f"{sign} {wording.number(v)} {unit}".rstrip() for sign, v in (("≤", low), ("≥", high))
        )
        self.setAccessibleDescription(f"from {self._words[0]} to {self._words[1]}")
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the colours, below them the values."""
        painter = QPainter(self)
        bar = QRectF(0, 0, self.width(), 12)
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        places = np.linspace(0, 1, 17)
        for at, colour in zip(places, ensure_colormap(COLOURMAP).map(places), strict=True):
            gradient.setColorAt(float(at), QColor.fromRgbF(*map(float, colour)))
        painter.fillRect(bar, gradient)
        below = QRectF(0, 13, self.width(), self.height() - 13)
        for side, words in zip(
            (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight), self._words, strict=True
        ):
            painter.drawText(below, side | Qt.AlignmentFlag.AlignVCenter, words)
        painter.end()
