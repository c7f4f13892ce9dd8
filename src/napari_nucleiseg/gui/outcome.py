"""How it went: state, result, scores, notices, and a box for what failed."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from .. import wording
from .widgets import TextWindow, button, copy, row, text


@dataclass(frozen=True)
class Said:
    """What was said about one image."""

    result: str = ""
    scores: str = ""
    notices: str = ""
    error: Exception | None = None

    @property
    def state(self) -> str:
        """The state to name with it."""
        return "failed" if self.error is not None else "done" if self.result else "idle"


STATES = {
    "idle": "Ready",
    "running": "Running",
    "paused": "Paused",
    "stopping": "Stopping",
    "done": "Done",
    "cancelled": "Cancelled",
    "failed": "Failed",
}


class Outcome(QWidget):
    """What a dock says about its work; each line is seen only when it says something."""

    def __init__(self) -> None:
        super().__init__()
        self._error: Exception | None = None
        self._styles: dict[str, str] = {}
        self.state, self.result, self.scores, self.notices = text(), text(), text(), text()
        self.sentence = text()
        self.traceback_button = button(
            "Details", self._show_traceback, "Where in the program it happened"
        )
        self.copy_error_button = button(
            "Copy", self._copy_error, "Copy the sentence and the details, to send to somebody"
        )
        self.failure = QFrame()
        self.failure.setObjectName("failure")
        box = QVBoxLayout(self.failure)
        box.addWidget(self.sentence)
        box.addWidget(row(self.traceback_button, self.copy_error_button))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for widget in (self.state, self.result, self.scores, self.notices, self.failure):
            layout.addWidget(widget)
        self.clear()

    def clear(self) -> None:
        """Say nothing but the state."""
        for label in (self.result, self.scores, self.notices):
            label.clear()
            label.hide()
        self._error = None
        self.failure.hide()

    @property
    def said(self) -> Said:
        """All that is said but the state."""
        words = (label.text() for label in (self.result, self.scores, self.notices))
        return Said(*words, self._error)

    def say_again(self, said: Said) -> None:
        """Say what was said before, and nothing else."""
        self.clear()
        for label, words in (
            (self.result, said.result),
            (self.scores, said.scores),
            (self.notices, said.notices),
        ):
            label.setText(words)
            label.setVisible(bool(words))
        if said.error is not None:
            self.fail(said.error)

    def say_state(self, state: str, more: str = "") -> None:
        """Name one of `STATES`, and say more about it."""
        self.state.setProperty("state", state)
        self.state.setText(f"{STATES[state]} · {more}" if more else STATES[state])
        self.state.setStyleSheet(self._styles.get(state, ""))

    def say_result(self, words: str) -> None:
        """Say what was found."""
        self.result.setText(words)
        self.result.show()

    def say_scores(self, words: str) -> None:
        """Say how well it fits the truth; nothing hides the line."""
        self.scores.setText(words)
        self.scores.setVisible(bool(words))

    def say(self, sentence: str) -> None:
        """Add a sentence to the notices."""
        before = self.notices.text()
        if sentence not in before.split("\n"):
            self.notices.setText(f"{before}\n{sentence}".strip())
        self.notices.show()

    def fail(self, error: Exception) -> None:
        """Show an error."""
        self._error = error
        self.sentence.setText(wording.sentence(error))
        self.failure.show()

    def paint(self, theme: Any) -> None:
        """Take the colours of napari's theme."""
        error, strong, warning = (c.as_hex() for c in (theme.error, theme.current, theme.warning))
        bars = {
            "running": (strong, ""),
            "paused": (warning, ""),
            "stopping": (warning, ""),
            "cancelled": (warning, ""),
            "done": (strong, " font-weight: bold;"),
            "failed": (error, " font-weight: bold;"),
        }
        self._styles = {
            state: f"QLabel {{ border-left: 3px solid {colour}; padding-left: 4px;{more} }}"
            for state, (colour, more) in bars.items()
        }
        self.failure.setStyleSheet(
            f"QFrame#failure {{ border: 2px solid {error}; border-radius: 3px; }}"
        )
        self.state.setStyleSheet(self._styles.get(self.state.property("state") or "idle", ""))

    def _details(self) -> str:
        return "" if self._error is None else "".join(traceback.format_exception(self._error))

    def _show_traceback(self) -> None:
        TextWindow("What happened", self._details(), self).show()

    def _copy_error(self) -> None:
        copy(f"{self.sentence.text()}\n\n{self._details()}")
