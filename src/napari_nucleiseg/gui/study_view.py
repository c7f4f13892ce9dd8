"""The curves of a study: its folder, a quantity, and a legend in which runs are ticked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ..curves import RunCurves, drawable, read_curves
from ..errors import NucleisegError
from .forms import ElidedComboBox, shrink
from .plots import CurvePlot, pen_of, swatch
from .widgets import add_row, button, column, fill_data, form_layout, row, small, text


class StudyView(QWidget):
    """Opens the folder of a study and draws a quantity of the runs that are ticked.

    Parameters
    ----------
    remember : callable
        Called with the folder that was opened.
    """

    def __init__(self, remember: Callable[[str], Any]) -> None:
        super().__init__()
        self._remember = remember
        self._runs: list[RunCurves] = []
        form = form_layout()
        self.folder = shrink(QLineEdit())
        self.folder.returnPressed.connect(self.open_folder)
        browse = small(button("...", self._ask_for_folder, "Choose the folder of a study"))
        about = "The folder that was given to nucleiseg study run"
        add_row(form, "Study", self.folder, about, browse)
        self.quantity = shrink(ElidedComboBox())
        self.quantity.currentIndexChanged.connect(lambda _: self._draw())
        self.reload = button("Reload", self.open_folder, "Read what has come since")
        add_row(form, "Curve", self.quantity, "What is drawn after each epoch", self.reload)
        self.said = text("Open the folder of a study to see how its trainings went.")
        self.said.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.said.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.plot = CurvePlot()
        self.legend = QListWidget()
        self.legend.setAccessibleName("Trainings")
        self.legend.setIconSize(QSize(28, 14))
        self.legend.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.legend.itemChanged.connect(lambda _: self._draw())
        self.all_button = button("All", lambda: self._tick(True), "Draw all trainings")
        self.none_button = button("None", lambda: self._tick(False), "Draw none of them")
        self._ticks = row(text("Trainings"), self.all_button, self.none_button)
        whole = column(self.said, self.plot, self._ticks, self.legend, spacing=4)
        layout = QVBoxLayout(self)
        layout.setSpacing(6)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.addLayout(form)
        layout.addWidget(whole, stretch=1)
        self._show_parts()

    def open_folder(self) -> None:
        """Read the folder that is named; what was ticked stays so."""
        if not self.folder.text().strip():
            self._ask_for_folder()
            return
        place = Path(self.folder.text().strip()).expanduser()
        try:
            runs = read_curves(place)
        except NucleisegError as error:
            self._runs = []
            self.legend.clear()
            self._show_parts(str(error))
            return
        unticked = {
            self.legend.item(i).data(Qt.ItemDataRole.UserRole)
            for i in range(self.legend.count())
            if self.legend.item(i).checkState() == Qt.CheckState.Unchecked
        }
        self._runs = runs
        self._fill_legend(unticked)
        wish = self.quantity.currentData()
        fill_data(self.quantity, [(title, name) for name, title in drawable(runs)], wish)
        self._remember(str(place))
        self._show_parts()
        self._draw()

    def shown(self) -> list[RunCurves]:
        """Give the runs that are ticked."""
        return [
            run
            for at, run in enumerate(self._runs)
            if self.legend.item(at).checkState() == Qt.CheckState.Checked
        ]

    def paint(self, theme: Any) -> None:
        """Take the colours of napari's theme."""
        self.plot.paint(theme)

    def _fill_legend(self, unticked: set[str]) -> None:
        self.legend.blockSignals(True)
        self.legend.clear()
        for run in self._runs:
            item = QListWidgetItem(swatch(self._pen(run)), run.title)
            item.setToolTip(run.run)
            item.setData(Qt.ItemDataRole.UserRole, run.run)
            is_on = run.run not in unticked
            item.setCheckState(Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked)
            self.legend.addItem(item)
        self.legend.blockSignals(False)

    def _pen(self, run: RunCurves) -> Any:
        """Give the line of a run: the seeds of a variant share one, unless it is the only one."""
        variants = list(dict.fromkeys(r.variant for r in self._runs))
        if len(variants) == 1:
            return pen_of(self._runs.index(run))
        return pen_of(variants.index(run.variant))

    def _tick(self, is_on: bool) -> None:
        self.legend.blockSignals(True)
        for at in range(self.legend.count()):
            state = Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked
            self.legend.item(at).setCheckState(state)
        self.legend.blockSignals(False)
        self._draw()

    def _draw(self) -> None:
        if self._runs and self.quantity.count():
            lines = [(run, self._pen(run)) for run in self.shown()]
            self.plot.show_curves(lines, self.quantity.currentData(), self.quantity.currentText())

    def _show_parts(self, problem: str = "") -> None:
        has_runs = bool(self._runs)
        for widget in (self.plot, self._ticks, self.legend):
            widget.setVisible(has_runs)
        self.quantity.setEnabled(has_runs)
        self.reload.setEnabled(has_runs)
        self.said.setVisible(not has_runs)
        if problem:
            self.said.setText(problem)

    def _ask_for_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(
            self, "Choose the folder of a study", self.folder.text()
        )
        if found:
            self.folder.setText(found)
            self.open_folder()
