"""Training data, looked at before it trains: findings, remedies, and what the network sees."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from ..config import FinetuneConfig
from ..doctor import Checked, ImageChecked, PairRead, check_for, read_pair
from ..events import Event, Saved
from ..preview import BatchDrawn, draw_batch
from .batch_preview import BatchPreview
from .bridge import Bridge
from .finding_table import FindingTable, Line
from .outcome import Outcome
from .pair_layers import look_at_nucleus, show_pair
from .widgets import button, column, listen, paint_main, row

CHECKING, REPAIRING, DRAWING = "Checking", "Repairing a copy of", "Drawing a training batch of"


class CheckView(QWidget):
    """Looks at a training folder, offers remedies for copies, and shows a training batch.

    Parameters
    ----------
    bridge : Bridge
    config : callable, optional
        Gives the settings of the fine-tuning that is to come; by default those of the program with
        the model that is chosen.

    Attributes
    ----------
    repaired : Signal(Path)
        A repaired copy was written to this folder, which is now the one to train on.
    """

    repaired = Signal(object)

    def __init__(self, bridge: Bridge, config: Callable[[], FinetuneConfig] | None = None) -> None:
        super().__init__()
        self._bridge, self._session, self._viewer = bridge, bridge.session, bridge.viewer
        self._config = config or (lambda: FinetuneConfig(model=self._session.model))
        self._folder: Path | None = None
        self._doing = ""
        self._last: ImageChecked | None = None
        self._copy: Path | None = None
        self._step = 0
        # what was clicked and is being read
        self._asked: Line | None = None

        self.check_button = button(
            "Check", self._check, "Look at every image and label image for what spoils a training"
        )
        self.check_button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel_button = button(
            "Cancel", self._session.cancel, "Stop after the image under way; what was found stays"
        )
        self._running = row(self.bar, self.cancel_button)
        self.outcome = Outcome()
        self.table = FindingTable()
        self.all_button = button(
            "All remedies", self.table.choose_all, "Choose the remedy in every row that has one"
        )
        self.repair_button = button(
            "Write repaired copy", self._repair, "Originals are never changed"
        )
        self._repairs = row(self.repair_button, self.all_button)
        self.preview_button = button(
            "Preview of a training batch",
            partial(self.show_batch, 0),
            "Draw the patches of the first batch exactly as the network will see them",
        )
        self.another_button = button(
            "Another", self._show_next, "Draw the patches of the next batch"
        )
        self.preview = BatchPreview()

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self._found = column(self.table, self._repairs, spacing=4)
        self._drawn = column(row(self.preview_button, self.another_button), self.preview, spacing=4)
        for part in (self.check_button, self._running, self.outcome, self._found, self._drawn):
            layout.addWidget(part)

        self.table.chosen.connect(self._open)
        self.table.changed.connect(self._enable)
        heard: list[tuple[Any, Callable[..., Any]]] = [
            (self._session.event, self._on_event),
            (self._session.failed, self._on_failed),
            (self._session.state_changed, self._show_state),
        ]
        listen(self, heard)
        listen(self, [(self._viewer.events.theme, self._paint)], bare=True)
        self._show_state(self._session.state)
        self._paint()

    # --- what it is about ----------------------------------------------------------------------

    @property
    def folder(self) -> Path | None:
        """The training folder or project to look at."""
        return self._folder

    @folder.setter
    def folder(self, folder: Path | None) -> None:
        if folder != self._folder:
            if self._is_own and self._session.is_busy:
                self._session.cancel()
            self._doing, self._asked = "", None
            self._folder = folder
            self.table.clear_findings()
            self.preview.hide()
            self.outcome.clear()
            self._show_state("idle")

    def look(self, folder: Path) -> None:
        """Look at a folder now."""
        self.folder = folder
        self._check()

    def show_batch(self, step: int) -> None:
        """Draw the patches of a step of the training that is to come."""
        if self._folder is not None and not self._session.is_busy:
            self._step = step
            config = self._config()
            self._start(DRAWING, draw_batch, self._folder, config, step)

    # --- what it shows -------------------------------------------------------------------------

    @property
    def _is_own(self) -> bool:
        return bool(self._doing) and self._session.doing == self._doing

    def _show_state(self, state: str) -> None:
        is_busy = state in ("running", "stopping")
        self._running.setVisible(is_busy and self._is_own)
        self.cancel_button.setEnabled(state == "running")
        self._enable()
        if not self._is_own:
            said = self.outcome.said.state
            self.outcome.say_state("running" if is_busy else said, self._session.doing * is_busy)
            return
        more, last = "", self._last
        if state == "running":
            more = self._doing
        elif state == "stopping":
            more = "after this image" if last is not None else "in a moment"
        elif state == "cancelled" and last is not None:
            more = f"after image {last.done} of {last.total}; what was found stays"
        self.outcome.say_state(state, more)
        if state == "done" and self._copy is not None:
            # when all others have heard that it is done
            QTimer.singleShot(0, self._look_at_copy)

    def _enable(self) -> None:
        is_free = self._folder is not None and not self._session.is_busy
        for pressed in (self.check_button, self.preview_button, self.another_button):
            pressed.setEnabled(is_free)
        self.another_button.setVisible(not self.preview.isHidden())
        chosen = sum(len(fixes) for fixes in self.table.chosen_fixes().values())
        self._found.setVisible(bool(self.table.rowCount()))
        self._repairs.setVisible(bool(self.table.remedies))
        self.repair_button.setText(f"Write repaired copy ({chosen})")
        self.repair_button.setEnabled(is_free and chosen > 0)
        self.all_button.setEnabled(is_free)

    def _paint(self) -> None:
        """Take the colours of napari's theme."""
        theme = get_theme(self._viewer.theme)
        paint_main(self.check_button, theme)
        self.outcome.paint(theme)

    # --- what happens --------------------------------------------------------------------------

    def _start(self, doing: str, function: Callable[..., Any], *args: Any) -> None:
        """Begin work in the child process."""
        said = self.outcome.result.text()
        self.outcome.clear()
        if doing == DRAWING and said:
            self.outcome.say_result(said)  # what the check came to still holds
        self._last, self._copy, self._asked = None, None, None
        self.bar.setRange(0, 0)
        name = "" if self._folder is None else self._folder.resolve().name
        self._doing = f"{doing} {name}"
        self._session.do(self._doing, lambda work_in: work_in(function, *args))

    def _check(self) -> None:
        if self._folder is not None and not self._session.is_busy:
            self.table.clear_findings()
            self._start(CHECKING, check_for, self._folder, self._config().model, {}, None)

    def _repair(self) -> None:
        fixes = self.table.chosen_fixes()
        if self._folder is not None and fixes and not self._session.is_busy:
            out = _free_folder(self._folder)
            model = self._config().model
            self._start(REPAIRING, check_for, self._folder, model, fixes, out)

    def _look_at_copy(self) -> None:
        copy, self._copy = self._copy, None
        if copy is None or self._session.is_busy:
            return
        said = self.outcome.notices.text()
        self.look(copy)
        self.outcome.say(said)
        self.repaired.emit(copy)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PairRead):
            self._show_pair(event)
        elif not self._is_own:
            return
        elif isinstance(event, ImageChecked):
            self._last = event
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            self.outcome.say_state("running", f"image {event.done} of {event.total}")
            if self._doing.startswith(CHECKING):
                self.table.add_image(event)
                self._enable()
        elif isinstance(event, Checked) and self._doing.startswith(CHECKING):
            for finding in event.findings:
                self.table.add_finding(finding)
            self.outcome.say_result(_summary(event))
        elif isinstance(event, Saved):
            self._copy = event.path
            self.outcome.say(
                f"{event.what} are in {event.path}, with the remedies. Originals are as they were."
            )
        elif isinstance(event, BatchDrawn):
            self.preview.show_batch(event)
            self._enable()

    def _on_failed(self, error: Exception) -> None:
        if self._asked is not None or (self._is_own and self._session.is_busy):
            self._asked = None
            self.outcome.fail(error)

    def _show_next(self) -> None:
        self.show_batch(self._step + 1)

    def _open(self, line: Line) -> None:
        """Read what a row is about, to show it."""
        if line.image is not None:
            self._asked = line
            self._session.ask("pair", f"Reading {line.image.name}", read_pair, line.image.pair)

    def _show_pair(self, read: PairRead) -> None:
        asked, self._asked = self._asked, None
        if asked is None or asked.image is None or asked.image.pair != read.pair:
            return
        _, labels = show_pair(self._bridge, read)
        numbers = () if asked.finding is None else asked.finding.numbers
        look_at_nucleus(self._viewer, labels, numbers[0] if numbers else 0)


def _summary(found: Checked) -> str:
    """Say what a check came to."""
    total = len(found.images)
    bad = sum(any(f.is_problem for f in image.findings) for image in found.images)
    images = "1 image" if total == 1 else f"{total} images"
    elsewhere = sum(f.is_problem for f in found.findings)
    if not bad and not elsewhere:
        return f"{images} checked, no problems"
    words = f"{bad} of {images} with problems"
    return f"{words}, {elsewhere} about the folder" if elsewhere else words


def _free_folder(folder: Path) -> Path:
    """A folder beside another that is not there yet."""
    whole = folder.resolve()
    wanted, count = whole.with_name(f"{whole.name}-repaired"), 1
    while wanted.exists():
        count += 1
        wanted = whole.with_name(f"{whole.name}-repaired-{count}")
    return wanted
