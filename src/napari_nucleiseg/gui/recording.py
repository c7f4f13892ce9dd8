"""Keeps the corrections of one image in a project, on threads of their own.

A project is looked for when an image is chosen, and made at the first correction. From then on each
stroke goes to the journal at once; what was drawn while the project was being opened follows it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from psygnal import Signal

from ..editing import Change, Emptying, State
from ..errors import FileError
from ..events import Event
from ..project import NAME, Corrections, Stroke
from ..reviewed import Area
from ..tasks import Task
from .job import run_in_thread
from .projects import Beginning, Looked, Projects, look_in, project_in, set_aside

# nowhere: no place to keep anything; found: earlier corrections wait for a decision
Stage = Literal[
    "nowhere", "looking", "found", "ready", "beginning", "recording", "reading", "failed"
]


@dataclass(frozen=True)
class Begun(Event):
    """The project is open and holds the label image that strokes begin with."""

    corrections: Corrections
    beginning: Beginning


@dataclass(frozen=True)
class Written(Event):
    """All strokes up to now are on the disk."""


class Recording:
    """Keeps what is done to the nuclei of one image.

    Parameters
    ----------
    projects : Projects
    run : callable
        Runs a `Task`.

    Attributes
    ----------
    stage : str
    found : Looked or None
        Earlier corrections that wait for `restore` or `discard`.
    changed : Signal()
        The stage, or when it was saved last.
    said : Signal(str)
    failed : Signal(Exception)
    restored : Signal(Corrected)
        Earlier corrections, to be shown.
    """

    changed = Signal()
    said = Signal(str)
    failed = Signal(object)
    restored = Signal(object)

    def __init__(self, projects: Projects, run: Callable[[Task], None] = run_in_thread) -> None:
        self._projects, self._run = projects, run
        self._corrections: Corrections | None = None
        # strokes that came while a project is looked for or made
        self._waiting: deque[Stroke] = deque()
        self._task: Task | None = None
        self._is_writing = self._is_unwritten = False
        self.stage: Stage = "nowhere"
        self.found: Looked | None = None
        self._restoring: Looked | None = None
        self.file: Path | None = None
        self.folder: Path | None = None
        self.problem: Exception | None = None
        self.saved_at = 0.0
        self.unkept = 0

    # --- where ----------------------------------------------------------------------------

    def look(self, file: Path, folder: Path | None = None) -> None:
        """Look for earlier corrections of a file.

        Parameters
        ----------
        file : Path
            Of the micrograph.
        folder : Path or None
            Where the project is or will be; None for ``.nucleiseg`` beside the file.
        """
        self.file = file
        self.folder = file.parent / NAME if folder is None else project_in(folder)
        self._corrections, self.found, self.problem = None, None, None
        # what waited for another folder goes there, and here with all else that was done
        self._waiting = deque(self._waiting)
        self._set("looking")
        folder = self.folder

        def work() -> Iterator[Event]:
            with self._projects.turn:
                looked = look_in(self._projects, folder, file)
            yield looked

        self._start(f"Looking for corrections of {file.name}", work())

    def _on_looked(self, event: Looked) -> None:
        self._corrections = event.corrections
        for sentence in event.notices:
            self.said.emit(sentence)
        corrected = event.corrected
        is_found = corrected is not None and corrected.holds_work
        if not event.is_writable or is_found:
            self._let_waiting_go()
            self.found = event if event.is_writable else None
            self._set("found" if event.is_writable else "reading")
        else:
            self._set("ready")

    # --- earlier corrections --------------------------------------------------------------

    def restore(self) -> None:
        """Take the earlier corrections; from here on they are continued."""
        found, self.found = self.found, None
        if found is not None and found.corrected is not None:
            self._restoring, self.saved_at = found, found.when
            self._set("recording")
            self.restored.emit(found.corrected)
            self._restoring = None

    def put_back(self) -> None:
        """Offer what is being restored again: it does not fit the image."""
        if self._restoring is not None:
            self.found, self.saved_at = self._restoring, 0.0
            self._set("found")

    def discard(self) -> None:
        """Leave the earlier corrections; a copy of them stays in the project."""
        found, self.found = self.found, None
        if found is None or found.corrections is None:
            return
        corrections = found.corrections
        self._set("looking")

        def work() -> Iterator[Event]:
            with self._projects.turn:
                kept = set_aside(corrections)
                base = corrections.load(replay=False)
                corrections.save(base.labels, {}, ())
            yield Looked(corrections, None, 0.0, (f"A copy of the corrections stays in {kept}.",))

        self._start("Beginning anew", work())

    # --- strokes ---------------------------------------------------------------------------

    def begin(
        self,
        labels: np.ndarray,
        states: Mapping[int, State],
        areas: tuple[Area, ...],
        emptied: np.ndarray | None = None,
    ) -> None:
        """Make the project if there is none, and save what strokes begin with.

        Parameters
        ----------
        labels : integer ndarray
            A copy that nobody changes.
        states : mapping of int to State
        areas : tuple of Area
        emptied : (N,) int64 ndarray, optional
            Places that a person emptied, as flat indices.
        """
        folder, file = self.folder, self.file
        if folder is None or file is None:
            return
        self.unkept = 0  # what was done before is in the label image
        self._set("beginning")
        known = dict(states)

        def save(corrections: Corrections) -> None:
            corrections.save(labels, known, areas, emptied)

        beginning = Beginning(self._projects, folder, file, save)
        self._waiting = beginning.waiting

        def work() -> Iterator[Event]:
            project, corrections = beginning.perform()
            if corrections is None:
                yield Looked(None, None, 0.0, (f"{project.notice}.",), is_writable=False)
            else:
                yield Begun(corrections, beginning)

        self._start(f"Beginning to keep corrections of {file.name}", work())

    @property
    def wants_begin(self) -> bool:
        """Whether `begin` has to come before the next stroke."""
        return self.stage == "ready"

    @property
    def keeps_all(self) -> bool:
        """Whether everything that was done is, or will be in a moment, in the project."""
        return self.stage in ("beginning", "recording") and not self.unkept

    @property
    def is_saving(self) -> bool:
        """Whether strokes are on their way to the disk."""
        return self._is_unwritten or self._is_writing

    @property
    def has_waiting(self) -> bool:
        """Whether something was done already that waits for a project."""
        return bool(self._waiting) or bool(self.unkept)

    def record(
        self,
        change: Change | None = None,
        states: Mapping[int, State | None] | None = None,
        areas: tuple[Area, ...] | None = None,
        emptied: Emptying | None = None,
    ) -> None:
        """Keep a stroke; returns at once."""
        pixels = change if change is not None and len(change) else None
        stroke = Stroke(pixels, states or None, areas, emptied or None)
        if not stroke:
            return
        if self.stage == "recording" and self._corrections is not None:
            try:
                self._corrections.keep(stroke)
            except FileError as error:
                self.unkept += 1
                self._fail(error)
                return
            self._is_unwritten = True
            self.changed.emit()
        elif self.stage in ("beginning", "looking"):
            self._waiting.append(stroke)
        else:
            self.unkept += 1
            self.changed.emit()

    def write(self) -> None:
        """Wait, on a thread, until all strokes are on the disk; `saved_at` then tells when."""
        corrections = self._corrections
        if not self._is_unwritten or self._is_writing or corrections is None:
            return
        self._is_writing, self._is_unwritten = True, False

        def work() -> Iterator[Event]:
            corrections.flush()
            yield Written()

        def on_event(_: Event) -> None:
            self.saved_at, self.problem = time.time(), None
            self.changed.emit()

        def on_failed(error: Exception) -> None:
            # the journal keeps the strokes and tries again by itself
            self.problem, self._is_unwritten = error, True
            self.changed.emit()

        def on_end() -> None:
            self._is_writing = False
            self.changed.emit()

        self._run(Task("Saving corrections", work(), on_event, on_failed, on_end, lambda: None))

    def close(self) -> None:
        """Hear no more of what is on its way; strokes that were taken are written all the same."""
        if self._task is not None and self.stage != "beginning":
            self._task.cancelled = True
            self._task = None

    # --- jobs ------------------------------------------------------------------------------

    def _start(self, title: str, events: Iterator[Event]) -> None:
        # an earlier one is not cancelled: what it has still to tell may be of strokes

        def on_event(event: Event) -> None:
            if isinstance(event, Begun):
                self._on_begun(event, self._task is task)
            elif self._task is not task:
                return
            elif isinstance(event, Looked):
                self._on_looked(event)

        def on_failed(error: Exception) -> None:
            if self._task is task:
                self._fail(error)

        task = self._task = Task(title, events, on_event, on_failed, lambda: None, lambda: None)
        self._run(task)

    def _on_begun(self, event: Begun, is_newest: bool) -> None:
        try:
            event.beginning.settle()
        except FileError as error:
            if is_newest:
                self._fail(error)
            return
        if is_newest:
            self._corrections = event.corrections
            self.saved_at, self._is_unwritten = time.time(), True
            self._set("recording")

    def _let_waiting_go(self) -> None:
        self.unkept += len(self._waiting)
        self._waiting = deque()

    def _fail(self, error: Exception) -> None:
        self.problem = error
        self._let_waiting_go()
        self._set("failed")
        self.failed.emit(error)

    def _set(self, stage: Stage) -> None:
        self.stage = stage
        self.changed.emit()


def found_text(found: Looked) -> str:
    """Say in one line what was found."""
    when = time.localtime(found.when)
    at = f"{when.tm_mday} {time.strftime('%b %H:%M', when)}"
    strokes = 0 if found.corrected is None else found.corrected.strokes
    if not strokes:
        return f"Corrections of {at} found"
    return f"Corrections of {at} found ({strokes} stroke{'s' if strokes > 1 else ''})"
