"""The dock "Fine-tune", which answers whether a model can learn from one's corrections."""

from __future__ import annotations

import weakref
from functools import partial
from pathlib import Path
from typing import Any

from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QFileDialog, QProgressBar, QTabWidget, QVBoxLayout, QWidget

from .. import wording
from ..before_after import BeforeAfter
from ..errors import NucleisegError
from ..events import BatchDone, Detail, EpochDone, Event, Finetuned, Notice
from ..io import SUFFIXES
from ..lessons import Lesson, all_unfinished, check_name, unfinished
from . import memory
from .again import Again
from .before_after_layers import in_words, show_if_there
from .bridge import bridge_of
from .check_dock import CheckDock
from .closing import end_when_closed
from .corrections_chooser import CorrectionsChooser
from .forms import Fold
from .layers import plane_of, read_layer
from .learning_plot import LearningPlot
from .learning_settings import LearningSettings
from .outcome import Outcome
from .proof_view import ProofView
from .question import agrees
from .widgets import button, column, listen, paint_main, row, scrolled, text


class FinetuneDock(QWidget):
    """Choose corrections and a model, press *Learn*, see whether the new model is better.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands in a proxy of it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._bridge = bridge_of(napari_viewer)
        self._viewer, self._session = self._bridge.viewer, self._bridge.session
        self._learning = self._bridge.learning
        self._found: Lesson | None = None

        self.outcome = Outcome()
        self.corrections = CorrectionsChooser(self._bridge, self._ask_for_file)
        self.settings = LearningSettings(self._session)
        self.plot = LearningPlot()
        self.proof = ProofView(self._look, self._use, self._segment_again)
        self._again = Again(self._bridge, self, self.outcome.fail)
        self._about = text()
        self._choices = column(self.corrections, self.settings, spacing=5)
        self._column = column(
            self._choices,
            self._about,
            self._build_action(),
            self._build_unfinished(),
            self.outcome,
            self.proof,
            self.plot,
            self._build_fold(),
            spacing=5,
        )
        self._column.layout().setContentsMargins(8, 6, 8, 6)
        self._column.layout().addStretch(1)
        self.tabs = QTabWidget()
        self.tabs.addTab(scrolled(self._column), "Learn")
        self.check = CheckDock(napari_viewer)
        self.check.view.repaired.connect(lambda place: self.corrections.take_folder(place))
        self.tabs.addTab(self.check, "Check, where next")
        self.tabs.setTabToolTip(1, "What would spoil a training, and where corrections help most")
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.tabs)
        end_when_closed(self)
        self.setMinimumWidth(260)

        self._recall()
        self._listen()
        self._show_lesson()
        self._paint()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Width that shows most names whole."""
        return QSize(320, self._column.sizeHint().height() + 40)

    # --- what is in it -----------------------------------------------------------------------

    def _build_action(self) -> QWidget:
        self.learn_button = button(
            "Learn from corrections",
            self._learn,
            "Make a new model that is better at images like these; the old one is not touched",
        )
        self.learn_button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.device = text()
        self.pause_button = button("Pause", self._pause, "Rest after the step under way")
        self.keep_button = button(
            "Stop and keep the best",
            self._conclude,
            "Learn no more; compare what was learned so far with the old model",
        )
        self.discard_button = button(
            "Discard", self._discard, "Stop, and throw away what was learned"
        )
        self.cancel_button = button(
            "Cancel", self._learning.cancel, "Stop looking; the new model stays"
        )
        buttons = row(self.pause_button, self.discard_button)
        buttons.layout().setStretch(1, 1)
        parts = (self.bar, buttons, self.keep_button, self.cancel_button, self.device)
        self._running = column(*parts, spacing=4)
        return column(self.learn_button, self._running, spacing=6)

    def _build_unfinished(self) -> QWidget:
        self.unfinished_words = text()
        self.resume_button = button("Resume", self._resume, "Go on where it was stopped")
        self.forget_button = button(
            "Discard", self._discard_unfinished, "Throw away what it has learned"
        )
        self._unfinished = column(
            self.unfinished_words, row(self.resume_button, self.forget_button), spacing=3
        )
        return self._unfinished

    def _build_fold(self) -> QWidget:
        self.reset_button = button("Reset", self.settings.reset, "Take back all settings")
        inside = column(self.settings.expert, self.reset_button, indent=12, spacing=6)
        self.expert = Fold("Expert", inside, "How the network learns; what is proposed is good")
        return self.expert

    def _listen(self) -> None:
        learning = self._learning
        for part in (self.corrections, self.settings):
            part.failed.connect(self.outcome.fail)
            part.changed.connect(self._remember)
        self.settings.folder.editingFinished.connect(self._find_unfinished)
        self.expert.toggled.connect(lambda _: self._remember())
        heard = [
            (learning.event, self._on_event),
            (learning.failed, self.outcome.fail),
            (learning.state_changed, self._show_state),
        ]
        listen(self, heard)
        bare = [(learning.began, self._show_lesson), (self._viewer.events.theme, self._paint)]
        listen(self, bare, bare=True)

    # --- what it shows -----------------------------------------------------------------------

    def _show_lesson(self) -> None:
        """Show what is known of the last lesson, also what came while no dock was open."""
        learning = self._learning
        lesson, done, looked = learning.lesson, learning.result, learning.looked
        self.outcome.clear()
        self.plot.draw(learning.curve)
        self.plot.setVisible(lesson is not None)
        self._about.setText("" if lesson is None else _in_short(lesson))
        for notice in learning.notices:
            self._say(notice)
        if done is None:
            self.proof.hide()
        else:
            self._show_result(done)
        if looked is not None:
            self.outcome.say_scores(in_words(looked))
        if learning.failure is not None:
            self.outcome.fail(learning.failure)
        self._show_progress()
        self._show_state(learning.state)

    def _show_result(self, done: Finetuned) -> None:
        self.proof.show_result(done)
        if self._learning.adopted:
            self.proof.show_adopted(self._learning.adopted, len(self._again.images()))
        self.outcome.say_result(f"{done.name} is ready")

    def _show_state(self, state: str) -> None:
        learning, progress = self._learning, self._learning.progress
        is_busy, is_open = learning.is_busy, state in ("running", "paused")
        self._running.setVisible(is_busy)
        self.learn_button.setVisible(not is_busy)
        # what is chosen cannot be changed now: its room is for the plots
        is_learning = is_busy and not learning.is_looking
        self._choices.setVisible(not is_learning)
        self._about.setVisible(is_learning)
        self.expert.setVisible(not is_learning)
        self._choices.setEnabled(not is_busy)
        self.expert.setEnabled(not is_busy)
        self.proof.setEnabled(not is_busy)
        self.pause_button.setText("Continue" if state == "paused" else "Pause")
        self.pause_button.setEnabled(is_open)
        self.keep_button.setEnabled(is_open and progress.is_learning)
        self.discard_button.setEnabled(is_open)
        for of_learning in (self.pause_button, self.keep_button, self.discard_button):
            of_learning.setVisible(not learning.is_looking)
        self.cancel_button.setVisible(learning.is_looking)
        self.cancel_button.setEnabled(is_open)
        if is_busy:
            self._unfinished.hide()
        else:
            self._find_unfinished()
        more = ""
        if is_open:
            more = progress.words
        elif state == "stopping":
            more = "after this step"
        elif state == "done" and not self.outcome.result.text():
            state = "idle"
        self.outcome.say_state(state, more)

    def _show_progress(self) -> None:
        progress, state = self._learning.progress, self._learning.state
        self.bar.setRange(0, 0 if progress.share is None else 1000)
        self.bar.setValue(round(1000 * (progress.share or 0)))
        self.device.setText(progress.device)
        self.device.setVisible(bool(progress.device))
        self.keep_button.setEnabled(state in ("running", "paused") and progress.is_learning)
        if state in ("running", "paused"):
            self.outcome.say_state(state, progress.words)

    def _find_unfinished(self) -> None:
        """Offer to go on with a fine-tuning that was stopped."""
        places = [self.settings.out("")] if self.settings.folder.text().strip() else []
        found: list[Lesson] = []
        for place in (*places, None):
            whole, damaged = all_unfinished(place)
            found += whole
            for error in damaged:
                self.outcome.say(str(error))
        self._found = found[0] if found else None
        self._unfinished.setVisible(self._found is not None)
        if self._found is not None:
            self.unfinished_words.setText(f"{wording.unfinished(self._found)} Go on?")

    def _paint(self) -> None:
        """Take the colours of napari's theme."""
        theme = get_theme(self._viewer.theme)
        paint_main(self.learn_button, theme)
        self.outcome.paint(theme)
        self.plot.paint(theme)
        self.proof.paint(theme)

    # --- learning ----------------------------------------------------------------------------

    def _learn(self) -> None:
        try:
            config = self.settings.config()
            out = self.settings.out(str(config.name))
            data, prepare = self.corrections.material(out)
            check_name(str(config.name), out)
            earlier = unfinished(out)
        except NucleisegError as error:
            self._fail(error)
            return
        if earlier is not None and not agrees(
            self,
            f"{earlier.config.name} has not learned to the end. Start anew?",
            f"{wording.unfinished(earlier)} What it has learned is lost.",
            "Start anew",
        ):
            return
        layer = self.corrections.layer
        source = layer.name if prepare is not None and layer is not None else ""
        self._begin(Lesson(data, config, out, source), prepare)

    def _resume(self) -> None:
        if self._found is not None:
            self._begin(self._found, None, resume=True)

    def _begin(self, lesson: Lesson, prepare: Any, *, resume: bool = False) -> None:
        self._remember()
        self._learning.start(
            lesson,
            prepare,
            resume=resume,
            own_process=self.settings.own_process.isChecked(),
        )

    def _on_event(self, event: Event) -> None:
        learning = self._learning
        self._show_progress()
        if isinstance(event, Finetuned):
            self._show_result(event)
        elif isinstance(event, BeforeAfter):
            self.outcome.say_scores(in_words(event))
        elif isinstance(event, BatchDone) and len(learning.curve.steps) > 1:
            self.plot.draw_loss(learning.curve)
        elif isinstance(event, (BatchDone, EpochDone)):
            self.plot.draw(learning.curve)
        elif isinstance(event, Notice) and not learning.is_looking:
            self._say(event)

    def _say(self, notice: Notice) -> None:
        """Say what is for everybody: epochs and rates are for experts."""
        if self.expert.is_open or not isinstance(notice, Detail):
            self.outcome.say(notice.text)

    def _pause(self) -> None:
        if self._learning.state == "paused":
            self._learning.go_on()
        else:
            self._learning.pause()

    def _conclude(self) -> None:
        self._learning.conclude()
        self.keep_button.setEnabled(False)

    def _discard(self) -> None:
        if not self._learning.progress.has_learned or agrees(
            self,
            "Throw away what was learned?",
            "The old model is not touched.",
            "Throw away",
            "Go on learning",
        ):
            self._learning.cancel(discard=True)

    def _discard_unfinished(self) -> None:
        found = self._found
        if found is not None and agrees(
            self,
            f"Throw away what {found.config.name} has learned?",
            "The model it began with is not touched.",
            "Throw away",
        ):
            try:
                found.end(discard=True)
            except NucleisegError as error:
                self._fail(error)
            self._find_unfinished()

    def _fail(self, error: Exception) -> None:
        self.outcome.clear()
        self.outcome.fail(error)
        self.outcome.say_state("failed")

    # --- what it brought ---------------------------------------------------------------------

    def _look(self) -> None:
        """Let both models segment the image that is chosen."""
        learning, layer = self._learning, self.corrections.layer
        done, lesson = learning.result, learning.lesson
        if done is None or lesson is None:
            return
        if layer is None:
            self.outcome.say("Open an image to see on it what the new model finds.")
            return
        kind = self.corrections.images.kind
        plane = plane_of(layer, self._viewer.dims.current_step) if kind == "stack" else ()
        try:
            micrograph = read_layer(layer, kind, plane)
        except NucleisegError as error:
            self._fail(error)
            return
        settings = self.corrections.images.settings
        config = self._session.config.model_copy(update=settings)
        old, viewer = lesson.config.model, weakref.ref(self._viewer)
        learning.look(
            micrograph, config, partial(show_if_there, viewer, weakref.ref(layer), old, done.name)
        )

    def _use(self) -> None:
        """Adopt the new model."""
        done, lesson = self._learning.result, self._learning.lesson
        if done is None or lesson is None:
            return
        if not done.recommended and not agrees(
            self,
            f"{done.name} is not recommended. Use it all the same?",
            f"{done.reason}.",
            "Use it",
            f"Stay with {lesson.config.model}",
        ):
            return
        try:
            card = self._learning.adopt()
        except NucleisegError as error:
            self.outcome.fail(error)
            return
        if card is None:
            return
        self._session.model = card.name
        self.proof.show_adopted(card.name, len(self._again.images()))

    def _segment_again(self) -> None:
        self.proof.again_button.hide()
        self._again.start()

    # --- what is remembered ------------------------------------------------------------------

    def _recall(self) -> None:
        kept = memory.recall().get("finetune", {})
        if isinstance(kept, dict):
            self.corrections.recall(kept)
            self.settings.recall(kept)
            self.expert.open(bool(kept.get("expert")))

    def _remember(self) -> None:
        wishes = {**self.settings.wishes, **self.corrections.wishes}
        memory.remember(finetune={**wishes, "expert": self.expert.is_open})

    def _ask_for_file(self) -> None:
        endings = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        path, _ = QFileDialog.getOpenFileName(
            self, "Open an image", "", f"Micrographs ({endings});;All files (*)"
        )
        if path:
            self._session.open(Path(path))


def _in_short(lesson: Lesson) -> str:
    where = lesson.source or lesson.data.name
    return f"{lesson.config.model} → {lesson.config.name} · from {where}"
