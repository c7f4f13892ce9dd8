"""Plots in the colours of napari's theme, told apart also by those who see few colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ..comparing import ModelScores, Row
from ..curves import RunCurves

# Okabe and Ito 2008, those that are seen on dark and on light
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2")
DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
# score, how it is called, colour, shape
POINTS = (
    ("average_precision", "AP", "#56B4E9", "o", "●"),
    ("dice", "Dice", "#E69F00", "d", "◆"),
)
_LONGEST = 16
# heights (px): axis and its title, what there is beside the models, a model
_AXIS = 40
_BELOW_POINTS, _LINE = 52, 25


def pen_of(number: int, width: float = 2.0) -> QPen:
    """Give the line of the n-th thing that is drawn: another colour, then other dashes."""
    style = DASHES[number // len(COLOURS) % len(DASHES)]
    return pg.mkPen(COLOURS[number % len(COLOURS)], width=width, style=style)


def swatch(pen: QPen) -> QIcon:
    """Draw a short piece of a line, for a legend."""
    picture = QPixmap(28, 14)
    picture.fill(QColor(0, 0, 0, 0))
    painter = QPainter(picture)
    painter.setPen(pen)
    painter.drawLine(0, 7, 28, 7)
    painter.end()
    return QIcon(picture)


class ThemedPlot(pg.PlotWidget):
    """A plot that takes the colours of napari's theme.

    Parameters
    ----------
    title : str
        What it is, for those who cannot see it.

    Attributes
    ----------
    ink : str
        Colour of axes and outlines.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setAccessibleName(title)
        self.ink = "#808080"
        self.setMenuEnabled(False)
        self.hideButtons()
        for side in ("left", "bottom"):
            # thousandths would be hard to compare with the tables
            self.getAxis(side).enableAutoSIPrefix(False)
        self.getAxis("bottom").setHeight(_AXIS)

    def paint(self, theme: Any) -> None:
        """Take the colours of a theme."""
        self.ink = theme.text.as_hex()
        self.setBackground(theme.background.as_hex())
        for side in ("left", "bottom"):
            axis = self.getAxis(side)
            axis.setPen(theme.text.as_hex())
            axis.setTextPen(theme.text.as_hex())


class ScorePlot(QWidget):
    """AP and Dice of each model: a large point for the mean, small ones for the images."""

    def __init__(self) -> None:
        super().__init__()
        self.plot = ThemedPlot("AP and Dice of each model")
        self.plot.setMouseEnabled(False, False)
        self.plot.setLabel("bottom", "score (1 is perfect)")
        self.plot.getAxis("bottom").setTickSpacing(0.2, 0.1)
        self.plot.showGrid(x=True, alpha=0.2)
        self.plot.setXRange(0, 1, padding=0.04)
        self.plot.invertY(True)
        # beside the plot, since a title inside it would make it wider than the dock
        signs = [
            f"<span style='color:{c}'>{sign}</span> {title}" for _, title, c, _, sign in POINTS
        ]
        self.legend = QLabel(f"{'&nbsp;&nbsp; '.join(signs)}&nbsp;&nbsp; small: each image")
        self.legend.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.legend)
        layout.addWidget(self.plot)
        self._shown: tuple[Sequence[ModelScores], Sequence[Row]] = ((), ())

    def show_scores(self, models: Sequence[ModelScores], rows: Sequence[Row]) -> None:
        """Show other scores, in the order of ``models``."""
        self._shown = models, rows
        self.plot.clear()
        for at, (name, _, colour, symbol, _) in enumerate(POINTS):
            shift = 0.16 * (2 * at - 1)
            small = QColor(colour)
            small.setAlpha(130)
            for place, model in enumerate(models):
                values = [row.scores[name] for row in rows if row.model == model.model]
                shape = {"pen": None, "symbol": symbol}
                dots = {"symbolSize": 5, "symbolBrush": small, "symbolPen": None}
                self.plot.plot(values, [place + shift] * len(values), **shape, **dots)
                mean = {"symbolSize": 12, "symbolBrush": colour, "symbolPen": self.plot.ink}
                self.plot.plot([model.means[name]], [place + shift], **shape, **mean)
        names = [(i, _shortened(short_name(m.model))) for i, m in enumerate(models)]
        self.plot.getAxis("left").setTicks([names])
        self.plot.setYRange(-0.5, max(len(models), 1) - 0.5, padding=0)
        self.plot.setFixedHeight(_BELOW_POINTS + _LINE * max(len(models), 1))

    def paint(self, theme: Any) -> None:
        """Take the colours of a theme."""
        self.plot.paint(theme)
        self.show_scores(*self._shown)


class CurvePlot(ThemedPlot):
    """One quantity of the trainings of a study, epoch by epoch."""

    def __init__(self) -> None:
        super().__init__("Curves of the trainings")
        self.setLabel("bottom", "epoch")
        self.showGrid(x=True, y=True, alpha=0.2)
        self.setMinimumHeight(220)

    def show_curves(self, runs: Sequence[tuple[RunCurves, QPen]], name: str, title: str) -> None:
        """Show a quantity of some runs, each with its line."""
        self.clear()
        self.setLabel("left", title)
        for run, pen in runs:
            epochs, values = run.curves[name]
            dots = {"symbol": "o", "symbolSize": 6, "symbolBrush": pen.color()}
            # one point alone makes no line
            self.plot(epochs, values, pen=pen, **(dots if len(epochs) == 1 else {}))
        self.enableAutoRange()


def short_name(model: str) -> str:
    """Name of a model for a narrow place: of a file, its name without folder and suffix."""
    return model.replace("\\", "/").rpartition("/")[2].removesuffix(".safetensors")


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
