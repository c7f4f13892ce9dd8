"""A histogram of one measurement, and two against each other with a lasso."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPolygonF
from qtpy.QtWidgets import QSizePolicy

from .plots import COLOURS, ThemedPlot

_ALL, _SELECTED = COLOURS[1], COLOURS[0]
_MOST_BINS = 60
# so near to a point (px) a click means it
_NEAR = 8
_DRAG = 4


def _fill_height(plot: ThemedPlot, least: int) -> None:
    """Let a plot have the height that is left: its own wish would be too large for a dock."""
    plot.setMinimumHeight(least)
    plot.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
    # letters with descenders and brackets need a little more than the title of a score
    plot.getAxis("bottom").setHeight(46)


class HistogramPlot(ThemedPlot):
    """How often each value of a measurement occurs, among all nuclei and the selected ones."""

    def __init__(self) -> None:
        super().__init__("Histogram")
        self.setLabel("left", "nuclei")
        self.setMouseEnabled(False, False)
        _fill_height(self, 130)

    def show_values(self, values: np.ndarray, selected: np.ndarray, title: str) -> None:
        """Show another measurement or selection.

        Parameters
        ----------
        values : (N,) ndarray
            What is not a number is left out.
        selected : (N,) bool ndarray
        title : str
            With the unit.
        """
        self.clear()
        self.setLabel("bottom", title)
        known = np.isfinite(values)
        if not known.any():
            return
        edges = bin_edges(values[known])
        for which, colour in ((known, _ALL), (known & selected, _SELECTED)):
            counts, _ = np.histogram(values[which], edges)
            bars = pg.BarGraphItem(
                x0=edges[:-1],
                x1=edges[1:],
                height=counts,
                brush=colour,
                pen=pg.mkPen(self.ink, width=0.5),
            )
            self.addItem(bars)
        self.enableAutoRange()


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Edges of the bars: a few for few nuclei; of whole numbers one for each, if they are few."""
    low, high = float(values.min()), float(values.max())
    if np.array_equal(values, np.round(values)) and high - low < _MOST_BINS:
        return np.arange(low, high + 2) - 0.5
    count = len(np.histogram_bin_edges(values, "auto")) - 1 if high > low else 1
    return np.linspace(low, high if high > low else low + 1, min(max(count, 5), _MOST_BINS) + 1)


class LassoPlot(ThemedPlot):
    """Two measurements of each nucleus against each other; drawing around points selects them.

    Attributes
    ----------
    selected : Signal(object)
        Which nuclei the user selected, as an (N,) bool ndarray.
    """

    selected = Signal(object)

    def __init__(self) -> None:
        super().__init__("Scatter plot")
        _fill_height(self, 130)
        self._points = np.zeros((0, 2))
        self._selected = np.zeros(0, bool)
        self._path: list[QPointF] = []
        self._dots = pg.ScatterPlotItem(size=6, pen=None)
        self._chosen = pg.ScatterPlotItem(size=8)
        self._line = pg.PlotCurveItem()
        for item in (self._dots, self._chosen):
            self.addItem(item)
        self.addItem(self._line, ignoreBounds=True)

    def show_points(self, x: np.ndarray, y: np.ndarray, x_title: str, y_title: str) -> None:
        """Show other measurements of the nuclei."""
        self._points = np.stack([x, y], axis=1).astype(float)
        self._selected = np.zeros(len(x), bool)
        self.setLabel("bottom", x_title)
        self.setLabel("left", y_title)
        self._draw()
        self.enableAutoRange()

    def show_selection(self, selected: np.ndarray) -> None:
        """Select other points; nothing is told of it."""
        self._selected = np.array(selected, bool)
        self._draw()

    def paint(self, theme: Any) -> None:
        """Take the colours of a theme."""
        super().paint(theme)
        self._line.setPen(pg.mkPen(self.ink, width=1.5))
        self._draw()

    def _draw(self) -> None:
        known = np.isfinite(self._points).all(axis=1)
        faint = QColor(_ALL)
        faint.setAlpha(170)
        others, chosen = known & ~self._selected, known & self._selected
        self._dots.setData(pos=self._points[others], brush=faint)
        self._chosen.setData(
            pos=self._points[chosen], brush=_SELECTED, pen=pg.mkPen(self.ink, width=0.7)
        )

    # --- the lasso -----------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Begin to draw with the left button; the others move and zoom."""
        if event.button() != Qt.MouseButton.LeftButton:
            super().mousePressEvent(event)
            return
        self._path = [event.position()]

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Go on with the line."""
        if not self._path:
            super().mouseMoveEvent(event)
            return
        self._path.append(event.position())
        line = np.array([self._values_at(point) for point in (*self._path, self._path[0])])
        self._line.setData(line[:, 0], line[:, 1])

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Select what is inside; with Shift, add it to what is selected."""
        if event.button() != Qt.MouseButton.LeftButton or not self._path:
            super().mouseReleaseEvent(event)
            return
        path, self._path = self._path, []
        self._line.setData([], [])
        longest = max((point - path[0]).manhattanLength() for point in path)
        inside = self._near(path[0]) if longest < _DRAG else self._inside(path)
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            inside |= self._selected
        self.show_selection(inside)
        self.selected.emit(inside)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Show all points again."""
        self._path = []
        self.enableAutoRange()
        event.accept()

    def place_of(self, x: float, y: float) -> QPointF:
        """Where in the widget a pair of values lies, in pixels."""
        scene = self.getViewBox().mapViewToScene(QPointF(x, y))
        return QPointF(self.mapFromScene(scene))

    def _values_at(self, place: QPointF) -> tuple[float, float]:
        found = self.getViewBox().mapSceneToView(self.mapToScene(place.toPoint()))
        return found.x(), found.y()

    def _inside(self, path: list[QPointF]) -> np.ndarray:
        area = QPolygonF([QPointF(*self._values_at(point)) for point in path])
        rule = Qt.FillRule.OddEvenFill
        # comparisons with what is not a number are never true
        box = area.boundingRect()
        x, y = self._points.T
        near = (x >= box.left()) & (x <= box.right()) & (y >= box.top()) & (y <= box.bottom())
        inside = np.zeros(len(near), bool)
        for at in np.flatnonzero(near).tolist():
            inside[at] = area.containsPoint(QPointF(*self._points[at].tolist()), rule)
        return inside

    def _near(self, place: QPointF) -> np.ndarray:
        """Point under a click, or none."""
        inside = np.zeros(len(self._points), bool)
        known = np.flatnonzero(np.isfinite(self._points).all(axis=1))
        if len(known):
            places = [self.place_of(*self._points[at].tolist()) for at in known.tolist()]
            apart = [(p - place).manhattanLength() for p in places]
            nearest = int(np.argmin(apart))
            inside[known[nearest]] = apart[nearest] <= _NEAR
        return inside
