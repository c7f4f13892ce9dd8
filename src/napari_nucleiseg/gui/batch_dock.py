"""The dock "Batch", which segments all images of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QLineEdit, QProgressBar, QVBoxLayout, QWidget

from .. import wording
from ..batch_config import BatchConfig
from ..batch_events import BatchEnded, FileBegun, FileFailed, FileFinished
from ..batch_plan import BatchPlanned
from ..batch_progress import BatchProgress
from ..batch_record import read_record
from ..child import ChildError
from ..errors import FileError, NucleisegError, SettingError
from ..events import Event, TileDone
from ..report import GALLERY
from ..session import BATCH
from ..session_work import NotPlanned, ResultNotOpened, ResultOpened
from . import memory
from .batch_form import BatchForm
from .bridge import bridge_of
from .closing import end_when_closed
from .file_table import FileTable
from .forms import shrink
from .layers import path_of, series_of
from .model_chooser import ModelChooser
from .outcome import Outcome
from .widgets import add_row, button, column, listen, paint_main, row, scrolled

# pattern and folder of the results belong to one task, these to a person
_KEPT = {"recursive", "overlay", "table", "exports", "resume", "folder"}


class BatchDock(QWidget):
    """Choose a folder, press *Run*, and every image of it gets its label image.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands in a proxy of it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._bridge = bridge_of(napari_viewer)
        self._viewer, self._session = self._bridge.viewer, self._bridge.session
        # whether what is looked for shall run as soon as it is found
        self._runs_then = False
        self._looks = False

        self.outcome = Outcome()
        self.form = BatchForm()
        self._build_choices()
        self.table = FileTable()
        about = "Show all files as small pictures with outlines in the browser"
        self.gallery_button = button("Open gallery", self._open_gallery, about)
        parts = (self._build_action(), self.outcome, self.gallery_button, self.table)
        self._column = column(self.form, *parts, spacing=6)
        self._column.layout().setContentsMargins(8, 6, 8, 6)
        self._column.layout().setStretchFactor(self.table, 100)
        self._column.layout().addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scrolled(self._column))
        end_when_closed(self)
        self.setMinimumWidth(260)

        self._listen()
        self.models.show_models()
        self._recall()
        self._show_channel()
        self._show_state(self._session.state)
        self._show_batch()
        self._paint()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Width that shows most names whole."""
        return QSize(320, self._column.sizeHint().height())

    # --- what is in it -----------------------------------------------------------------------

    def _build_choices(self) -> None:
        self.channel = shrink(QLineEdit())
        self.channel.setPlaceholderText("proposed for each image")
        self.channel.editingFinished.connect(self._choose_channel)
        about = "Channel with the nuclei, by name or number from 1; empty: proposed for each image"
        add_row(self.form.form, "Channel", self.channel, about)
        self.models = ModelChooser(self._session, self.form.form, self)

    def _build_action(self) -> QWidget:
        self.look_button = button(
            "List files", self._look, "Show which files would be segmented, and how long it takes"
        )
        self.run_button = button("Run", self._run, "Segment all images of the folder")
        self.run_button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.pause_button = button("Pause", self._pause, "Wait after the tile under way")
        about = "Stop after the tile under way; files that are done stay, Run goes on with the rest"
        self.cancel_button = button("Cancel", self._session.cancel, about)
        self._running = row(self.bar, self.pause_button, self.cancel_button)
        return column(row(self.run_button, self.look_button), self._running, spacing=6)

    def _listen(self) -> None:
        session = self._session
        self.form.changed.connect(self._change)
        self.models.failed.connect(self.outcome.fail)
        self.table.opened.connect(self._open)
        heard = [
            (session.event, self._on_event),
            (session.failed, self._on_failed),
            (session.state_changed, self._show_state),
        ]
        listen(self, heard)
        heard = [(session.config_changed, self._show_channel)]
        heard.append((self._viewer.events.theme, self._paint))
        listen(self, heard, bare=True)

    # --- what it shows -----------------------------------------------------------------------

    def _show_channel(self) -> None:
        self.channel.setText(self._session.config.channel or "")

    def _show_state(self, state: str) -> None:
        is_busy = state in ("running", "stopping")
        is_own = self._session.doing == BATCH
        self._running.setVisible(is_busy and is_own)
        self.pause_button.setText("Pause")
        self.pause_button.setEnabled(state == "running")
        self.cancel_button.setEnabled(state == "running")
        for widget in (self.form, self.run_button, self.look_button):
            widget.setEnabled(not is_busy)
        if not is_own:
            said = self.outcome.said.state
            self.outcome.say_state("running" if is_busy else said, self._session.doing * is_busy)
            return
        more = ""
        if state == "running":
            more = "getting ready"
        elif state == "stopping":
            more = "after this tile"
        elif state in ("cancelled", "failed"):
            self._show_stopped()
        self.outcome.say_state(state, more)

    def _show_stopped(self) -> None:
        """Say what is done of a run that did not come to its end."""
        batch = self._session.batch
        if batch is None:
            return
        for line in range(len(batch.files)):
            if line not in batch.finished and line not in batch.failed:
                self.table.say(line, "waiting")
        done = f"{len(batch.finished)} of {_files(len(batch.files))} done"
        self.outcome.say_result(f"{done}. Run goes on with the rest.")
        self._show_gallery_button()

    def _show_progress(self, batch: BatchProgress) -> None:
        self.bar.setValue(round(1000 * batch.share))
        left = wording.time_left(batch.share, batch.seconds)
        state = "paused" if self._session.is_paused else "running"
        self.outcome.say_state(state, f"file {batch.number + 1} of {len(batch.files)}{left}")

    def _show_batch(self) -> None:
        """Show a run, or a plan, as a dock does that was open all the time."""
        batch = self._session.batch
        self.table.setVisible(batch is not None)
        self._show_gallery_button()
        if batch is None:
            return
        self.table.show_files(batch.files)
        for event in (*batch.finished.values(), *batch.failed.values()):
            self._show_file(event)
        is_own = self._session.doing == BATCH
        if is_own and self._session.is_busy:
            self.table.say(batch.number, "running")
            self._show_progress(batch)
        elif batch.ended is not None:
            self._show_end(batch.ended)
        elif is_own and self._session.state in ("cancelled", "failed"):
            self._show_stopped()
        else:
            self._show_plan(batch.plan)

    def _paint(self) -> None:
        """Take the colours of napari's theme."""
        theme = get_theme(self._viewer.theme)
        paint_main(self.run_button, theme)
        self.outcome.paint(theme)

    # --- what happens ------------------------------------------------------------------------

    def _look(self) -> None:
        """List the files; nothing is segmented."""
        self._plan(False)

    def _run(self) -> None:
        self._plan(True)

    def _plan(self, runs_then: bool) -> None:
        if self._session.is_busy or self._looks:
            return
        self.outcome.clear()
        self._choose_channel()
        memory.remember_config(self._session.config)
        if not self.form.has_folder:
            self._fail(SettingError("No folder is chosen", "", "Name the folder of the images"))
            return
        self._runs_then, self._looks = runs_then, True
        self.outcome.say_state("running", "looking for images")
        self._session.plan_batch(self.form.config)

    def _fail(self, error: Exception) -> None:
        self._looks = False
        self.outcome.fail(error)
        self.outcome.say_state("failed")

    def _on_failed(self, error: Exception) -> None:
        if self._session.is_busy and self._session.doing == BATCH:
            self.outcome.fail(error)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, BatchPlanned):
            self._looks = False
            self.table.show_files(event.files)
            self.table.show()
            self._show_gallery_button()
            self._show_plan(event)
            if self._runs_then and not self._session.is_busy:
                self._start()
        elif isinstance(event, NotPlanned):
            self._fail(event.error)
        elif isinstance(event, ResultOpened):
            self._show_result(event)
        elif isinstance(event, ResultNotOpened):
            self.outcome.fail(event.error)
        elif self._session.doing == BATCH and self._session.is_busy:
            self._on_progress(event)

    def _on_progress(self, event: Event) -> None:
        batch = self._session.batch
        if batch is None:
            return
        if isinstance(event, FileBegun):
            self.table.say(event.number, "running")
            self.table.show_line(event.number)
            self._show_progress(batch)
        elif isinstance(event, TileDone):
            self.table.say(batch.number, f"tile {event.done} of {event.total}")
            self._show_progress(batch)
        elif isinstance(event, FileFinished | FileFailed):
            self._show_file(event)
        elif isinstance(event, BatchEnded):
            self._show_end(event)

    def _show_file(self, event: FileFinished | FileFailed) -> None:
        if isinstance(event, FileFailed):
            about = "Double-click to see why, and the image if it can be opened"
            self.table.say(event.number, "failed", f"{event.reason}\n{about}")
            return
        status = "done already" if event.was_done else "done"
        about = "Double-click to open it with its nuclei"
        status += " (see note)" if event.notices else ""
        more = "\n".join((*event.notices, about))
        self.table.say(event.number, status, more, event.nuclei)

    def _show_end(self, event: BatchEnded) -> None:
        batch = self._session.batch
        self.bar.setValue(1000)
        self.outcome.say_result(_summary(event))
        if batch is not None and len(batch.failed) == 1:
            [failed] = batch.failed.values()
            self.outcome.say(f"{batch.files[failed.number].item.path.name}: {failed.reason}")
        elif batch is not None and batch.failed:
            # all reasons would leave no room for the table
            said = f"{_files(len(batch.failed))} failed. Double-click one in the table to see why."
            self.outcome.say(said)
        if batch is not None:
            self.outcome.say(f"Results are in {batch.config.out}")
        self._show_gallery_button()

    def _show_plan(self, plan: BatchPlanned) -> None:
        done = sum(file.is_done for file in plan.files)
        parts = [_files(len(plan.files))]
        known = [file.megapixels for file in plan.files if file.megapixels is not None]
        parts += [wording.megapixels(sum(known))] if known else []
        parts += [f"{done} done already"] if done else []
        if plan.seconds is not None and done < len(plan.files):
            parts.append(wording.estimate(plan.files, plan.seconds))
        self.outcome.say_state("idle")
        self.outcome.say_result(" · ".join(parts))
        for problem in plan.problems:
            self.outcome.say(problem)

    def _start(self) -> None:
        self.outcome.say_result("")
        self.outcome.result.hide()
        self.bar.setValue(0)
        self._session.run_batch()

    def _pause(self) -> None:
        if self._session.is_paused:
            self._session.go_on()
        else:
            self._session.pause()
        self.pause_button.setText("Go on" if self._session.is_paused else "Pause")
        if self._session.batch is not None:
            self._show_progress(self._session.batch)

    def _open(self, number: int) -> None:
        """Open a file with its nuclei, also while others are segmented."""
        batch = self._session.batch
        if batch is None:
            return
        event, file = batch.finished.get(number), batch.files[number]
        if number in batch.failed:
            self._open_failed(batch.failed[number], file.item.path)
            return
        if event is None and not file.is_done:
            self.outcome.say(f"{file.item.path.name} is not segmented yet.")
            return
        item, out = file.item, batch.config.out
        manifest = item.result(out, "_labels.json")
        if event is None:
            # done by another run; where its record is gone by now, who reads it says so
            labels = manifest.with_name(str(read_record(item, out).get("labels")))
        else:
            labels = event.labels
        self._session.open_result(item.path, labels, manifest, item.series)

    def _open_failed(self, event: FileFailed, path: Path) -> None:
        """Say why a file failed, and show its image, which may tell more."""
        error = FileError(event.reason)
        error.__cause__ = ChildError(event.traceback)
        self.outcome.fail(error)
        if all(path_of(layer) != path for layer in self._viewer.layers):
            self._session.open_beside(path)

    def _show_gallery_button(self) -> None:
        gallery = self._gallery
        self.gallery_button.setVisible(gallery is not None and gallery.is_file())

    def _open_gallery(self) -> None:
        """Show the page of the last run into this folder."""
        if self._gallery is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._gallery)))

    @property
    def _gallery(self) -> Path | None:
        batch = self._session.batch
        return None if batch is None else (batch.config.out / GALLERY).absolute()

    def _show_result(self, event: ResultOpened) -> None:
        path, series = event.micrograph.path, event.micrograph.series
        same = (x for x in self._viewer.layers if (path_of(x), series_of(x)) == (path, series))
        layer = next(same, None)
        if layer is None:
            layer = self._bridge.add_micrograph(event.micrograph)
        try:
            shown = self._bridge.show_labels(layer, event.labels, event.manifest, "")
        except NucleisegError as error:
            self.outcome.fail(error)
            return
        self._viewer.layers.selection.active = shown

    def _choose_channel(self) -> None:
        channel = self.channel.text().strip() or None
        self._session.config = self._session.config.model_copy(update={"channel": channel})

    def _change(self) -> None:
        self.form.show_results_folder()
        kept = self.form.config.model_dump(mode="json", include=_KEPT)
        memory.remember(batch=kept)

    def _recall(self) -> None:
        kept: Any = memory.recall().get("batch", {})
        try:
            config = BatchConfig.model_validate(kept)
        except (ValueError, SettingError):
            # of another version, or for a program that is no longer known
            config = BatchConfig()
        self.form.show_config(config)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _summary(event: BatchEnded) -> str:
    """One line about a whole run."""
    done = event.segmented + event.were_done
    parts = [f"{done} of {_files(event.total)} done", wording.nuclei(event.nuclei)]
    parts += [f"{event.were_done} done before"] if event.were_done else []
    parts += [f"{event.failed} failed"] if event.failed else []
    return " · ".join((*parts, wording.duration(event.seconds)))
