"""A table of nuclei that sorts by any column; made for many thousands of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    Qt,
    Signal,
)
from qtpy.QtWidgets import QAbstractItemView, QTableView

from ..quantities import quantity_of


class _Model(QAbstractTableModel):
    """Columns of numbers in an order of rows; sorting changes the order alone."""

    def __init__(self) -> None:
        super().__init__()
        self.columns: list[str] = []
        self.values: list[np.ndarray] = []
        self.order = np.zeros(0, int)

    def show(self, table: Mapping[str, np.ndarray], columns: Sequence[str]) -> None:
        self.beginResetModel()
        self.columns = list(columns)
        self.values = [np.asarray(table[c]) for c in columns]
        self.order = np.arange(len(self.values[0]) if self.values else 0)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        return 0 if parent is not None and parent.isValid() else len(self.order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        value = self.values[index.column()][self.order[index.row()]]
        if isinstance(value, np.integer):
            return str(value)
        if not np.isfinite(value):
            return "–"
        return f"{value:.4g}" if role == Qt.ItemDataRole.DisplayRole else str(value)

    def headerData(  # noqa: N802 - Qt's name
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal or section >= len(self.columns):
            return None
        quantity = quantity_of(self.columns[section])
        if role == Qt.ItemDataRole.DisplayRole:
            return quantity.text
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{quantity.meaning[0].upper()}{quantity.meaning[1:]}"
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if not 0 <= column < len(self.columns):
            return
        values = self.values[column].astype(float)
        if order == Qt.SortOrder.DescendingOrder:
            values = -values
        self.beginResetModel()
        # what is not a number stands last both ways
        self.order = np.argsort(values, kind="stable")
        self.endResetModel()


class NucleusTable(QTableView):
    """The nuclei, a row each.

    Attributes
    ----------
    selected : Signal(object)
        The user selected rows: which nuclei, as an (N,) bool ndarray in the table's own order.
    """

    selected = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Measurements")
        self._model = _Model()
        self.setModel(self._model)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        self.horizontalHeader().setHighlightSections(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        # sorting resets the model
        self._model.modelReset.connect(lambda: self.show_selection(self._shown))
        self.selectionModel().selectionChanged.connect(lambda *_: self._tell())
        self._shown = np.zeros(0, bool)

    def show_table(self, table: Mapping[str, np.ndarray], columns: Sequence[str]) -> None:
        """Show other nuclei, none selected; the order stays by the same quantity."""
        header = self.horizontalHeader()
        at, way = header.sortIndicatorSection(), header.sortIndicatorOrder()
        before = self._model.columns
        name = before[at] if 0 <= at < len(before) else None
        same = list(columns) == before
        self._shown = np.zeros(len(table["label"]), bool)
        self._model.show(table, columns)
        at = columns.index(name) if name in columns else 0
        self.sortByColumn(at, way)
        if not same:
            for i in range(len(columns)):
                self.setColumnWidth(i, self._width(i))

    def show_selection(self, selected: np.ndarray) -> None:
        """Select other rows and bring the first into view; nothing is told of it."""
        self._shown = np.array(selected, bool)
        rows = np.flatnonzero(self._shown[self._model.order])
        wanted = QItemSelection()
        if len(rows):
            last = self._model.columnCount() - 1
            breaks = np.flatnonzero(np.diff(rows) > 1)
            starts, stops = np.r_[rows[0], rows[breaks + 1]], np.r_[rows[breaks], rows[-1]]
            for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
                first = self._model.index(start, 0)
                wanted.select(first, self._model.index(stop, last))
        model = self.selectionModel()
        model.select(wanted, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        if len(rows):
            index = self._model.index(int(rows[0]), 0)
            model.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
            self.scrollTo(index)

    def _width(self, column: int) -> int:
        metrics = self.horizontalHeader().fontMetrics()
        title = quantity_of(self._model.columns[column]).text
        return max(metrics.horizontalAdvance(title) + 30, 62)

    def _tell(self) -> None:
        selected = np.zeros(len(self._shown), bool)
        for part in self.selectionModel().selection():
            selected[self._model.order[part.top() : part.bottom() + 1]] = True
        if not np.array_equal(selected, self._shown):
            self._shown = selected
            self.selected.emit(selected)
