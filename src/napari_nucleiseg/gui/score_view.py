"""All scores of one comparison, and AP over the IoU threshold as a curve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from ..judging import Judged, scores_at, scores_without
from ..metrics import METRICS, distances_of_outlines, title
from ..metrics._matching import Overlaps
from .plots import ThemedPlot

_LINE = "#56B4E9"
_AT = "#E69F00"
_FIRST = ("dice", "iou", "average_precision", "aggregated_jaccard", "count")


class ScoreView(QWidget):
    """Scores of nuclei and foreground; those that have an IoU threshold at the one chosen."""

    def __init__(self) -> None:
        super().__init__()
        nothing = Overlaps.joined([])
        names, changing = list(scores_without(nothing)), list(scores_at(nothing, 0.5))
        self.at = QLabel()
        self.values: dict[str, QLabel] = {}
        whole = QGridLayout()
        fixed = [n for n in _FIRST if n in names]
        fixed += [n for n in names if n not in fixed]
        self._fill(whole, fixed)
        # with µm beside px there is no room for two in a line
        distances = QGridLayout()
        self._fill(distances, distances_of_outlines(), columns=1)
        at = QGridLayout()
        self._fill(at, changing)
        self.plot = ThemedPlot("AP at each IoU threshold")
        self.plot.setMouseEnabled(False, False)
        self.plot.setLabel("bottom", "IoU threshold")
        self.plot.setLabel("left", "AP")
        self.plot.setYRange(0, 1, padding=0.03)
        self.plot.setXRange(0.5, 1.0, padding=0.03)
        self.plot.getAxis("left").setTickSpacing(0.5, 0.25)
        self.plot.getAxis("bottom").setTickSpacing(0.1, 0.05)
        self.plot.showGrid(x=True, y=True, alpha=0.2)
        self.plot.setFixedHeight(150)
        self._curve = self.plot.plot([], [], pen=pg.mkPen(_LINE, width=2), symbol="o", symbolSize=5)
        self._curve.setSymbolBrush(_LINE)
        dashed = pg.mkPen(_AT, width=2, style=Qt.PenStyle.DashLine)
        self.marker = pg.InfiniteLine(0.5, angle=90, pen=dashed)
        self.plot.addItem(self.marker)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(whole)
        layout.addLayout(distances)
        layout.addWidget(self.at)
        layout.addLayout(at)
        layout.addWidget(self.plot)

    def _fill(self, layout: QGridLayout, names: list[str], columns: int = 2) -> None:
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(6)
        layout.setVerticalSpacing(1)
        if columns > 1:
            layout.setColumnMinimumWidth(2, 10)
        for at, name in enumerate(names):
            line, column = divmod(at, columns)
            said = QLabel("AP" if name == "ap_at" else title(name))
            value = QLabel("")
            value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            about = "TP / (TP + FP + FN)" if name == "ap_at" else METRICS.description(name)
            for label in (said, value):
                label.setToolTip(about)
            value.setAlignment(Qt.AlignmentFlag.AlignRight)
            layout.addWidget(said, line, 3 * column)
            layout.addWidget(value, line, 3 * column + 1)
            self.values[name] = value
        for stretched in (1, 4)[:columns]:
            layout.setColumnStretch(stretched, 1)

    def show_scores(self, judged: Judged, threshold: float) -> Mapping[str, float]:
        """Show the scores at a threshold, and give them."""
        scores = {**judged.scores, **scores_at(judged.comparison.overlaps, threshold)}
        for name, value in scores.items():
            self.values[name].setText(f"{value:.3f}")
        size = judged.comparison.pixel_size_um
        for name, value in judged.distances_px.items():
            said = "–" if math.isnan(value) else f"{value:.2f}"
            if size is not None and size[0] == size[1] and not math.isnan(value):
                said += f" ({value * size[0]:.2f} µm)"
            self.values[name].setText(said)
        self.at.setText(f"Nuclei matched from an IoU of {threshold:.2f}:")
        self._curve.setData(list(judged.ap), list(judged.ap.values()))
        self.marker.setValue(threshold)
        return scores

    def paint(self, theme: Any) -> None:
        """Take the colours of napari's theme."""
        self.plot.paint(theme)
