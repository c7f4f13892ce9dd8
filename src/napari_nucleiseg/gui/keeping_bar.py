"""Where corrections are kept: a line that tells, and a bar that offers earlier ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QFrame, QVBoxLayout

from .. import wording
from .desk import Desk
from .recording import found_text
from .widgets import button, row, text


class KeepingBar:
    """The two of them; each is laid out by the dock.

    Parameters
    ----------
    desk : Desk
    ask_for_folder : callable
        Lets the user choose a folder.

    Attributes
    ----------
    bar : QFrame
        Shown while earlier corrections wait for a decision.
    line : QWidget
        Where and since when corrections are kept.
    """

    def __init__(self, desk: Desk, ask_for_folder: Callable[[], None]) -> None:
        self._desk = desk
        self.sentence = text()
        self.restore_button = button("Restore", self._restore, "Show these corrections, go on")
        self.discard_button = button(
            "Discard", self._discard, "Begin anew; a copy of them stays in the project"
        )
        self.bar = QFrame()
        self.bar.setObjectName("found")
        layout = QVBoxLayout(self.bar)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.addWidget(self.sentence)
        layout.addWidget(row(self.restore_button, self.discard_button))
        self.status = text()
        self.folder_button = button("...", ask_for_folder, "Keep corrections in another folder")
        self.folder_button.setAccessibleName(self.folder_button.toolTip())
        self.line = row(self.status, self.folder_button)

    def show(self) -> None:
        """Show how it stands with the chosen image."""
        desk, recording = self._desk, self._desk.recording
        found = None if recording is None else recording.found
        if desk.lost:
            self.sentence.setText(f"The layer {desk.lost} was deleted with its corrections")
        elif found is not None:
            self.sentence.setText(found_text(found))
        self.bar.setVisible(bool(desk.lost) or found is not None)
        self.line.setVisible(recording is not None)
        if recording is not None:
            self.status.setText(self._said())
            is_open = recording.stage == "nowhere"
            self.folder_button.setText("Choose..." if is_open else "...")
            self.folder_button.setFixedWidth(72 if is_open else 28)
            folder = recording.folder
            self.status.setToolTip("" if folder is None else f"Corrections are kept in {folder}")

    def paint(self, theme: Any) -> None:
        """Take the colours of napari's theme."""
        self.bar.setStyleSheet(
            f"QFrame#found {{ border: 2px solid {theme.current.as_hex()}; border-radius: 3px; }}"
        )

    def _said(self) -> str:
        recording = self._desk.recording
        unkept = recording.unkept
        strokes = f" ({unkept} stroke{'s' if unkept > 1 else ''} not kept)" if unkept else ""
        if recording.problem is not None:
            return f"Not saved: {wording.sentence(recording.problem)}"
        place = "" if recording.folder is None else recording.folder.name
        saved = "saving..." if recording.is_saving else f"saved {_clock(recording.saved_at)}"
        return {
            "nowhere": f"Not kept yet: choose a folder for these corrections{strokes}",
            "looking": "Looking for earlier corrections...",
            "found": f"Restore or discard the earlier corrections first{strokes}",
            "ready": f"Corrections will be kept in {place} beside the image",
            "beginning": f"Corrections are kept in {place} · saving...",
            "recording": f"Corrections are kept in {place} · {saved}",
            "reading": f"Open for reading only: corrections are not kept{strokes}",
            "failed": f"Corrections are not kept{strokes}",
        }[recording.stage]

    def _restore(self) -> None:
        if self._desk.lost:
            self._desk.bring_back()
        elif self._desk.recording is not None:
            self._desk.recording.restore()

    def _discard(self) -> None:
        if self._desk.lost:
            self._desk.forget_lost()
        elif self._desk.recording is not None:
            self._desk.recording.discard()


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M", time.localtime(seconds))
