"""The tab in which two folders of label images are compared, and the results opened."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QFileDialog,
    QHeaderView,
    QLineEdit,
    QProgressBar,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from .. import wording
from ..comparison import Kind
from ..errors import SettingError
from ..evaluation import Evaluated, ImageCompared
from ..events import Event, Notice, Saved
from ..judging import training_folder
from ..session import EVALUATING_FOLDERS
from .bridge import Bridge
from .forms import Fold, shrink
from .outcome import Outcome
from .widgets import add_row, button, column, form_layout, listen, row, small

# title, what it means
COLUMNS = (
    ("Image", "Double-click to open it with its errors"),
    ("AP", "share of nuclei with the right outline, mean over IoU 0.5 to 0.95"),
    ("Dice", "agreement of the nuclei's area"),
    ("Errors", "nuclei that are missed, extra, merged, split or poorly outlined"),
)
_FIELDS = ("prediction", "truth", "images", "out", "index", "split", "group")
_NUMBER = Qt.ItemDataRole.UserRole


class _Line(QTreeWidgetItem):
    """A line that is sorted by its numbers."""

    def __lt__(self, other: QTreeWidgetItem) -> bool:
        at = self.treeWidget().sortColumn()
        mine, theirs = self.data(at, _NUMBER), other.data(at, _NUMBER)
        if mine is None or theirs is None:
            return self.text(at).casefold() < other.text(at).casefold()
        return bool(mine < theirs)


class FoldersView(QObject):
    """Two folders, the scores of their images, and the report.

    Parameters
    ----------
    bridge : Bridge
    owner : QWidget
        The dock.

    Attributes
    ----------
    chosen : Signal(ImageCompared)
        An image of the list that was double-clicked.
    changed : Signal()
        The user chose other folders.
    """

    chosen = Signal(object)
    changed = Signal()

    def __init__(self, bridge: Bridge, owner: QWidget) -> None:
        super().__init__(owner)
        self._session = bridge.session
        self._images: dict[str, ImageCompared] = {}
        self._report: Path | None = None
        self._began = 0.0
        self.threshold = 0.5
        self.fields: dict[str, QLineEdit] = {}
        self.outcome = Outcome()
        self.evaluate_button = button(
            "Evaluate folders", self._evaluate, "Compare all images and write the report"
        )
        self.evaluate_button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel_button = button("Cancel", self._session.cancel, "Stop after this image")
        self._running = row(self.bar, self.cancel_button)
        self.report_button = button(
            "Open report", self._open_report, "Show the report in a browser: tables, curves, images"
        )
        self.list = self._build_list()
        self.content = column(
            self._build_fields(),
            self.evaluate_button,
            self._running,
            self.outcome,
            self.list,
            self.report_button,
            spacing=6,
        )
        self.content.layout().setContentsMargins(8, 6, 8, 6)
        self.content.layout().addStretch(1)
        heard = [
            (self._session.event, self._on_event),
            (self._session.failed, self._on_failed),
            (self._session.state_changed, self._show_state),
        ]
        listen(self, heard)
        self.list.hide()
        self.report_button.hide()
        self._show_state(self._session.state)

    def _build_fields(self) -> QWidget:
        form, more = form_layout(), form_layout()
        self._path(form, "prediction", "Nuclei", "Folder of label images to judge", ask_folder=True)
        about = "Folder of true label images, or a training folder with masks/, or a project"
        self._path(form, "truth", "Truth", about, ask_folder=True)
        self._path(form, "out", "Report in", "Folder for tables and report", ask_folder=True)
        about = "Folder of the micrographs of the same names, to show in the report"
        self._path(more, "images", "Images", about, ask_folder=True)
        about = "CSV file with image_id, and modality, split or other columns: what is in it counts"
        self._path(more, "index", "Index", about, ask_folder=False)
        for name, title, about in (
            ("split", "Split", "Only images with this value in the column split"),
            ("group", "Sum up by", "Column of the index; by itself modality"),
        ):
            self.fields[name] = shrink(QLineEdit())
            add_row(more, title, self.fields[name], about)
        for field in self.fields.values():
            field.editingFinished.connect(self.changed)
        self.fields["prediction"].editingFinished.connect(self._propose_out)
        inside, first = QWidget(), QWidget()
        inside.setLayout(more)
        first.setLayout(form)
        self.more = Fold("More", inside, "Micrographs for the report, and which images count")
        return column(first, self.more)

    def _path(self, form: Any, name: str, title: str, about: str, *, ask_folder: bool) -> None:
        field = shrink(QLineEdit())
        self.fields[name] = field
        browse = small(
            button("...", lambda: self._ask(name, about, ask_folder), f"Choose: {about}")
        )
        add_row(form, title, field, about, browse)

    def _build_list(self) -> QTreeWidget:
        made = QTreeWidget()
        made.setAccessibleName("Images")
        made.setHeaderLabels([title for title, _ in COLUMNS])
        for at, (_, meaning) in enumerate(COLUMNS):
            made.headerItem().setToolTip(at, meaning[0].upper() + meaning[1:])
        made.setRootIsDecorated(False)
        made.setUniformRowHeights(True)
        made.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        made.setSortingEnabled(True)
        made.sortByColumn(1, Qt.SortOrder.AscendingOrder)
        header = made.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        made.setMinimumHeight(180)
        made.itemDoubleClicked.connect(lambda line, _: self._choose(line))
        return made

    # --- what is chosen ------------------------------------------------------------------------

    @property
    def wishes(self) -> dict[str, str]:
        """What to remember for the next time."""
        return {name: field.text() for name, field in self.fields.items()}

    def recall(self, wishes: object) -> None:
        """Choose what was remembered."""
        for name in _FIELDS if isinstance(wishes, dict) else ():
            self.fields[name].setText(str(wishes.get(name) or ""))

    def _place(self, name: str) -> Path | None:
        words = self.fields[name].text().strip()
        return Path(words).expanduser() if words else None

    def _ask(self, name: str, about: str, ask_folder: bool) -> None:
        at = self.fields[name].text()
        if ask_folder:
            found = QFileDialog.getExistingDirectory(self.content, about, at)
        else:
            found, _ = QFileDialog.getOpenFileName(self.content, about, at, "CSV (*.csv)")
        if found:
            self.fields[name].setText(found)
            if name == "prediction":
                self._propose_out()
            self.changed.emit()

    def _propose_out(self) -> None:
        """Propose a folder beside the predictions, so that it is seen where files will be."""
        place = self._place("prediction")
        if place is not None and self._place("out") is None:
            self.fields["out"].setText(str(place.with_name(f"{place.name}-evaluation")))

    # --- what happens ------------------------------------------------------------------------

    def _evaluate(self) -> None:
        if self._session.is_busy:
            return
        self._propose_out()
        self.outcome.clear()
        prediction, truth, out = (self._place(n) for n in ("prediction", "truth", "out"))
        if prediction is None or truth is None or out is None:
            missing = "nuclei" if prediction is None else "truth" if truth is None else "report"
            self.outcome.fail(
                SettingError(f"No folder is chosen for the {missing}", "", "Choose it with ...")
            )
            self.outcome.say_state("failed")
            return
        truth, images = training_folder(truth)
        self._images, self._report, self._began = {}, None, time.monotonic()
        self.list.clear()
        self.report_button.hide()
        self.bar.setRange(0, 0)
        self._session.judge_folders(
            prediction,
            truth,
            out,
            images=self._place("images") or images,
            index=self._place("index"),
            split=self.fields["split"].text().strip() or None,
            group=self.fields["group"].text().strip() or None,
            threshold=self.threshold,
        )

    def _on_event(self, event: Event) -> None:
        if self._session.doing != EVALUATING_FOLDERS:
            return
        if isinstance(event, ImageCompared):
            self._add(event)
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            left = wording.time_left(event.done / event.total, time.monotonic() - self._began)
            self.outcome.say_state("running", f"image {event.done} of {event.total}{left}")
        elif isinstance(event, Notice):
            self.outcome.say(event.text)
        elif isinstance(event, Evaluated):
            self.outcome.say_state("running", "writing the report")
            self.outcome.say_result(wording.evaluated(event))
            self.outcome.say_scores(wording.evaluated_groups(event))
        elif isinstance(event, Saved):
            self._report = event.path
            self.report_button.show()
            self.outcome.say(f"Tables and report are in {event.path.parent}.")

    def _add(self, event: ImageCompared) -> None:
        self._images[event.name] = event
        errors = sum(n for kind, n in event.kinds.items() if kind != Kind.CORRECT.words)
        values = (event.scores["average_precision"], event.scores["dice"], errors)
        line = _Line([event.name, f"{values[0]:.3f}", f"{values[1]:.3f}", str(errors)])
        counts = ", ".join(f"{n} {kind}" for kind, n in event.kinds.items() if n)
        line.setToolTip(0, f"{event.name}\n{counts or 'no nuclei'}")
        for at, value in enumerate(values, 1):
            line.setData(at, _NUMBER, value)
            line.setTextAlignment(at, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.list.addTopLevelItem(line)
        self.list.show()

    def _choose(self, line: QTreeWidgetItem) -> None:
        if self._session.is_busy:
            self.outcome.say("Images can be opened when the work is done.")
        else:
            self.chosen.emit(self._images[line.text(0)])

    def _open_report(self) -> None:
        if self._report is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._report)))

    def _on_failed(self, error: Exception) -> None:
        if self._session.doing == EVALUATING_FOLDERS:
            self.outcome.fail(error)

    def _show_state(self, state: str) -> None:
        is_busy = state in ("running", "stopping")
        is_own = self._session.doing == EVALUATING_FOLDERS
        self._running.setVisible(is_busy and is_own)
        self.cancel_button.setEnabled(state == "running")
        for field in self.fields.values():
            field.setEnabled(not (is_busy and is_own))
        self.evaluate_button.setEnabled(not is_busy)
        if not is_own:
            said = self.outcome.said.state
            self.outcome.say_state("running" if is_busy else said, self._session.doing * is_busy)
            return
        more = {"running": "getting ready", "stopping": "after this image"}.get(state, "")
        if state == "cancelled":
            more = f"{len(self._images)} images were compared; no report was written"
        self.outcome.say_state(state, more)
