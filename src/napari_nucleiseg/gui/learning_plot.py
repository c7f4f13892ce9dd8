"""How learning goes, live: loss, and the scores on corrections that are held out."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ..events import BatchDone, EpochDone, Event
from .plots import COLOURS, ThemedPlot

_HEIGHT = 118
# share of the running mean that a new batch is
_NEW = 0.15
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
        self.scores.setFixedHeight(_HEIGHT + 18)
        self._loss = self.losses.plot(pen=pg.mkPen(_LOSS, width=2))
        self._held_out = self._points(self.losses, _HELD_OUT, "o")
        self._dice = self._points(self.scores, _DICE, "d")
        self._iou = self._points(self.scores, _IOU, "s")
        self._best = [pg.InfiniteLine(angle=90) for _ in range(2)]
        for plot, line in zip((self.losses, self.scores), self._best, strict=True):
            plot.addItem(line, ignoreBounds=True)
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self._steps: list[int] = []
        self._means: list[float] = []
        self._epochs: list[tuple[int, dict[str, float]]] = []
        self._draw()

    def hear(self, event: Event) -> None:
        """Draw what a step or a round brought."""
        if isinstance(event, BatchDone):
            if self._steps and event.step <= self._steps[-1]:
                self.clear()  # another training, of the cross-validation
            before = self._means[-1] if self._means else event.loss
            self._steps.append(event.step)
            self._means.append(before + _NEW * (event.loss - before))
            self._loss.setData(self._steps, self._means)
        elif isinstance(event, EpochDone) and event.scores and self._steps:
            self._epochs.append((self._steps[-1], event.scores))
            self._draw()

    @property
    def best_step(self) -> int | None:
        """After how many steps the score on held-out nuclei was highest."""
        if not self._epochs:
            return None
        # of equal ones the last, as in the training
        return max(self._epochs, key=lambda e: (e[1]["ap"], e[0]))[0]

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

    def _draw(self) -> None:
        steps = [step for step, _ in self._epochs]
        self._loss.setData(self._steps, self._means)
        for line, name in (
            (self._held_out, "held_out_loss"),
            (self._dice, "dice"),
            (self._iou, "iou"),
        ):
            line.setData(steps, [scores[name] for _, scores in self._epochs])
        best = self.best_step
        for line in self._best:
            line.setVisible(best is not None)
            line.setValue(best or 0)
