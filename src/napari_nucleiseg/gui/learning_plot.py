"""How learning goes, live: loss, and the scores on corrections that are held out."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ..learning_curve import LearningCurve
from .plots import COLOURS, ThemedPlot

_HEIGHT, _HEIGHT_OF_TITLE = 118, 24
_LOSS, _HELD_OUT, _DICE, _IOU = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[3]


def _legend(*lines: tuple[str, str, str]) -> QLabel:
    signs = [f"<span style='color:{colour}'>{sign}</span> {title}" for colour, sign, title in lines]
    label = QLabel("&nbsp;&nbsp; ".join(signs))
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    label.setWordWrap(True)
    return label


class LearningPlot(QWidget):
    """Two plots over the steps learned; a vertical line marks the best so far."""

    def __init__(self) -> None:
        super().__init__()
        self.losses = ThemedPlot("Loss while it learns")
        self.losses.setLabel("left", "loss")
        self.scores = ThemedPlot("Scores on held-out corrections")
        self.scores.setLabel("left", "score")
        self.scores.setLabel("bottom", "steps learned")
        self.losses.getAxis("bottom").setHeight(20)
        # pyqtgraph lays the title of an axis some pixels too low
        self.scores.plotItem.layout.setContentsMargins(1, 1, 1, 6)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addWidget(
            _legend(
                (_LOSS, "━", "loss while learning (falls)"), (_HELD_OUT, "●", "on held-out nuclei")
            )
        )
        layout.addWidget(self.losses)
        layout.addWidget(
            _legend((_DICE, "◆", "Dice"), (_IOU, "■", "IoU of held-out nuclei"), ("", "┆", "best"))
        )
        layout.addWidget(self.scores)
        for plot in (self.losses, self.scores):
            plot.setMouseEnabled(False, False)
            plot.showGrid(x=True, y=True, alpha=0.2)
            plot.getAxis("left").setWidth(46)
        self.scores.setXLink(self.losses)
        self.losses.setFixedHeight(_HEIGHT)
        self.scores.setFixedHeight(_HEIGHT + _HEIGHT_OF_TITLE)
        self._loss = self.losses.plot(pen=pg.mkPen(_LOSS, width=2))
        self._held_out = self._points(self.losses, _HELD_OUT, "o")
        self._dice = self._points(self.scores, _DICE, "d")
        self._iou = self._points(self.scores, _IOU, "s")
        self._best = [pg.InfiniteLine(angle=90) for _ in range(2)]
        for plot, line in zip((self.losses, self.scores), self._best, strict=True):
            plot.addItem(line, ignoreBounds=True)
        self.draw(LearningCurve())

    def draw(self, curve: LearningCurve) -> None:
        """Draw what steps and rounds brought."""
        self.draw_loss(curve)
        steps = [step for step, _ in curve.epochs]
        for line, name in (
            (self._held_out, "held_out_loss"),
            (self._dice, "dice"),
            (self._iou, "iou"),
        ):
            line.setData(steps, [scores[name] for _, scores in curve.epochs])
        best = curve.best_step
        for line in self._best:
            line.setVisible(best is not None)
            line.setValue(best or 0)

    def draw_loss(self, curve: LearningCurve) -> None:
        """Draw the loss alone: all that changes with a step."""
        self._loss.setData(curve.steps, curve.losses)

    def paint(self, theme: Any) -> None:
        """Take the colours of a theme."""
        for plot, line in zip((self.losses, self.scores), self._best, strict=True):
            plot.paint(theme)
            line.setPen(pg.mkPen(plot.ink, width=1.5, style=Qt.PenStyle.DashLine))

    def _points(self, plot: ThemedPlot, colour: str, symbol: str) -> Any:
        return plot.plot(
            pen=pg.mkPen(colour, width=1.5),
            symbol=symbol,
            symbolSize=8,
            symbolBrush=colour,
            symbolPen=None,
        )
