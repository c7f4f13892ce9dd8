"""The dock "Evaluate", which answers how good a segmentation is, and where it is not."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QLabel,
    QProgressBar,
    QSlider,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from .. import wording
from ..comparison import Kind
from ..errors import NucleisegError
from ..evaluation import ImageCompared
from ..events import Event, Notice
from ..judging import FilesRead, Judged, Judging, judge, judge_files
from ..marks import LEAST, MOST, STEP
from ..session import EVALUATING
from ..tables import write_table
from . import memory
from .bridge import bridge_of
from .closing import end_when_closed
from .error_layers import ErrorLayers
from .error_legend import ColourBar, Legend
from .folders_view import FoldersView
from .forms import ElidedComboBox, Fold, shrink
from .judged_chooser import JudgedChooser
from .keys import take_key
from .labels_of_files import labels_of, mark
from .layers import field_shape, layer_of, pixel_size_um, placement, read_labels_layer
from .nuclei_table import ERRORS, NucleiTable
from .outcome import Outcome
from .score_view import ScoreView
from .view_link import hear_clicks, look_at, pixel_at
from .widgets import (
    button,
    column,
    fill_data,
    form_layout,
    layer_list_signals,
    listen,
    paint_main,
    row,
    scrolled,
)

NEXT, PREVIOUS = ".", ","
SHOWN = ("errors", "IoU", "Dice", "agreement")


class EvaluateDock(QWidget):
    """Choose nuclei and truth, press *Compare with truth*, see what is right and what is not.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands in a proxy of it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._bridge = bridge_of(napari_viewer)
        self._viewer, self._session = self._bridge.viewer, self._bridge.session
        self._layers = ErrorLayers(self._viewer)
        self._judged: Judged | None = None
        # image, nuclei and truth of the question asked last, and the pixels of a field then
        self._asked: tuple[weakref.ref[Layer], ...] = ()
        self._heard: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._at: Judging | None = None
        kept = memory.recall().get("evaluate", {})
        self._wishes: dict[str, Any] = kept if isinstance(kept, dict) else {}

        self.outcome = Outcome()
        self._column = column(
            self._build_choices(),
            self._build_action(),
            self.outcome,
            self._build_results(),
            spacing=6,
        )
        self._column.layout().setContentsMargins(8, 6, 8, 6)
        self._column.layout().addStretch(1)
        self.folders = FoldersView(self._bridge, self)
        self.tabs = QTabWidget()
        self.tabs.addTab(scrolled(self._column), "This image")
        self.tabs.addTab(scrolled(self.folders.content), "Folders")
        self.tabs.setTabToolTip(0, "Compare two labels layers")
        self.tabs.setTabToolTip(1, "Compare all label images of two folders")
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.tabs)
        end_when_closed(self)
        self.setMinimumWidth(260)

        self._recall()
        self._listen()
        self._show_state(self._session.state)
        self._paint()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Width that shows most names whole."""
        return QSize(320, self._column.sizeHint().height() + 40)

    # --- what is in it -----------------------------------------------------------------------

    def _build_choices(self) -> QWidget:
        form = form_layout()
        self.choices = JudgedChooser(self._bridge, form, self)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(round(LEAST / STEP), round(MOST / STEP))
        self.slider.setSingleStep(1)
        self.slider.setPageStep(5)
        about = "IoU from which on a nucleus is correct; all that is shown follows"
        self.slider.setToolTip(about)
        self.slider.setAccessibleName("IoU threshold")
        self.slider.setAccessibleDescription(about)
        self._threshold = QLabel()
        self._threshold.setMinimumWidth(30)
        self.slider.valueChanged.connect(lambda _: self._show_threshold())
        form.addRow("IoU from", row(self.slider, self._threshold))
        made = QWidget()
        made.setLayout(form)
        return made

    def _build_action(self) -> QWidget:
        self.compare_button = button(
            "Compare with truth", self._compare, "Name each nucleus correct, missed, extra, ..."
        )
        self.compare_button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel_button = button(
            "Cancel", self._session.cancel, "Stop after this step; nothing is changed"
        )
        self._running = row(self.bar, self.cancel_button)
        return column(self.compare_button, self._running, spacing=6)

    def _build_results(self) -> QWidget:
        self.legend = Legend()
        self.shown: dict[str, QCheckBox] = {}
        for kind in SHOWN:
            self.shown[kind] = QCheckBox(kind[0].upper() + kind[1:])
            self.shown[kind].setToolTip(f"Show or hide the layer of {kind}")
            self.shown[kind].clicked.connect(lambda on, k=kind: self._show_layer(k, on))
        self.values = QCheckBox("IoU values")
        self.values.setToolTip("Write the IoU beside each true nucleus")
        self.values.clicked.connect(self._show_values)
        show = QWidget()
        ticks = QGridLayout(show)
        ticks.setContentsMargins(0, 0, 0, 0)
        ticks.setVerticalSpacing(1)
        for at, tick in enumerate([*self.shown.values(), self.values]):
            ticks.addWidget(tick, *divmod(at, 3))
        self.bar_of_colours = ColourBar()
        self.filter = shrink(ElidedComboBox())
        self.filter.setAccessibleName("Nuclei to list")
        self.filter.setToolTip("Which nuclei the table lists")
        choices = [("all nuclei", ""), ("all errors", ERRORS)]
        fill_data(self.filter, [*choices, *((k.words, k.words) for k in Kind)])
        self.filter.currentIndexChanged.connect(self._filter)
        self.save_button = button("Save table...", self._ask_where, "Save all rows as a CSV file")
        self.table = NucleiTable()
        self.table.chosen.connect(self._look_at)
        self.previous_button = button(
            f"Previous [{PREVIOUS}]", self.previous_error, f"Error before; key {PREVIOUS}"
        )
        self.next_button = button(
            f"Next error [{NEXT}]", self.next_error, f"Show the next error in the view; key {NEXT}"
        )
        steps = row(self.next_button, self.previous_button)
        steps.layout().setStretch(1, 1)
        self.scores = ScoreView()
        self.fold = Fold("Scores", self.scores, "All scores, and AP at each threshold")
        self._results = column(
            self.legend,
            show,
            self.bar_of_colours,
            steps,
            row(self.filter, self.save_button),
            self.table,
            self.fold,
            spacing=6,
        )
        self._results.hide()
        return self._results

    def _recall(self) -> None:
        threshold = self._wishes.get("threshold", 50)
        self.slider.setValue(threshold if isinstance(threshold, int) else 50)
        self._show_threshold()
        self.fold.open(bool(self._wishes.get("scores")))
        self.folders.recall(self._wishes.get("folders"))
        self.folders.more.open(bool(self._wishes.get("more")))
        self.slider.sliderReleased.connect(self._remember)
        for fold in (self.fold, self.folders.more):
            fold.toggled.connect(lambda _: self._remember())
        self.folders.changed.connect(self._remember)

    def _listen(self) -> None:
        session, viewer = self._session, self._viewer
        self.folders.chosen.connect(self._open)
        heard = [
            (session.event, self._on_event),
            (session.failed, self._on_failed),
            (session.state_changed, self._show_state),
        ]
        listen(self, heard)
        signals = [(signal, self._show_ticks) for signal in layer_list_signals(viewer)]
        listen(self, [(viewer.events.theme, self._paint), *signals], bare=True)
        hear_clicks(viewer, self, self._on_click)
        for key, act in ((NEXT, self.next_error), (PREVIOUS, self.previous_error)):
            take_key(viewer, self, key, act, ready=self._has_table)

    # --- what it shows -----------------------------------------------------------------------

    @property
    def threshold(self) -> float:
        """IoU from which on a nucleus is correct."""
        return round(self.slider.value() * STEP, 2)

    def _show_threshold(self) -> None:
        """Let all that is shown follow the slider."""
        self._threshold.setText(f"{self.threshold:.2f}")
        self.folders.threshold = self.threshold
        judged = self._judged
        if judged is None:
            return
        kinds = judged.kinds(self.threshold)
        self._layers.recolour(self.threshold)
        self.table.show_table({**judged.table, **judged.columns(kinds)}, new=False)
        self._show_counts(kinds.counts())

    def _show_counts(self, counts: dict[str, int]) -> None:
        judged = self._judged
        if judged is None:
            return
        overlaps = judged.comparison.overlaps
        self.legend.show_counts(counts)
        self.filter.setItemText(0, f"all nuclei ({sum(counts.values())})")
        errors = sum(counts.values()) - counts[Kind.CORRECT.words]
        self.filter.setItemText(1, f"all errors ({errors})")
        for at, kind in enumerate(Kind, 2):
            self.filter.setItemText(at, f"{kind.words} ({counts[kind.words]})")
        for step in (self.next_button, self.previous_button):
            step.setEnabled(errors > 0)
        scores = self.scores.show_scores(judged, self.threshold)
        sizes = len(overlaps.true_areas), len(overlaps.found_areas)
        self.outcome.say_result(wording.judged(counts, *sizes, self.threshold))
        self.outcome.say_scores(wording.scores_of_image(scores))

    def _show_state(self, state: str) -> None:
        is_busy = state in ("running", "stopping")
        is_own = self._session.doing == EVALUATING
        self._running.setVisible(is_busy and is_own)
        self.cancel_button.setEnabled(state == "running")
        self.choices.set_enabled(not (is_busy and is_own))
        self.compare_button.setEnabled(not is_busy)
        if not is_own:
            said = self.outcome.said.state
            self.outcome.say_state("running" if is_busy else said, self._session.doing * is_busy)
            return
        more = ""
        if state == "running":
            more = "getting ready" if self._at is None else self._at.what
        elif state == "stopping":
            more = "after this step"
        elif state == "done" and not self.outcome.result.text():
            state = "idle"  # nothing could be shown
        self.outcome.say_state(state, more)

    def _show_ticks(self) -> None:
        """Say which layers can be seen, and listen whether that changes."""
        for kind, tick in self.shown.items():
            layer = self._layers.layer(kind)
            tick.setEnabled(layer is not None)
            tick.setChecked(layer is not None and layer.visible)
        self.values.setChecked(self._layers.layer("IoU values") is not None)
        scaled = [self._layers.layer(kind) for kind in ("IoU", "Dice")]
        self.bar_of_colours.setVisible(any(x is not None and x.visible for x in scaled))

    def _paint(self) -> None:
        """Take the colours of napari's theme."""
        theme = get_theme(self._viewer.theme)
        for pressed in (self.compare_button, self.folders.evaluate_button):
            paint_main(pressed, theme)
        self.outcome.paint(theme)
        self.folders.outcome.paint(theme)
        self.scores.paint(theme)

    # --- what happens ------------------------------------------------------------------------

    def _compare(self) -> None:
        if self._session.is_busy:
            return
        self.outcome.clear()
        try:
            prediction, truth = self.choices.pair()
            point = self._viewer.dims.current_step
            areas = self.choices.areas(point)
            arrays = read_labels_layer(prediction, point), read_labels_layer(truth, point)
        except NucleisegError as error:
            self.outcome.fail(error)
            self.outcome.say_state("failed")
            return
        self._remember()
        base = self.choices.base or prediction
        self._ask(base, prediction, truth)
        size = pixel_size_um(base)
        self._session.judge(judge(*arrays, areas, size))

    def _ask(self, *layers: Layer) -> None:
        self._at = None
        self._asked = tuple(weakref.ref(layer) for layer in layers)
        self.bar.setRange(0, 0)

    def _open(self, image: ImageCompared) -> None:
        """Open an image of the folders with its nuclei, its truth and its errors."""
        if self._session.is_busy:
            return
        self.outcome.clear()
        self.tabs.setCurrentIndex(0)
        self._at, self._asked = None, ()
        self._session.judge(judge_files(image.name, image.files))

    def _on_event(self, event: Event) -> None:
        if self._session.doing != EVALUATING:
            return
        if isinstance(event, Judging):
            self._at = event
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            self.outcome.say_state("running", event.what)
        elif isinstance(event, FilesRead):
            self._show_files(event)
        elif isinstance(event, Judged):
            self._show(event)
        elif isinstance(event, Notice):
            self.outcome.say(event.text)

    def _on_failed(self, error: Exception) -> None:
        if self._session.doing == EVALUATING:
            self.outcome.fail(error)

    def _show_files(self, event: FilesRead) -> None:
        """Show what was read from files; layers of an image opened before are used again."""
        base: Layer | None = None
        if event.micrograph is not None:
            base = self._image(event.name, event.micrograph.shape)
            if base is None:
                data, settings, _ = layer_of(event.micrograph)
                base = self._viewer.add_image(data, **{**settings, "name": event.name})
        where = {} if base is None else placement(base)
        if base is None and event.pixel_size_um is not None:
            where = {"scale": event.pixel_size_um, "units": ("um", "um")}
        made = []
        for kind, labels in (("nuclei", event.prediction), ("truth", event.truth)):
            name = f"{event.name} · {kind}"
            layer = labels_of(self._viewer, name, labels)
            if layer is None:
                # one of the same name may be somebody's corrections
                layer = self._viewer.add_labels(labels, name=name, visible=False, **where)
                mark(layer, name)
            made.append(layer)
        self.choices.choose(base, *made)
        self._asked = tuple(weakref.ref(x) for x in (base or made[0], *made))
        self._viewer.reset_view()

    def _image(self, name: str, shape: tuple[int, ...]) -> Image | None:
        for layer in self._viewer.layers:
            if layer.name == name and type(layer) is Image and field_shape(layer) == shape:
                return layer
        return None

    def _show(self, judged: Judged) -> None:
        layers = [reference() for reference in self._asked]
        shape = judged.comparison.truth.shape
        if not layers or any(x is None or x not in self._viewer.layers for x in layers):
            # what is there is of another comparison
            self._judged = None
            self._results.hide()
            self.outcome.say(
                "A layer was removed meanwhile, so the result is not shown. Compare again."
            )
            return
        base, *others = layers
        if field_shape(base) != shape:
            base = others[0]
        is_first = self._layers.layer("errors") is None
        self._judged = judged
        self._layers.show(base, others, judged, self.threshold)
        if is_first:
            # their colours would hide those of the errors
            for layer in others:
                layer.visible = False
        self._hear_changes(others)
        kinds = judged.kinds(self.threshold)
        self.table.show_table({**judged.table, **judged.columns(kinds)}, new=True)
        self._results.show()
        self._show_counts(kinds.counts())
        self._show_ticks()

    def _hear_changes(self, layers: list[Layer]) -> None:
        """Notice when the nuclei or the truth are painted in, or replaced."""
        for layer in layers:
            if layer not in self._heard:
                self._heard.add(layer)
                events = (layer.events.paint, layer.events.labels_update, layer.events.data)
                listen(self, [(event, self._on_change) for event in events], bare=True)

    def _on_change(self) -> None:
        if self._judged is not None and not self._session.is_busy:
            self.outcome.say("Nuclei or truth were changed since. Compare again.")

    def _show_layer(self, kind: str, on: bool) -> None:
        layer = self._layers.layer(kind)
        if layer is not None:
            layer.visible = on
        self._show_ticks()

    def _show_values(self, on: bool) -> None:
        if on and self._judged is not None:
            self._layers.show_values(self._judged)
        else:
            self._layers.hide_values()

    def _filter(self) -> None:
        self.table.nuclei.keep(self.filter.currentData())

    def _has_table(self) -> bool:
        return self._judged is not None

    def next_error(self) -> None:
        """Show the next error of the table."""
        self.table.next_error(1)

    def previous_error(self) -> None:
        """Show the error before in the table."""
        self.table.next_error(-1)

    def _placed(self) -> Layer | None:
        """Give a layer that lies where the nuclei do."""
        found = (self._layers.layer(kind) for kind in SHOWN)
        return next((layer for layer in found if layer is not None), None)

    def _look_at(self, at: int) -> None:
        layer, judged = self._placed(), self._judged
        if layer is None or judged is None:
            return
        table = judged.table
        place = float(table["y_px"][at]), float(table["x_px"][at])
        area = np.nanmax([table["true_area_px"][at], table["prediction_area_px"][at]])
        look_at(self._viewer, layer, place, float(np.sqrt(area)))

    def _on_click(self, position: tuple[float, ...]) -> None:
        layer, judged = self._placed(), self._judged
        if layer is None or judged is None:
            return
        found = judged.row_at(*pixel_at(layer, position))
        if found is not None and not self.table.choose(found):
            # the filter hides it
            self.filter.setCurrentIndex(0)
            self.table.choose(found)

    def _ask_where(self) -> None:
        judged = self._judged
        if judged is None:
            return
        found, _ = QFileDialog.getSaveFileName(self, "Save table", "nuclei.csv", "CSV (*.csv)")
        if not found:
            return
        path = Path(found)
        table = {**judged.table, **judged.columns(judged.kinds(self.threshold))}
        try:
            write_table(path if path.suffix else path.with_suffix(".csv"), table)
        except NucleisegError as error:
            self.outcome.fail(error)
            return
        self.outcome.say(f"Saved {path}.")

    def _remember(self) -> None:
        self._wishes = {
            "threshold": self.slider.value(),
            "scores": self.fold.is_open,
            "more": self.folders.more.is_open,
            "folders": self.folders.wishes,
        }
        memory.remember(evaluate=self._wishes)
