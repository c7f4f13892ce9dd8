"""The table of a check: a row for each image and finding, each with a remedy or "Leave"."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from ..diagnosis import FIXES, VERBS, Finding
from ..doctor import ImageChecked
from ..wording import nuclei, number
from .widgets import column

COLUMNS = ("Image", "What was found", "Remedy")
_IMAGE_WIDTH, _REMEDY_WIDTH = 84, 78
_ROW = Qt.ItemDataRole.UserRole


@dataclass(frozen=True)
class Line:
    """What a row is about; no image where it is about the folder, no finding where all is good."""

    image: ImageChecked | None
    finding: Finding | None


class FindingTable(QTableWidget):
    """Images with their findings; those with problems stand first.

    Attributes
    ----------
    chosen : Signal(Line)
        A row was clicked.
    changed : Signal()
        A remedy was chosen or left.
    """

    chosen = Signal(object)
    changed = Signal()

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setAccessibleName("What was found in the training data")
        self.setHorizontalHeaderLabels(list(COLUMNS))
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.setColumnWidth(0, _IMAGE_WIDTH)
        self.setColumnWidth(2, _REMEDY_WIDTH)
        self.setWordWrap(True)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setMinimumHeight(220)
        self.cellClicked.connect(lambda row, _: self.chosen.emit(self.line(row)))
        self._problems = self._notes = 0
        self._remedies: list[tuple[str, str, QPushButton]] = []

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Give the sentences the height they need at the new width."""
        super().resizeEvent(event)
        self.resizeRowsToContents()

    def clear_findings(self) -> None:
        """Show nothing."""
        self.setRowCount(0)
        self._remedies.clear()
        self._problems = self._notes = 0
        self.changed.emit()

    def line(self, row: int) -> Line:
        """What a row is about."""
        found: Line = self.item(row, 0).data(_ROW)
        return found

    def add_image(self, image: ImageChecked) -> None:
        """Add what was found in an image."""
        for finding in image.findings:
            self._add(Line(image, finding))
        if not image.findings:
            self._add(Line(image, None))

    def add_finding(self, finding: Finding) -> None:
        """Add what was found about the folder."""
        self._add(Line(None, finding))

    def chosen_fixes(self) -> dict[str, tuple[str, ...]]:
        """Give the remedies that were chosen, by image."""
        fixes: dict[str, tuple[str, ...]] = {}
        for name, fix, pressed in self._remedies:
            if pressed.isChecked():
                fixes[name] = (*fixes.get(name, ()), fix)
        return fixes

    @property
    def remedies(self) -> int:
        """How many rows have a remedy."""
        return len(self._remedies)

    def choose_all(self) -> None:
        """Choose every remedy."""
        for _, _, pressed in self._remedies:
            pressed.setChecked(True)
        self.changed.emit()

    def remedy(self, row: int) -> QPushButton | None:
        """Give the button with the remedy of a row, where there is one."""
        cell = self.cellWidget(row, 2)
        return None if cell is None else cell.findChild(QPushButton, "remedy")

    def _add(self, line: Line) -> None:
        finding = line.finding
        if finding is None:
            row = self.rowCount()
        elif finding.is_problem:
            row, self._problems = self._problems, self._problems + 1
        else:
            row, self._notes = self._problems + self._notes, self._notes + 1
        self.insertRow(row)
        name = "folder" if line.image is None else line.image.name
        first = QTableWidgetItem(name)
        first.setData(_ROW, line)
        first.setToolTip(name if line.image is None else f"{line.image.micrograph}\nClick to look")
        words = _good(line.image) if finding is None else finding.sentence_in_window
        second = QTableWidgetItem(words)
        second.setToolTip(words)
        third = QTableWidgetItem("good" if finding is None else "")
        for at, item in enumerate((first, second, third)):
            item.setTextAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
            self.setItem(row, at, item)
        if line.image is not None and finding is not None and finding.fix:
            self.setCellWidget(row, 2, self._choice(line.image.name, finding))
        self.resizeRowToContents(row)

    def _choice(self, name: str, finding: Finding) -> QWidget:
        """Make the two buttons of a row: its remedy, and to leave it."""
        remedy, leave = QPushButton(VERBS[finding.fix]), QPushButton("Leave")
        remedy.setObjectName("remedy")
        does = FIXES[finding.fix]
        remedy.setToolTip(f"{does[0].upper()}{does[1:]}, in the repaired copy")
        leave.setToolTip("Copy it as it is")
        made = column(remedy, leave)
        made.layout().setContentsMargins(3, 3, 3, 3)
        group = QButtonGroup(made)
        for pressed in (remedy, leave):
            pressed.setCheckable(True)
            pressed.setAccessibleName(f"{pressed.text()}: {name}, {finding.kind}")
            group.addButton(pressed)
        leave.setChecked(True)
        group.buttonClicked.connect(lambda _: self.changed.emit())
        self._remedies.append((name, finding.fix, remedy))
        return made


def _good(image: ImageChecked | None) -> str:
    if image is None:
        return ""
    return f"{nuclei(image.count)}, {number(image.diameter_px)} px wide"
