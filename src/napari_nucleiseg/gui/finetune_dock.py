"""The dock "Fine-tune", which answers whether a model can learn from one's corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QFileDialog, QProgressBar, QTabWidget, QVBoxLayout, QWidget

from ..before_after import BeforeAfter
from ..errors import NucleisegError
from ..events import Detail, Event, Finetuned, Notice
from ..io import SUFFIXES
from ..learning_progress import Progress
from ..lessons import Lesson, adopt, all_unfinished, check_name, unfinished
from . import memory
from .again import Again
from .before_after_layers import in_words, show_before_after
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
        self._progress = Progress()
        self._done: Finetuned | None = None
        self._old_model = ""
        self._found: Lesson | None = None
        self._looked_at: Image | None = None
        self._is_looking = False

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
        self.plot.hide()
        self._find_unfinished()
        self._show_state(self._learning.state)
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
        buttons = row(self.pause_button, self.keep_button, self.discard_button)
        for at in range(3):
            buttons.layout().setStretch(at, 1 if at == 1 else 0)
        self._running = column(self.bar, buttons, self.device, spacing=4)
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
        listen(self, [(self._viewer.events.theme, self._paint)], bare=True)

    # --- what it shows -----------------------------------------------------------------------

    def _show_state(self, state: str) -> None:
        learning, progress = self._learning, self._progress
        is_busy, is_open = learning.is_busy, state in ("running", "paused")
        self._running.setVisible(is_busy)
        self.learn_button.setVisible(not is_busy)
        # what is chosen cannot be changed now: its room is for the plots
        is_learning = is_busy and not self._is_looking
        self._choices.setVisible(not is_learning)
        self._about.setVisible(is_learning)
        self.expert.setVisible(not is_learning)
        self._choices.setEnabled(not is_busy)
        self.expert.setEnabled(not is_busy)
        self.proof.setEnabled(not is_busy)
        self.pause_button.setText("Continue" if state == "paused" else "Pause")
        self.pause_button.setEnabled(is_open)
        self.keep_button.setVisible(not self._is_looking)
        self.keep_button.setEnabled(is_open and progress.is_learning)
        self.discard_button.setEnabled(is_open)
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
        progress, state = self._progress, self._learning.state
        self.bar.setRange(0, 0 if progress.share is None else 1000)
        self.bar.setValue(round(1000 * (progress.share or 0)))
        self.device.setText(progress.device)
        self.device.setVisible(bool(progress.device))
        self.keep_button.setEnabled(state in ("running", "paused") and progress.is_learning)
        if state in ("running", "paused"):
            self.outcome.say_state(state, progress.words)

    def _find_unfinished(self) -> None:
        """Offer to go on with a fine-tuning that was stopped."""
        self._found = None
        try:
            chosen = self.settings.out("") if self.settings.folder.text().strip() else None
            found = [*(all_unfinished(chosen) if chosen else ()), *all_unfinished()]
            self._found = found[0] if found else None
        except NucleisegError as error:
            self.outcome.fail(error)
        self._unfinished.setVisible(self._found is not None)
        if self._found is not None:
            name = self._found.config.name
            self.unfinished_words.setText(f"{name} has not learned to the end. Go on?")

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
            "What it has learned is lost.",
            "Start anew",
        ):
            return
        self._begin(Lesson(data, config, out), prepare)

    def _resume(self) -> None:
        if self._found is not None:
            self._begin(self._found, None, resume=True)

    def _begin(self, lesson: Lesson, prepare: Any, *, resume: bool = False) -> None:
        self._remember()
        self.outcome.clear()
        self.proof.hide()
        self.plot.clear()
        self.plot.show()
        self._progress, self._is_looking = Progress(), False
        self._old_model = lesson.config.model
        self._about.setText(self._in_short(lesson))
        self._show_progress()
        self._learning.start(
            lesson,
            prepare,
            resume=resume,
            own_process=self.settings.own_process.isChecked(),
        )

    def _in_short(self, lesson: Lesson) -> str:
        layer = self.corrections.layer
        is_open = lesson.data.parent == lesson.out and layer is not None
        where = layer.name if is_open else lesson.data.name
        return f"{lesson.config.model} → {lesson.config.name} · from {where}"

    def _on_event(self, event: Event) -> None:
        self._progress.hear(event)
        self.plot.hear(event)
        self._show_progress()
        if isinstance(event, Finetuned):
            self._done = event
            self.proof.show_result(event)
            self.outcome.say_result(f"{event.name} is ready")
        elif isinstance(event, BeforeAfter):
            self._show_layers(event)
        elif isinstance(event, Notice) and self._is_worth_saying(event):
            self.outcome.say(event.text)

    def _is_worth_saying(self, event: Notice) -> bool:
        """Whether a notice is for everybody: epochs and rates are for experts."""
        if self._is_looking:
            return False
        return self.expert.is_open or not isinstance(event, Detail)

    def _pause(self) -> None:
        if self._learning.state == "paused":
            self._progress.go_on()
            self._learning.go_on()
        else:
            self._progress.pause()
            self._learning.pause()

    def _conclude(self) -> None:
        self._progress.go_on()
        self._learning.conclude()
        self.keep_button.setEnabled(False)

    def _discard(self) -> None:
        if self._is_looking:
            self._learning.cancel()
        elif not self._progress.has_learned or agrees(
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
            found.end(discard=True)
            self._find_unfinished()

    def _fail(self, error: Exception) -> None:
        self.outcome.clear()
        self.outcome.fail(error)
        self.outcome.say_state("failed")

    # --- what it brought ---------------------------------------------------------------------

    def _look(self) -> None:
        """Let both models segment the image that is chosen."""
        done, layer = self._done, self.corrections.layer
        if done is None:
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
        self._looked_at, self._is_looking = layer, True
        self._progress = Progress()
        config = self._session.config.model_copy(update=settings)
        self._learning.look(micrograph, config, self._old_model, str(done.path))

    def _show_layers(self, found: BeforeAfter) -> None:
        layer = self._looked_at
        if layer is None or layer not in self._viewer.layers or self._done is None:
            return
        try:
            show_before_after(self._viewer, layer, found, self._old_model, self._done.name)
        except NucleisegError as error:
            self.outcome.fail(error)
            return
        self.outcome.say_scores(in_words(found))

    def _use(self) -> None:
        """Adopt the new model."""
        done = self._done
        if done is None:
            return
        if not done.recommended and not agrees(
            self,
            f"{done.name} is not recommended. Use it all the same?",
            f"{done.reason}.",
            "Use it",
            f"Stay with {self._old_model}",
        ):
            return
        try:
            card = adopt(done.path)
        except NucleisegError as error:
            self.outcome.fail(error)
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
