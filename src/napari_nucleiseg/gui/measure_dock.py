"""The dock "Measurements", which answers how large, how bright, how dense nuclei are."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize, QTimer
from qtpy.QtWidgets import QFileDialog, QProgressBar, QVBoxLayout, QWidget

from .. import wording
from ..errors import NucleisegError
from ..events import Event
from ..measure import Measuring, TableMade
from ..session import MEASURING
from ..tables import SUFFIXES, write_table
from . import memory
from .bridge import bridge_of
from .closing import end_when_closed
from .label_colours import LabelColours, colour_range, colours_of
from .measured_view import MeasuredView
from .measurements import Measurements, go_to, set_features
from .nuclei_chooser import Given, NucleiChooser
from .outcome import Outcome
from .picking import pick_by_click
from .widgets import button, column, listen, paint_main, row, scrolled, text

# a stroke of the brush tells of many changes
_EDIT_ENDS_MS = 250


class MeasureDock(QWidget):
    """Choose nuclei and images, press *Measure*; table, plots and view show the same nuclei.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands in a proxy of it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._bridge = bridge_of(napari_viewer)
        self._viewer, self._session = self._bridge.viewer, self._bridge.session
        self._given: Given | None = None
        self._made: weakref.WeakKeyDictionary[Labels, Measurements] = weakref.WeakKeyDictionary()
        # layers that tell of edits already
        self._heard: weakref.WeakSet[Labels] = weakref.WeakSet()
        # also of closed docks: their layers get their own colours back
        self._lent: list[LabelColours] = []

        self.outcome = Outcome()
        self.chooser = NucleiChooser(self._bridge)
        self.view = MeasuredView()
        self.stale = text()
        self._column = column(
            self.chooser, self._build_action(), self.outcome, self.stale, self.view, spacing=6
        )
        self._column.layout().setContentsMargins(8, 6, 8, 6)
        # the view takes the height that is left, where it is shown
        self._column.layout().setStretchFactor(self.view, 100)
        self._column.layout().addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scrolled(self._column))
        end_when_closed(self)
        self.setMinimumWidth(260)

        self._edit_timer = QTimer(self)
        self._edit_timer.setSingleShot(True)
        self._edit_timer.setInterval(_EDIT_ENDS_MS)
        self._edit_timer.timeout.connect(self._look_at_pixels)
        self._listen()
        kept = memory.recall().get("measure", {})
        self.view.recall(kept if isinstance(kept, dict) else {})
        self._show_layer()
        self._show_state(self._session.state)
        self._paint()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Width that shows most names whole."""
        return QSize(320, self._column.sizeHint().height())

    # --- what is in it -----------------------------------------------------------------------

    def _build_action(self) -> QWidget:
        self.measure_button = button(
            "Measure", self._measure, "Measure size, shape, neighbours and intensity of all nuclei"
        )
        self.measure_button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel_button = button("Cancel", self._session.cancel, "Stop; nothing is changed")
        self._running = row(self.bar, self.cancel_button)
        return column(self.measure_button, self._running, spacing=6)

    def _listen(self) -> None:
        session, viewer = self._session, self._viewer
        self.chooser.changed.connect(self._show_layer)
        self.view.selected.connect(self._select)
        self.view.recoloured.connect(self._recolour)
        self.view.save_asked.connect(self._ask_where)
        self.view.chosen.connect(lambda: memory.remember(measure=self.view.wishes))
        heard = [
            (session.event, self._on_event),
            (session.failed, self._on_failed),
            (session.state_changed, self._show_state),
        ]
        listen(self, heard)
        listen(self, [(viewer.events.theme, self._paint)], bare=True)
        lent = self._lent
        self.destroyed.connect(lambda: [colours.restore() for colours in lent])
        pick_by_click(viewer, self, self._pick)

    # --- what it shows -----------------------------------------------------------------------

    @property
    def measured(self) -> Measurements | None:
        """What was measured of the chosen labels layer."""
        layer = self.chooser.layer
        return None if layer is None else self._made.get(layer)

    def _show_layer(self) -> None:
        """Show what was measured of the chosen layer."""
        measured = self.measured
        self.view.setVisible(measured is not None)
        if measured is not None:
            self.view.show_measurements(measured)
        self._look_at_pixels()

    def _show_state(self, state: str) -> None:
        is_busy = state in ("running", "stopping")
        is_own = self._session.doing == MEASURING
        self._running.setVisible(is_busy and is_own)
        self.cancel_button.setEnabled(state == "running")
        self.measure_button.setEnabled(not is_busy)
        self.chooser.set_enabled(not is_busy)
        if not is_own:
            said = self.outcome.said.state
            self.outcome.say_state("running" if is_busy else said, self._session.doing * is_busy)
            return
        if state == "running":
            self.outcome.clear()
            self.bar.setRange(0, 0)
        self.outcome.say_state(state, "getting ready" if state == "running" else "")

    def _hear_edit(self) -> None:
        self._edit_timer.start()

    def _look_at_pixels(self) -> None:
        """Say so if the nuclei are others than those measured."""
        measured = self.measured
        is_stale = measured is not None and measured.is_stale()
        self.stale.setText(
            "The nuclei were edited since they were measured. The numbers are those from before: "
            "measure again."
            if is_stale
            else ""
        )
        self.stale.setVisible(is_stale)

    def _paint(self) -> None:
        """Take the colours of napari's theme."""
        theme = get_theme(self._viewer.theme)
        paint_main(self.measure_button, theme)
        self.outcome.paint(theme)
        self.view.paint(theme)
        warning = theme.warning.as_hex()
        self.stale.setStyleSheet(
            f"QLabel {{ border-left: 3px solid {warning}; padding-left: 4px; }}"
        )

    # --- what happens ------------------------------------------------------------------------

    def _measure(self) -> None:
        if self._session.is_busy:
            return
        self.outcome.clear()
        try:
            self._given = self.chooser.read()
        except NucleisegError as error:
            self.outcome.fail(error)
            self.outcome.say_state("failed")
            return
        given = self._given
        self._session.measure(given.labels, given.micrographs, given.pixel_size_um)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Measuring):
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            self.outcome.say_state("running", event.what)
        elif isinstance(event, TableMade) and self._given is not None:
            self._keep(self._given, event.table)
            self._given = None

    def _on_failed(self, error: Exception) -> None:
        if self._session.is_busy and self._session.doing == MEASURING:
            self.outcome.fail(error)

    def _keep(self, given: Given, table: dict[str, np.ndarray]) -> None:
        layer = given.layer
        if layer not in self._viewer.layers:
            self.outcome.say(f"{layer.name} was removed while it was measured.")
            return
        before = self._made.get(layer)
        colours = LabelColours(layer) if before is None else before.colours
        if before is None:
            self._lent.append(colours)
        self._made[layer] = measured = Measurements(given, table, colours)
        set_features(layer, table)
        if layer not in self._heard:
            self._heard.add(layer)
            changes = (layer.events.data, layer.events.labels_update, layer.events.set_data)
            listen(self, [(signal, self._hear_edit) for signal in changes], bare=True)
        self._show_layer()
        self._colour()
        self.outcome.say_result(_summary(measured))

    def _select(self, selected: np.ndarray, is_to_be_seen: bool) -> None:
        """Show another selection everywhere; one nucleus alone comes into the view."""
        measured = self.measured
        if measured is None:
            return
        measured.selected = np.array(selected, bool)
        self.view.show_selection()
        self._colour(is_to_be_seen)
        rows = np.flatnonzero(measured.selected)
        if is_to_be_seen and len(rows) == 1 and measured.layer in self._viewer.layers:
            go_to(self._viewer, measured.layer, measured.place_of(int(rows[0])))

    def _pick(self, event: Any) -> None:
        """Select the nucleus that was clicked in the view; a click beside all selects none."""
        measured, layer = self.measured, self.chooser.layer
        if measured is None or not self.isVisible() or not layer.visible:
            return
        active = self._viewer.layers.selection.active
        if active is not None and active.mode != "pan_zoom":
            return
        value = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        value = value[1] if isinstance(value, tuple) else value
        selected = measured.ids == (-1 if value is None else value)
        if "Shift" in event.modifiers:
            selected = selected ^ measured.selected
        if selected.any() or measured.selected.any():
            self._select(selected, False)

    def _recolour(self) -> None:
        self._colour(self.view.colour_column is not None)

    def _colour(self, is_to_be_seen: bool = False) -> None:
        """Colour the nuclei by the chosen measurement, the selected ones strong."""
        measured = self.measured
        if measured is None:
            return
        name = self.view.colour_column
        for other in self._made.values():
            if other is not measured:
                other.colours.restore()
        colours = None
        if name is not None:
            values = measured.table[name]
            low, high = colour_range(values)
            colours = colours_of(values, low, high)
            self.view.show_range(name, low, high)
        selected = measured.selected if measured.selected.any() else None
        measured.colours.show(measured.ids, colours, selected)
        layer = measured.layer
        # where it is visible already, napari would draw it again
        if is_to_be_seen and layer is not None and not layer.visible:
            layer.visible = True

    def _ask_where(self) -> None:
        measured = self.measured
        if measured is None:
            return
        only_selected = self.view.saves_selected
        endings = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        proposed = f"{measured.name.replace('/', '_')}.csv"
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the table", proposed, f"Tables ({endings})"
        )
        if not path:
            return
        rows = measured.rows
        if only_selected:
            rows = {name: values[measured.selected] for name, values in rows.items()}
        file = Path(path)
        file = file if file.suffix else file.with_suffix(".csv")
        try:
            write_table(file, rows)
        except NucleisegError as error:
            self.outcome.fail(error)
            return
        self.outcome.say(f"Saved {wording.nuclei(len(rows['label']))}: {file}")


def _summary(measured: Measurements) -> str:
    """One line about all nuclei."""
    table = measured.table
    parts = [wording.nuclei(len(measured.ids))]
    for name, unit in (("area_um2", "µm²"), ("area_px", "px")):
        if name in table and len(measured.ids):
            parts.append(f"median area {wording.number(float(np.median(table[name])))} {unit}")
            break
    return " · ".join(parts)
