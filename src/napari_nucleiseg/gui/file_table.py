"""The files of a batch and how each of them went."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from ..batch_plan import BatchFile

_FILE, _STATUS, _NUCLEI = range(3)
_LINE = 22


class FileTable(QTableWidget):
    """A line for each file: its name, its status, how many nuclei it has.

    Attributes
    ----------
    opened : Signal(int)
        Number of a file that was double-clicked.
    """

    opened = Signal(int)

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.setHorizontalHeaderLabels(["File", "Status", "Nuclei"])
        self.setAccessibleName("Files")
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_LINE)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(_FILE, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(_STATUS, QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(_NUCLEI, QHeaderView.ResizeMode.ResizeToContents)
        header.resizeSection(_STATUS, 110)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.setMinimumHeight(150)
        self.cellDoubleClicked.connect(lambda line, _: self.opened.emit(line))

    def show_files(self, files: Sequence[BatchFile]) -> None:
        """Show other files, none of which had its turn yet."""
        self.clearContents()
        self.setRowCount(len(files))
        for line, file in enumerate(files):
            for column in range(3):
                item = QTableWidgetItem()
                if column == _NUCLEI:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.setItem(line, column, item)
            self.item(line, _FILE).setText(file.item.path.name)
            self.item(line, _FILE).setToolTip(str(file.item.path))
            self.say(line, "done already" if file.is_done else "waiting")

    def say(self, line: int, status: str, more: str = "", nuclei: int | None = None) -> None:
        """Say how it stands with a file.

        Parameters
        ----------
        line : int
        status : str
        more : str
            Shown when the mouse rests on it.
        nuclei : int or None
        """
        item = self.item(line, _STATUS)
        item.setText(status)
        item.setToolTip(more or status)
        if nuclei is not None:
            self.item(line, _NUCLEI).setText(str(nuclei))

    def status(self, line: int) -> str:
        """What is said about a file."""
        return self.item(line, _STATUS).text()

    def show_line(self, line: int) -> None:
        """Scroll to a file."""
        self.scrollToItem(self.item(line, _FILE))
