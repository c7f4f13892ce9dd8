"""Measurements as a table, a histogram and a scatter plot; selection, colours, saving."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from .. import wording
from ..quantities import quantity_of
from .feature_plots import HistogramPlot, LassoPlot
from .forms import ElidedComboBox, shrink
from .label_colours import ColourBar
from .measurements import Measurements
from .nucleus_table import NucleusTable
from .widgets import add_row, button, column, fill_data, form_layout, row, text

_TABS_HEIGHT = 250


class MeasuredView(QWidget):
    """Shows measurements; what is selected in one part is selected in all.

    Attributes
    ----------
    selected : Signal(object, bool)
        Which nuclei the user selected, and whether he wants to see them in the view.
    recoloured : Signal()
        Another measurement, or none, gives the colours.
    save_asked : Signal()
        The table shall be saved.
    chosen : Signal()
        `wishes` changed.
    """

    selected = Signal(object, bool)
    recoloured = Signal()
    save_asked = Signal()
    chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._measured: Measurements | None = None
        self._wishes: dict[str, Any] = {}
        self.table = NucleusTable()
        self.table.selected.connect(lambda selected: self.selected.emit(selected, True))
        self.histogram = HistogramPlot()
        self.scatter = LassoPlot()
        self.scatter.selected.connect(lambda selected: self.selected.emit(selected, True))
        self.of, self.x, self.y = (self._chooser() for _ in range(3))
        self.tabs = QTabWidget()
        self.tabs.setMinimumHeight(_TABS_HEIGHT)
        self.tabs.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.tabs.addTab(self.table, "Table")
        self.tabs.addTab(self._build_histogram(), "Histogram")
        self.tabs.addTab(self._build_scatter(), "Scatter")
        self.tabs.currentChanged.connect(lambda _: self._choose())

        self.count = text()
        self.clear_button = button("Clear", self._clear, "Select no nucleus")
        selection = row(self.count, self.clear_button)
        self.colour = self._chooser()
        self.bar = ColourBar()
        form = form_layout()
        add_row(form, "Colour by", self.colour, "Colour the nuclei in the view by a measurement")
        colours = QWidget()
        colours.setLayout(form)
        self.save_button = button(
            "Save table...", self.save_asked.emit, "Write the table as CSV or Parquet"
        )
        self.which = shrink(ElidedComboBox())
        self.which.setAccessibleName("Which nuclei to save")
        fill_data(self.which, [("all nuclei", False), ("selected nuclei", True)])
        saving = row(self.save_button, self.which)
        saving.layout().setStretch(1, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        for part in (self.tabs, selection, colours, self.bar, saving):
            whole.addWidget(part, stretch=int(part is self.tabs))

    def _chooser(self) -> ElidedComboBox:
        field = shrink(ElidedComboBox())
        field.activated.connect(lambda _: self._choose())
        return field

    def _build_histogram(self) -> QWidget:
        form = form_layout()
        add_row(form, "Of", self.of, "The measurement whose values are counted")
        fields = QWidget()
        fields.setLayout(form)
        return _page(fields, self.histogram, text("Blue: all nuclei; orange: the selected ones."))

    def _build_scatter(self) -> QWidget:
        form = form_layout()
        add_row(form, "Across", self.x, "The measurement from left to right")
        add_row(form, "Up", self.y, "The measurement from bottom to top")
        fields = QWidget()
        fields.setLayout(form)
        hint = text("Draw around points to select their nuclei; Shift adds. The wheel zooms.")
        return _page(fields, self.scatter, hint)

    # --- choices -------------------------------------------------------------------------------

    @property
    def colour_column(self) -> str | None:
        """The measurement that gives the colours."""
        return self.colour.currentData()

    @property
    def saves_selected(self) -> bool:
        """Whether only selected nuclei are saved."""
        return bool(self.which.currentData())

    @property
    def wishes(self) -> dict[str, Any]:
        """What to remember for the next time."""
        return self._wishes

    def recall(self, wishes: dict[str, Any]) -> None:
        """Choose what was remembered, as soon as there is something to choose from."""
        self._wishes = {name: wishes.get(name) for name in ("tab", "of", "x", "y")}
        tab = self._wishes["tab"]
        if isinstance(tab, int) and 0 <= tab < self.tabs.count():
            self.tabs.setCurrentIndex(tab)

    # --- what it shows -------------------------------------------------------------------------

    def show_measurements(self, measured: Measurements) -> None:
        """Show the measurements of another layer, or new ones."""
        self._measured = measured
        self.table.show_table(measured.table, measured.columns)
        choices = [(quantity_of(c).text, c) for c in measured.columns if c != "label"]
        names = [name for _, name in choices]
        brightness = next((n for n in names if n.startswith("intensity_mean")), "eccentricity")
        size = "area_um2" if "area_um2" in names else "area_px"
        for field, wish, else_ in (
            (self.of, "of", size),
            (self.x, "x", size),
            (self.y, "y", brightness),
        ):
            wished = self._wishes.get(wish)
            fill_data(field, choices, wished if wished in names else else_)
        before = self.colour.currentData()
        fill_data(self.colour, [("their own colours", None), *choices], before)
        self._draw()

    def show_selection(self) -> None:
        """Show which nuclei are selected by now."""
        measured = self._measured
        if measured is None:
            return
        selected = measured.selected
        self.table.show_selection(selected)
        self.scatter.show_selection(selected)
        self._draw_histogram()
        count = int(np.count_nonzero(selected))
        self.count.setText(f"{count} of {wording.nuclei(len(selected))} selected")
        self.clear_button.setEnabled(count > 0)
        self.which.setItemText(1, f"selected nuclei ({count})")

    def show_range(self, column_name: str, low: float, high: float) -> None:
        """Show which values the colours stand for."""
        self.bar.show_range(low, high, quantity_of(column_name).unit)

    def paint(self, theme: Any) -> None:
        """Take the colours of a theme."""
        self.histogram.paint(theme)
        self.scatter.paint(theme)
        self._draw_histogram()

    def _draw(self) -> None:
        measured = self._measured
        if measured is None:
            return
        x, y = self.x.currentData(), self.y.currentData()
        titles = quantity_of(x).text, quantity_of(y).text
        self.scatter.show_points(measured.table[x], measured.table[y], *titles)
        self.bar.setVisible(self.colour_column is not None)
        self.show_selection()

    def _draw_histogram(self) -> None:
        measured, name = self._measured, self.of.currentData()
        if measured is not None and name is not None:
            values = measured.table[name].astype(float)
            self.histogram.show_values(values, measured.selected, quantity_of(name).text)

    def _choose(self) -> None:
        """Show what the user chose, and keep it."""
        if self._measured is None:
            return
        fields = {"of": self.of, "x": self.x, "y": self.y}
        self._wishes = {name: field.currentData() for name, field in fields.items()}
        self._wishes["tab"] = self.tabs.currentIndex()
        self._draw()
        self.recoloured.emit()
        self.chosen.emit()

    def _clear(self) -> None:
        if self._measured is not None:
            self.selected.emit(np.zeros(len(self._measured.selected), bool), False)


def _page(fields: QWidget, plot: QWidget, hint: QWidget) -> QWidget:
    page = column(fields, plot, hint, spacing=4)
    page.layout().setContentsMargins(3, 3, 3, 3)
    page.layout().setStretchFactor(plot, 1)
    return page
