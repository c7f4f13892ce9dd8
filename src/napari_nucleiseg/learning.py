"""Learning: one fine-tuning of a session, beside its other work. Knows no Qt.

It has its own thread and its own process, so that the old model still segments meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Protocol, cast

from psygnal import Signal

from .before_after import BeforeAfter, before_and_after
from .config import SegmentConfig
from .errors import NucleisegError, TrainingError
from .events import BatchDone, EpochDone, Event, Finetuned, Notice
from .learning_curve import LearningCurve
from .learning_progress import Progress
from .lessons import Lesson, adopt
from .micrograph import Load, Micrograph
from .store import ModelCard
from .tasks import Runner, Task, run_now, work_here

State = Literal["idle", "running", "paused", "stopping", "done", "cancelled", "failed"]
# so long a step may take when nobody wants its result, and when the window closes
PATIENCE_S, PATIENCE_AT_END_S = 2.0, 4.0


class Place(Protocol):
    """Where generators of events run; `napari_nucleiseg.child.Child` is one."""

    def run(self, function: Callable[..., Iterator[Event]], *args: Any) -> Iterator[Event]:
        """Run a generator."""

    def stop(self, patience_s: float) -> None:
        """End by force what has not ended by itself within some seconds."""

    def close(self) -> None:
        """End it all."""


class Here:
    """The process itself: nothing in it can be ended by force."""

    def run(self, function: Callable[..., Iterator[Event]], *args: Any) -> Iterator[Event]:
        """Run a generator."""
        return work_here(function, *args)

    def stop(self, patience_s: float) -> None:
        """Leave it to end by itself."""

    def close(self) -> None:
        """Leave everything as it is."""


def learn(lesson: Lesson, resume: bool, conclude: bool) -> Iterator[Event]:
    """Fine-tune; PyTorch is loaded where this runs.

    Raises
    ------
    NucleisegError
        See `napari_nucleiseg.finetuning.finetune`; also if memory ran out.
    """
    from .finetuning import finetune

    try:
        yield from finetune(
            lesson.data, lesson.config, lesson.out, resume=resume, conclude=conclude
        )
    except (MemoryError, RuntimeError) as error:
        words = str(error).lower()
        if not isinstance(error, MemoryError) and "memory" not in words:
            raise
        raise TrainingError(
            "Memory ran out while learning",
            "",
            "Close other programs, or choose a smaller batch or the CPU under Expert. The model "
            f"{lesson.config.model} is untouched",
        ) from error


class Learning:
    """One fine-tuning at a time, and a look at what it brought.

    It remembers all that is to be shown of it, so that a dock may be closed and opened meanwhile.

    Parameters
    ----------
    run : callable
        Drains a `Task`; by default at once. Pausing needs one that does so on a thread.
    apart : callable
        Makes the `Place` of work that is to run in a process of its own.
    here : callable
        Makes that of work in this process.

    Attributes
    ----------
    event : Signal(Event)
    failed : Signal(Exception)
    state_changed : Signal(str)
    began : Signal()
        Another lesson begins: what was known of the last one is forgotten.
    lesson : Lesson or None
        What is or was learned last.
    progress : Progress
        Where it is, or the look at what it brought.
    curve : LearningCurve
    notices : list of Notice
    result : Finetuned or None
        What it became; None before its end.
    looked : BeforeAfter or None
        What the last look found, without its label images.
    failure : Exception or None
        Why it ended before its time.
    adopted : str
        Name under which the new model is used; empty while it is not.
    is_looking : bool
        Whether it looks rather than learns.
    """

    event = Signal(Event)
    failed = Signal(Exception)
    state_changed = Signal(str)
    began = Signal()

    def __init__(
        self,
        run: Runner = run_now,
        apart: Callable[[], Place] = Here,
        here: Callable[[], Place] = Here,
    ) -> None:
        self._run, self._apart, self._here = run, apart, here
        self._state: State = "idle"
        self._task: Task | None = None
        self._place: Place = Here()
        self._go = threading.Event()
        self._concludes = self._discards = False
        self.lesson: Lesson | None = None
        self.is_looking = False
        self.progress, self.curve = Progress(), LearningCurve()
        self.notices: list[Notice] = []
        self.result: Finetuned | None = None
        self.looked: BeforeAfter | None = None
        self.failure: Exception | None = None
        self.adopted = ""

    @property
    def state(self) -> State:
        """What it is at."""
        return self._state

    @property
    def is_busy(self) -> bool:
        """Whether work is under way or paused."""
        return self._state in ("running", "paused", "stopping")

    def start(
        self,
        lesson: Lesson,
        prepare: Callable[[], None] | None = None,
        *,
        resume: bool = False,
        own_process: bool = True,
    ) -> None:
        """Learn from corrections; last comes `Finetuned`.

        Parameters
        ----------
        lesson : Lesson
        prepare : callable or None
            Writes the corrections; called in the work.
        resume : bool
            Go on where the lesson was stopped.
        own_process : bool
            Whether to learn in a process of its own, which cannot make the window stutter.
        """
        if self.is_busy:
            return
        self.lesson, self.is_looking = lesson, False
        self.curve, self.notices = LearningCurve(), []
        self.result, self.looked, self.adopted = None, None, ""
        place = self._apart() if own_process else self._here()
        work = self._lesson_work(lesson, prepare, resume, place)
        self._start(f"Learning {lesson.config.name}", work, place)

    def look(
        self,
        micrograph: Micrograph | Load,
        config: SegmentConfig,
        found: Callable[[BeforeAfter], None],
    ) -> None:
        """Segment a micrograph by the old and the new model of the last lesson.

        Parameters
        ----------
        micrograph : Micrograph or callable
            What to segment, or what reads it.
        config : SegmentConfig
        found : callable
            Called with both results, whoever listens then; may raise a `NucleisegError`.
        """
        if self.is_busy or self.lesson is None or self.result is None:
            return
        old, new = self.lesson.config.model, str(self.result.path)
        self.looked, self._found, self.is_looking = None, found, True
        place = self._apart()

        def work() -> Iterator[Event]:
            try:
                loaded = micrograph() if callable(micrograph) else micrograph
                yield from self._drained(place.run(before_and_after, loaded, config, old, new))
            finally:
                place.close()

        self._start(f"Comparing {old} with {self.result.name}", work(), place)

    def adopt(self) -> ModelCard | None:
        """Put the new model among the user's models; None where there is no new one.

        Raises
        ------
        NucleisegError
            If another model has its name, or the disk is full.
        """
        if self.result is None:
            return None
        card = adopt(self.result.path)
        self.adopted = card.name
        return card

    def pause(self) -> None:
        """Rest after the step under way."""
        if self._state == "running":
            self._go.clear()
            self.progress.pause()
            self._set_state("paused")

    def go_on(self) -> None:
        """Go on after a pause."""
        if self._state == "paused":
            self.progress.go_on()
            self._set_state("running")
            self._go.set()

    def conclude(self) -> None:
        """Learn no more; compare and keep what was learned."""
        if self._state in ("running", "paused"):
            self._concludes = True
            self.progress.go_on()
            self._set_state("running")
            self._go.set()

    def cancel(self, *, discard: bool = False) -> None:
        """Stop after the step under way.

        Parameters
        ----------
        discard : bool
            Remove what was learned, too; otherwise its checkpoint is kept.
        """
        if self._state in ("running", "paused") and self._task is not None:
            self._discards = discard
            self._task.cancelled = True
            self._set_state("stopping")
            self._go.set()
            if discard:
                self._place.stop(PATIENCE_S)

    def close(self) -> None:
        """Let go: the window is closing. No signal comes any more; the checkpoint is kept."""
        if self._task is not None:
            self._task.cancelled = True
            self._task.stop()
            self._task = None

    def _lesson_work(
        self, lesson: Lesson, prepare: Callable[[], None] | None, resume: bool, place: Place
    ) -> Iterator[Event]:
        try:
            if not resume:
                lesson.end()
            lesson.keep()
            if prepare is not None:
                prepare()
            yield from self._noted(lesson, self._drained(place.run(learn, lesson, resume, False)))
            if self._concludes:
                yield from self._drained(place.run(learn, lesson, True, True), to_the_end=True)
        finally:
            place.close()
            if self._discards:
                lesson.end(discard=True)

    def _noted(self, lesson: Lesson, events: Iterator[Event]) -> Iterator[Event]:
        """Give events one by one, and write down how far it is."""
        learned = lesson.learned
        with closing(cast("Generator[Event, None, None]", events)):
            try:
                for event in events:
                    if isinstance(event, (BatchDone, EpochDone)):
                        learned = event.progress
                    if isinstance(event, EpochDone):
                        replace(lesson, learned=learned).keep()
                    yield event
            except GeneratorExit:
                # where it has ended, its record is removed after this
                replace(lesson, learned=learned).keep()
                raise

    def _drained(self, events: Iterator[Event], *, to_the_end: bool = False) -> Iterator[Event]:
        """Give events one by one, with rests; closed, they are closed, too."""
        with closing(cast("Generator[Event, None, None]", events)):
            for event in events:
                if isinstance(event, Finetuned) and self.lesson is not None:
                    self._concludes = False
                    try:
                        yield event
                    finally:
                        self.lesson.end()
                else:
                    yield event
                self._go.wait()
                if self._concludes and not to_the_end:
                    return

    def _start(self, title: str, events: Iterator[Event], place: Place) -> None:
        self._place, self._concludes, self._discards = place, False, False
        self.progress, self.failure = Progress(), None
        self._go.set()
        problems: list[Exception] = []

        def heard() -> bool:
            return self._task is task and not task.cancelled

        def on_event(event: Event) -> None:
            if not heard():
                return
            try:
                self._remember(event)
            except NucleisegError as error:
                on_failed(error)
            else:
                self.event.emit(event)

        def on_failed(error: Exception) -> None:
            if heard():
                problems.append(error)
                self.failure = error
                self.failed.emit(error)

        def on_end() -> None:
            if self._task is task:
                self._task = None
                ended: State = "failed" if problems else "done"
                self._set_state("cancelled" if task.cancelled else ended)

        task = Task(title, events, on_event, on_failed, on_end, partial(self._stop_for_good, place))
        self._task = task
        self.began.emit()
        self._set_state("running")
        self._run(task)

    def _remember(self, event: Event) -> None:
        """Keep what is to be shown of an event."""
        self.progress.hear(event)
        if isinstance(event, BeforeAfter):
            # layers hold the images
            self.looked = event.without_images()
            self._found(event)
        elif self.is_looking:
            return
        elif isinstance(event, Finetuned):
            self.result = event
        elif isinstance(event, Notice):
            self.notices.append(event)
        else:
            self.curve.hear(event)

    def _stop_for_good(self, place: Place) -> None:
        """Stop for a window that closes: the checkpoint gets some seconds."""
        self._go.set()
        place.stop(PATIENCE_AT_END_S)

    def _set_state(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self.state_changed.emit(state)
