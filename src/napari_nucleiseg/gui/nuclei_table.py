"""The table of compared nuclei: sorted and filtered by its numbers, however many there are."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from ..comparison import Kind

# column of the table, title, what it means, decimals
COLUMNS = (
    ("kind", "Kind", "What became of the nucleus", None),
    ("iou", "IoU", "Overlap with the best prediction: shared over united pixels", 2),
    ("dice", "Dice", "Agreement with the best prediction: 2 x shared over both areas", 2),
    ("true_id", "True", "Number of the true nucleus in its layer", 0),
    ("prediction_id", "Found", "Number of the best prediction in its layer", 0),
    ("hausdorff_px", "Hausdorff (px)", "Largest distance of the two outlines", 1),
    ("hausdorff_um", "Hausdorff (µm)", "Largest distance of the two outlines", 2),
    ("surface_distance_px", "Distance (px)", "Mean distance of the two outlines", 2),
    ("surface_distance_um", "Distance (µm)", "Mean distance of the two outlines", 2),
    ("true_area_px", "True area (px²)", "Area of the true nucleus", 0),
    ("true_area_um2", "True area (µm²)", "Area of the true nucleus", 1),
    ("prediction_area_px", "Found area (px²)", "Area of the best prediction", 0),
    ("prediction_area_um2", "Found area (µm²)", "Area of the best prediction", 1),
)
ERRORS = "errors"
_NUMBERS = {kind.words: int(kind) for kind in Kind}
_IDS = ("true_id", "prediction_id")


class NucleiModel(QAbstractTableModel):
    """The rows that are shown, in their order.

    Attributes
    ----------
    table : dict of ndarray
        All rows; see `Comparison.table`.
    rows : (R,) int ndarray
        Those shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table: dict[str, np.ndarray] = {}
        self.rows = np.zeros(0, int)
        self._filter = ""
        self._sorted = (0, Qt.SortOrder.AscendingOrder)
        self._colours = {kind.words: QColor(kind.colour) for kind in Kind}

    def show(self, table: dict[str, np.ndarray]) -> None:
        """Show another table, or the same with other kinds."""
        self.table = table
        self._arrange()

    def keep(self, kind: str) -> None:
        """Show only one kind of nuclei by its words, `ERRORS`, or all for an empty text."""
        self._filter = kind
        self._arrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what has no number comes last."""
        self._sorted = column, order
        self._arrange()

    def position(self, row: int) -> int:
        """Where a row of the table is shown, -1 where it is not."""
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else -1

    def _arrange(self) -> None:
        if not self.table:
            return
        self.beginResetModel()
        kinds = self.table["kind"]
        shown = np.ones(len(kinds), bool)
        if self._filter == ERRORS:
            shown = kinds != Kind.CORRECT.words
        elif self._filter:
            shown = kinds == self._filter
        column, order = self._sorted
        name = COLUMNS[column][0]
        values = self.table[name]
        if name == "kind":
            values = np.array([_NUMBERS[words] for words in values.tolist()], float)
        values = np.where(values == 0, np.nan, values) if name in _IDS else values
        keys = values if order == Qt.SortOrder.AscendingOrder else -values
        ordered = np.argsort(keys, kind="stable")
        self.rows = ordered[shown[ordered]]
        self.endResetModel()

    # --- what Qt asks ------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Give the number of rows."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Give the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Give the text of a cell, its colour or its alignment."""
        name, _, _, decimals = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole and decimals is not None:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.DisplayRole:
            value = self.table[name][self.rows[index.row()]]
            if decimals is None:
                return str(value)
            is_nothing = np.isnan(value) or (name in _IDS and not value)
            return "–" if is_nothing else f"{value:.{decimals}f}"
        if role == Qt.ItemDataRole.DecorationRole and decimals is None:
            return self._colours[self.table[name][self.rows[index.row()]]]
        return None

    def headerData(  # noqa: N802 - Qt's name
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Give the title of a column and what it means."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return COLUMNS[section][1]
            if role == Qt.ItemDataRole.ToolTipRole:
                return COLUMNS[section][2]
        return None


class NucleiTable(QTableView):
    """The table in a dock.

    Attributes
    ----------
    chosen : Signal(int)
        Row of the table that the user went to.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Nuclei")
        self.nuclei = NucleiModel()
        self.setModel(self.nuclei)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.sortByColumn(1, Qt.SortOrder.AscendingOrder)
        self.setMinimumHeight(150)
        self._row: int | None = None
        self._is_showing = False
        self.nuclei.modelReset.connect(self._again)
        self.selectionModel().currentRowChanged.connect(self._on_current)

    @property
    def row(self) -> int | None:
        """Row of the table that is chosen, also where the filter hides it."""
        return self._row

    def show_table(self, table: dict[str, np.ndarray], *, new: bool) -> None:
        """Show a table: a new one, or the last one with other kinds."""
        if new:
            self._row = None
        self.nuclei.show(table)
        if new:
            for at, (name, *_) in enumerate(COLUMNS):
                nothing = name.endswith(("_um", "_um2")) and bool(np.isnan(table[name]).all())
                self.setColumnHidden(at, nothing)
            self._fit()

    def choose(self, row: int) -> bool:
        """Go to a row without telling; whether the filter shows it."""
        self._row = row
        at = self.nuclei.position(row)
        self._show_current(at)
        return at >= 0

    def next_error(self, step: int = 1) -> int | None:
        """Go to the next row shown that is not correct, or the last before; tells of it."""
        rows = self.nuclei.rows
        if not len(rows):
            return None
        is_error = self.nuclei.table["kind"][rows] != Kind.CORRECT.words
        errors = np.flatnonzero(is_error)
        if not len(errors):
            return None
        at = -1 if self._row is None else self.nuclei.position(self._row)
        if step > 0:
            further = errors[errors > at]
            found = further[0] if len(further) else errors[0]
        else:
            before = errors[errors < at] if at >= 0 else errors
            found = before[-1] if len(before) else errors[-1]
        self._row = int(rows[found])
        self._show_current(int(found))
        self.chosen.emit(self._row)
        return self._row

    def _again(self) -> None:
        """After other rows came: the chosen nucleus stays chosen."""
        if self._row is not None:
            self._show_current(self.nuclei.position(self._row))

    def _show_current(self, at: int) -> None:
        self._is_showing = True
        if at < 0:
            self.clearSelection()
        else:
            self.selectRow(at)
            self.scrollTo(self.nuclei.index(at, 0))
        self._is_showing = False

    def _on_current(self, current: QModelIndex, _: QModelIndex) -> None:
        if current.isValid() and not self._is_showing:
            self._row = int(self.nuclei.rows[current.row()])
            self.chosen.emit(self._row)

    def _fit(self) -> None:
        metrics = self.fontMetrics()
        for at, (_, title, _, decimals) in enumerate(COLUMNS):
            words = title if decimals is not None else "poor outline WW"
            self.setColumnWidth(at, metrics.horizontalAdvance(f"{words}  ▾") + 8)
