"""The dock "Compare models", which answers which model is best for one's images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from .. import wording
from ..comparing import (
    Compared,
    Comparing,
    ComparisonDone,
    ModelScores,
    NotCompared,
    Told,
    summarise,
    write_tables,
)
from ..errors import NucleisegError, SettingError
from ..events import Event
from ..session import COMPARING
from ..session_work import Opened
from . import memory
from .annotated_chooser import AnnotatedChooser
from .bridge import bridge_of
from .closing import end_when_closed
from .compared_results import compared_results
from .layers import path_of
from .model_card import tooltip
from .outcome import Outcome
from .plots import ScorePlot, short_name
from .score_table import ScoreTable
from .study_view import StudyView
from .widgets import button, column, listen, paint_main, row, scrolled, text

_MODELS_SHOWN = 4
# all of them would take long on a laptop
_MODELS_AT_FIRST = 3
# more layers at once would bury the image
_LAYERS_AT_ONCE = 6
_NAME = Qt.ItemDataRole.UserRole


class CompareDock(QWidget):
    """Tick models, choose annotated micrographs, press *Compare*, see which model is best.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands in a proxy of it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._bridge = bridge_of(napari_viewer)
        self._viewer, self._session = self._bridge.viewer, self._bridge.session
        self._results_so_far = compared_results(self._bridge)
        # result to show as soon as its image is open, and the image's file
        self._pending: tuple[str, str, Path] | None = None
        self._kept_wishes = memory.recall().get("compare", {})
        if not isinstance(self._kept_wishes, dict):
            self._kept_wishes = {}

        self.outcome = Outcome()
        self._column = column(
            self._build_models(),
            self._build_images(),
            self._build_action(),
            self.outcome,
            self._build_results(),
            spacing=6,
        )
        self._column.layout().setContentsMargins(8, 6, 8, 6)
        self._column.layout().addStretch(1)
        self.study = StudyView(lambda folder: self._remember(study=folder))
        self.tabs = QTabWidget()
        self.tabs.addTab(scrolled(self._column), "Compare")
        self.tabs.addTab(self.study, "Study")
        self.tabs.setTabToolTip(1, "Learning curves of the trainings of a study")
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.tabs)
        end_when_closed(self)
        self.setMinimumWidth(260)

        self._listen()
        self.show_models()
        self.images.recall(self._kept_wishes)
        self.study.folder.setText(str(self._kept_wishes.get("study") or ""))
        self._show_results()
        self._show_state(self._session.state)
        self._paint()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Width that shows most names whole."""
        return QSize(320, self._column.sizeHint().height() + 40)

    # --- what is in it -----------------------------------------------------------------------

    def _build_models(self) -> QWidget:
        self.models = QListWidget()
        self.models.setAccessibleName("Models")
        self.models.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.models.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.models.itemChanged.connect(lambda _: self._remember())
        self.all_button = button("All", lambda: self._tick(True), "Compare all models")
        self.none_button = button("None", lambda: self._tick(False), "Tick no model")
        return column(row(text("Models"), self.all_button, self.none_button), self.models)

    def _build_images(self) -> QWidget:
        self.images = AnnotatedChooser(self._bridge)
        return self.images

    def _build_action(self) -> QWidget:
        self.compare_button = button(
            "Compare", self._compare, "Let each model segment each image, and score the results"
        )
        self.compare_button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel_button = button(
            "Cancel", self._session.cancel, "Stop after the tile under way; the table stays"
        )
        self._running = row(self.bar, self.cancel_button)
        return column(self.compare_button, self._running, spacing=6)

    def _build_results(self) -> QWidget:
        self.table = ScoreTable()
        self.table.chosen.connect(self._show_one)
        self.table.itemSelectionChanged.connect(self._enable_results)
        self.show_button = button(
            "Show nuclei", self._show_selected, "Show the selected results as labels layers"
        )
        self.save_button = button(
            "Save tables...", self._ask_where, "Save images.csv and models.csv in a folder"
        )
        self.plot = ScorePlot()
        buttons = row(self.show_button, self.save_button)
        buttons.layout().setStretch(1, 1)
        self._results = column(self.table, buttons, self.plot, spacing=6)
        return self._results

    def _listen(self) -> None:
        session = self._session
        self.images.changed.connect(self._remember)
        self.images.failed.connect(self.outcome.fail)
        heard = [
            (session.event, self._on_event),
            (session.failed, self._on_failed),
            (session.state_changed, self._show_state),
        ]
        listen(self, heard)
        listen(self, [(self._viewer.events.theme, self._paint)], bare=True)

    # --- what it shows -----------------------------------------------------------------------

    def show_models(self) -> None:
        """List the models there are, ticked as last time; at first the best few."""
        try:
            models = self._session.models()
        except NucleisegError as error:
            models = []
            self.outcome.fail(error)
        names = [model.name for model in models]
        unticked = self._kept_wishes.get("unticked", names[_MODELS_AT_FIRST:])
        self.models.blockSignals(True)
        self.models.clear()
        for model in models:
            # the score first: a long title must not push it out of sight
            known = [] if model.mean_ap is None else [f"AP {model.mean_ap:.2f}"]
            item = QListWidgetItem(" · ".join([*known, model.title]))
            item.setData(_NAME, model.name)
            item.setToolTip(f"{wording.model_title(model)}\n{model.name}\n{tooltip(model)}")
            is_on = model.name not in unticked
            item.setCheckState(Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked)
            self.models.addItem(item)
        self.models.blockSignals(False)
        self._fit_models()
        for problem in self._session.model_problems():
            self.outcome.say(problem)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Fit the list of models, now that it has napari's style."""
        super().showEvent(event)
        self._fit_models()

    def _fit_models(self) -> None:
        shown = min(max(self.models.count(), 1), _MODELS_SHOWN)
        self.models.setFixedHeight(8 + shown * max(self.models.sizeHintForRow(0), 14))

    def chosen_models(self) -> list[str]:
        """Give the names of the models that are ticked."""
        items = [self.models.item(i) for i in range(self.models.count())]
        return [str(i.data(_NAME)) for i in items if i.checkState() == Qt.CheckState.Checked]

    def _tick(self, is_on: bool) -> None:
        for at in range(self.models.count()):
            state = Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked
            self.models.item(at).setCheckState(state)

    def _show_state(self, state: str) -> None:
        is_busy = state in ("running", "stopping")
        is_own = self._session.doing == COMPARING
        self._running.setVisible(is_busy and is_own)
        self.cancel_button.setEnabled(state == "running")
        self.images.set_enabled(not is_busy)
        for widget in (self.models, self.all_button, self.none_button, self.compare_button):
            widget.setEnabled(not is_busy)
        self._enable_results()
        if not is_own:
            said = self.outcome.said.state
            self.outcome.say_state("running" if is_busy else said, self._session.doing * is_busy)
            return
        more = ""
        at, rows = self._results_so_far.at, self._results_so_far.rows
        if state == "running":
            more = "getting ready" if at is None else self._place(at)
        elif state == "stopping":
            more = "after this tile"
        elif state == "cancelled" and at is not None:
            more = (
                f"at model {at.model_number} of {at.models}, image {at.image_number} of {at.images}"
            )
        self.outcome.say_state(state, more)
        if state == "cancelled" and rows:
            self._show_scores(summarise(rows))

    def _enable_results(self) -> None:
        self._results.setVisible(bool(self._results_so_far.rows))
        self.show_button.setEnabled(bool(self.table.selectedItems()))
        self.save_button.setEnabled(not self._session.is_busy)

    def _show_scores(self, models: tuple[ModelScores, ...]) -> None:
        self.table.show_models(models)
        self.plot.show_scores(models, self._results_so_far.rows)
        self._results.show()

    def _show_results(self) -> None:
        """Show what was compared before this dock was opened."""
        known = self._results_so_far
        self.images.places = known.places
        for line in known.rows:
            self.table.add_row(line)
        for said in known.said:
            self.outcome.say(said)
        if known.failure is not None:
            self.outcome.fail(known.failure)
        if known.done is not None:
            self._show_done(known.done)
        elif known.rows:
            self._show_scores(summarise(known.rows, judge=not self._session.is_busy))
        self.bar.setValue(0 if known.at is None else round(1000 * known.at.share))

    def _show_done(self, done: ComparisonDone) -> None:
        self._show_scores(done.models)
        self.outcome.say_result(wording.comparison(done.models))
        self.outcome.say_scores(wording.differences(done.models))

    def _place(self, at: Comparing) -> str:
        return wording.comparing(at, time.monotonic() - self._results_so_far.began)

    def _paint(self) -> None:
        """Take the colours of napari's theme."""
        theme = get_theme(self._viewer.theme)
        paint_main(self.compare_button, theme)
        self.outcome.paint(theme)
        self.plot.paint(theme)
        self.study.paint(theme)

    # --- what happens ------------------------------------------------------------------------

    def _compare(self) -> None:
        if self._session.is_busy:
            return
        self.outcome.clear()
        models = self.chosen_models()
        try:
            if not models:
                raise SettingError("No model is ticked", "", "Tick at least one")
            items = self.images.items()
        except NucleisegError as error:
            self.outcome.fail(error)
            self.outcome.say_state("failed")
            return
        self._pending = None
        self._results_so_far.begin(self.images.places)
        self.table.clear_scores()
        self.bar.setValue(0)
        self._session.compare(models, items, self._results_so_far.kept)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Comparing):
            self.bar.setValue(round(1000 * event.share))
            self.outcome.say_state("running", self._place(event))
        elif isinstance(event, Compared):
            self.table.add_row(event.row)
            self._show_scores(summarise(self._results_so_far.rows, judge=False))
        elif isinstance(event, NotCompared | Told):
            self.outcome.say(event.text)
        elif isinstance(event, ComparisonDone):
            self._show_done(event)
        elif isinstance(event, Opened):
            self._show_pending()

    def _on_failed(self, error: Exception) -> None:
        if self._session.doing == COMPARING or self._pending is not None:
            self._pending = None
            self.outcome.fail(error)

    def _show_selected(self) -> None:
        keys = self.table.selected()
        if len(keys) > _LAYERS_AT_ONCE:
            self.outcome.say(
                f"{len(keys)} results are selected; open a model in the table and select at most "
                f"{_LAYERS_AT_ONCE} of its images."
            )
            return
        # an image that is not open yet is opened by a job, so only one of them
        is_open = [key for key in keys if self.images.layer_of(key[1])[0] is not None]
        closed = [key for key in keys if key not in is_open]
        for model, image in [*is_open, *closed[:1]]:
            self._show_one(model, image)
        if len(closed) > 1:
            self.outcome.say("Images that are not open yet are opened one at a time.")

    def _show_one(self, model: str, image: str) -> None:
        """Show a result on its image, which is opened first where it is not open."""
        layer, plane = self.images.layer_of(image)
        if layer is None:
            self._open_for(model, image)
            return
        try:
            shown = self._bridge.show_labels(
                layer,
                self._results_so_far.kept[model, image],
                self._results_so_far.manifests[model, image],
                short_name(model),
                plane,
            )
        except NucleisegError as error:
            self.outcome.fail(error)
            return
        shown.visible = True
        self._viewer.layers.selection.active = shown

    def _open_for(self, model: str, image: str) -> None:
        path = self.images.file_of(image)
        if path is None:
            self.outcome.say(f"{image} is not open any more; open it and compare again.")
        elif self._session.is_busy:
            self.outcome.say(f"{image} is not open; it can be opened when the work is done.")
        else:
            self._pending = model, image, path
            self._session.open(path)

    def _show_pending(self) -> None:
        if self._pending is None:
            return
        model, image, path = self._pending
        self._pending = None
        opened = [layer for layer in self._viewer.layers if path_of(layer) == path]
        if opened:
            # another micrograph at the same place would shine through
            for layer in self._viewer.layers:
                layer.visible = layer in opened
            self._show_one(model, image)
            self._viewer.reset_view()

    def _ask_where(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Save images.csv and models.csv in a folder")
        if not found:
            return
        try:
            paths = write_tables(Path(found), self._results_so_far.rows)
        except NucleisegError as error:
            self.outcome.fail(error)
            return
        self.outcome.say(f"Saved {' and '.join(map(str, paths))}.")

    def _remember(self, **more: Any) -> None:
        ticked = self.chosen_models()
        names = [self.models.item(i).data(_NAME) for i in range(self.models.count())]
        self._kept_wishes = {
            **self._kept_wishes,
            **self.images.wishes,
            "unticked": [name for name in names if name not in ticked],
            **more,
        }
        memory.remember(compare=self._kept_wishes)
