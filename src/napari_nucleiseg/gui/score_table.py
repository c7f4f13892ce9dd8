"""The table of a comparison: a line for each model, below it one for each micrograph."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from .. import wording
from ..comparing import ModelScores, Row
from .plots import short_name

# title, what it means
COLUMNS = (
    ("Model", "A model; open it to see each image"),
    ("AP", "share of nuclei with the right outline, mean over IoU 0.5 to 0.95"),
    ("Dice", "agreement of the nuclei's area"),
    ("IoU", "overlap of the nuclei's area"),
    ("AP@0.5", "share of nuclei found with an overlap of at least half"),
    ("PQ", "panoptic quality: nuclei found times how well they are outlined"),
    ("s", "seconds for an image, without loading the model"),
    ("MPix/s", "megapixels a second"),
    ("Images", "images that the model could segment"),
)
_SCORES = ("average_precision", "dice", "iou", "ap50", "panoptic")
_LINES_SHOWN = 10
_NUMBER, _KEY = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1


class _Line(QTreeWidgetItem):
    """A line that is sorted by its numbers, not by how they are written."""

    def __lt__(self, other: QTreeWidgetItem) -> bool:
        column = self.treeWidget().sortColumn()
        mine, theirs = self.data(column, _NUMBER), other.data(column, _NUMBER)
        if mine is None or theirs is None:
            return self.text(column).casefold() < other.text(column).casefold()
        return mine < theirs


class ScoreTable(QTreeWidget):
    """Scores that can be sorted by any column.

    Attributes
    ----------
    chosen : Signal(str, str)
        Model and micrograph of a line that was double-clicked.
    """

    chosen = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Scores")
        self.setColumnCount(len(COLUMNS))
        self.setHeaderLabels([title for title, _ in COLUMNS])
        for at, (_, meaning) in enumerate(COLUMNS):
            self.headerItem().setToolTip(at, meaning[0].upper() + meaning[1:])
        header = self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(36)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setUniformRowHeights(True)
        self.setExpandsOnDoubleClick(False)
        self.setIndentation(14)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setSortingEnabled(True)
        self.sortByColumn(1, Qt.SortOrder.DescendingOrder)
        self.itemDoubleClicked.connect(lambda line, _: self._choose(line))
        for signal in (self.itemExpanded, self.itemCollapsed):
            signal.connect(lambda _: self._fit())
        self._models: dict[str, _Line] = {}

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Fit the columns to the new width."""
        super().resizeEvent(event)
        self._fit_columns()

    def clear_scores(self) -> None:
        """Show nothing."""
        self._models.clear()
        self.clear()

    def add_row(self, row: Row) -> None:
        """Add a micrograph below its model."""
        values = [row.scores[name] for name in _SCORES]
        values += [row.seconds, row.megapixels / max(row.seconds, 1e-9)]
        line = _Line()
        _fill(line, row.image, values, "Double-click to show these nuclei on the image")
        line.setData(0, _KEY, (row.model, row.image))
        self.setSortingEnabled(False)
        self._model(row.model).addChild(line)
        self.setSortingEnabled(True)

    def show_models(self, models: Sequence[ModelScores]) -> None:
        """Show other means."""
        self.setSortingEnabled(False)
        for model in models:
            values = [model.means[name] for name in _SCORES]
            values += [model.seconds, model.megapixels_per_second, model.images]
            tip = f"{model.model}\n{model.verdict}".strip()
            line = self._model(model.model)
            _fill(line, short_name(model.model), values, tip)
            line.setText(len(COLUMNS) - 1, str(model.images))
        self.setSortingEnabled(True)
        self._fit()

    def selected(self) -> list[tuple[str, str]]:
        """Give model and micrograph of the selected lines; those of a model are all below it."""
        keys: list[tuple[str, str]] = []
        for line in self.selectedItems():
            lines = [line] if line.parent() else [line.child(i) for i in range(line.childCount())]
            keys += [tuple(x.data(0, _KEY)) for x in lines]
        return list(dict.fromkeys(keys))

    def _model(self, name: str) -> _Line:
        if name not in self._models:
            line = _Line(self)
            font = line.font(0)
            font.setBold(True)
            line.setFont(0, font)
            self._models[name] = line
        return self._models[name]

    def _choose(self, line: QTreeWidgetItem) -> None:
        if line.parent() is None:
            line.setExpanded(not line.isExpanded())
        else:
            self.chosen.emit(*line.data(0, _KEY))

    def _fit(self) -> None:
        """Let the height hold the lines that are open, up to some."""
        lines = sum(1 + line.isExpanded() * line.childCount() for line in self._models.values())
        line = max(self.sizeHintForRow(0), 14)
        beside = self.header().height() + self.horizontalScrollBar().sizeHint().height() + 8
        self.setFixedHeight(beside + line * min(max(lines, 2), _LINES_SHOWN))
        self._fit_columns()

    def _fit_columns(self) -> None:
        """Let model, AP and Dice fill the width; the others come by scrolling."""
        for at in range(1, len(COLUMNS)):
            self.resizeColumnToContents(at)
        first = self.viewport().width() - sum(self.columnWidth(i) for i in (1, 2))
        self.setColumnWidth(0, min(max(first, 90), 240))


def _fill(line: _Line, name: str, values: Sequence[float], tip: str) -> None:
    line.setText(0, name)
    line.setToolTip(0, tip)
    for at, value in enumerate(values, 1):
        is_score = at <= len(_SCORES)
        line.setText(at, f"{value:.3f}" if is_score else wording.number(value))
        line.setData(at, _NUMBER, float(value))
        line.setTextAlignment(at, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
