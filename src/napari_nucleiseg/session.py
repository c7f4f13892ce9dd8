"""Session: what one viewer has chosen, and the work that runs for it. Knows no Qt.

Widgets, scripts and tests call its methods and listen to its signals, which always come on the
caller's thread. Work is an iterator of events; *how* it is drained is the runner's matter:
`run_now` drains it here, the GUI hands in one that uses a thread and a child process.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from psygnal import Signal

from .channels import propose_channel
from .comparing import Annotated, Compared, compare
from .config import SegmentConfig
from .errors import ShapeError
from .events import Event, Notice, Segmented
from .io import read_micrograph
from .keeping import KeptLabels
from .metrics.average_precision import average_precision
from .metrics.dice import dice
from .metrics.iou import iou
from .micrograph import Micrograph
from .numbering import keep_numbers
from .segmentation import segment
from .store import ModelCard, find_model, list_models, model_problems

State = Literal["idle", "running", "stopping", "done", "cancelled", "failed"]
Load = Callable[[], Micrograph]
WorkIn = Callable[..., Iterator[Event]]

# a cancelled step gets this long to end by itself, which costs nothing later
PATIENCE_S = 2.0
COMPARING = "Comparing models"


@dataclass(frozen=True)
class Scored(Event):
    """A label image was compared with the true one.

    Attributes
    ----------
    dice, iou : float
        Of the foreground.
    ap50 : float
        Average precision at IoU 0.5.
    true_count : int
        Number of true nuclei.
    """

    dice: float
    iou: float
    ap50: float
    true_count: int


@dataclass(frozen=True)
class ChannelProposed(Event):
    """The channel in which nuclei would be looked for (counted from 1), its name, and why."""

    number: int
    name: str
    why: str


@dataclass(frozen=True)
class Opened(Event):
    """A file was read."""

    micrograph: Micrograph


@dataclass(frozen=True)
class Loaded(Event):
    """The pixels to segment are in memory: a cancel is heard before the network starts."""


@dataclass(eq=False)
class Task:
    """Work on its way: its events and who hears of them.

    Attributes
    ----------
    title : str
        What it does, in words ("Segmenting plate1_A03").
    events : iterator of Event
        Drained by the runner; closed, too, when the task is cancelled.
    on_event, on_failed, on_end : callable
        For the runner to call, on the thread of the session; ``on_end`` always and last.
    stop : callable
        For a runner whose window closes: ends a step that takes long, at once.
    cancelled : bool
        The runner looks at it after each event.
    """

    title: str
    events: Iterator[Event]
    on_event: Callable[[Event], None]
    on_failed: Callable[[Exception], None]
    on_end: Callable[[], None]
    stop: Callable[[], None]
    cancelled: bool = False


Runner = Callable[[Task], None]


def run_now(task: Task) -> None:
    """Drain a task here; it can be cancelled from within ``on_event``."""
    try:
        with closing(cast("Generator[Event, None, None]", task.events)) as events:
            for event in events:
                task.on_event(event)
                if task.cancelled:
                    break
    except Exception as error:
        task.on_failed(error)
    task.on_end()


def work_here(function: Callable[..., Iterator[Event]], *args: Any) -> Iterator[Event]:
    """Run a generator of events in this process."""
    return function(*args)


def wait_for_step(patience_s: float) -> None:
    """Leave a cancelled step to end by itself: nothing in this process can end it."""


def score(labels: np.ndarray, truth: np.ndarray) -> Iterator[Event]:
    """Compare a label image with the true one.

    Parameters
    ----------
    labels, truth : (H, W) integer ndarray

    Yields
    ------
    Event
        `Scored`.

    Raises
    ------
    ShapeError
        If they differ in size.
    """
    if labels.shape != truth.shape:
        raise ShapeError(
            "The true labels have another size than the image",
            "{}×{} px, not {}×{} px".format(*truth.shape, *labels.shape),
            "Choose the labels of this image",
        )
    at_half = float(average_precision(truth, labels, (0.5,))[0])
    true_count = int(np.count_nonzero(np.unique(truth) > 0))
    yield Scored(dice(truth, labels), iou(truth, labels), at_half, true_count)


def segment_and_score(
    micrograph: Micrograph,
    config: SegmentConfig,
    truth: np.ndarray | None = None,
    earlier: np.ndarray | None = None,
) -> Iterator[Event]:
    """Segment a micrograph, number the nuclei as before, compare them with the true ones.

    Parameters
    ----------
    micrograph : Micrograph
    config : SegmentConfig
    truth : (H, W) integer ndarray or None
        True label image.
    earlier : (H, W) integer ndarray or None
        Result of an earlier run; see `keep_numbers`.

    Yields
    ------
    Event
        Those of `segment`, and last `Scored` where there is a truth.
    """
    for event in segment(micrograph, config):
        if isinstance(event, Segmented) and earlier is not None:
            event = replace(event, labels=keep_numbers(event.labels, earlier))
        yield event
        if isinstance(event, Segmented) and truth is not None:
            try:
                yield from score(event.labels, truth)
            except ShapeError as error:
                yield Notice(str(error))


def _proposal(micrograph: Micrograph) -> Iterator[Event]:
    if micrograph.is_colour:
        pixels, names = np.moveaxis(micrograph.pixels, -1, 0), ("red", "green", "blue")
        micrograph = replace(micrograph, pixels=pixels, axes="CYX", channel_names=names)
    index, why = propose_channel(micrograph)
    yield ChannelProposed(index + 1, micrograph.channels[index], why)


def _opened(path: Path) -> Iterator[Event]:
    yield Opened(read_micrograph(path))


class Session:
    """What one viewer has chosen and what runs for it.

    One main work runs at a time (segmenting, opening a file); a new one takes the place of the
    old, whose answers are dropped. Small questions (a channel, a score) run beside it and wait for
    nothing but an older question of their kind.

    Parameters
    ----------
    run : callable
        Drains a `Task`; by default at once.
    work_in : callable
        Called with a generator function and its arguments, gives the events of main work; by
        default it works here. A child process does one work at a time.
    ask_in : callable
        The same for small questions. They need no network and take less time than a child
        process may be busy with main work, so here is the right place in a window, too.
    stop : callable
        Called with a number of seconds when main work is cancelled: ends by force a step that has
        not ended by then. By default a step always ends by itself.

    Attributes
    ----------
    event : Signal(Event)
        Each event of the newest work.
    failed : Signal(Exception)
        What the newest work raised.
    state_changed : Signal(str)
        State of the main work; see `state`.
    config_changed : Signal(SegmentConfig)
    """

    event = Signal(Event)
    failed = Signal(Exception)
    state_changed = Signal(str)
    config_changed = Signal(SegmentConfig)

    def __init__(
        self,
        run: Runner = run_now,
        work_in: WorkIn = work_here,
        ask_in: WorkIn = work_here,
        stop: Callable[[float], None] = wait_for_step,
    ) -> None:
        self._run, self._work_in, self._ask_in, self._stop = run, work_in, ask_in, stop
        self._config = SegmentConfig()
        self._state: State = "idle"
        self._doing = ""
        # titles of work that docks brought along
        self._brought: set[str] = set()
        self._newest: dict[str, Task] = {}

    @property
    def state(self) -> State:
        """What the main work is at: idle, running, stopping, done, cancelled or failed."""
        return self._state

    @property
    def is_busy(self) -> bool:
        """Whether main work is under way."""
        return self._state in ("running", "stopping")

    @property
    def doing(self) -> str:
        """What the main work is or was, in words; empty before there was any."""
        return self._doing

    @property
    def is_segmenting(self) -> bool:
        """Whether the main work is or was to find nuclei, or to open an image for that."""
        return self._doing != COMPARING and self._doing not in self._brought

    @property
    def config(self) -> SegmentConfig:
        """The settings in force."""
        return self._config

    @config.setter
    def config(self, config: SegmentConfig) -> None:
        if config != self._config:
            self._config = config
            self.config_changed.emit(config)

    @property
    def model(self) -> str:
        """Name of the chosen model."""
        return self._config.model

    @model.setter
    def model(self, name: str) -> None:
        self.config = self._config.model_copy(update={"model": name})

    def models(self) -> list[ModelCard]:
        """Models that can be chosen."""
        return list_models()

    def model_problems(self) -> list[str]:
        """Say which model files cannot be chosen, and why; see `store.model_problems`."""
        return model_problems()

    def card(self) -> ModelCard:
        """Card of the chosen model; see `find_model`."""
        return find_model(self.model)

    def segment(
        self,
        micrograph: Micrograph | Load,
        config: SegmentConfig | None = None,
        truth: np.ndarray | None = None,
        earlier: np.ndarray | None = None,
        name: str = "",
    ) -> None:
        """Find the nuclei of a micrograph.

        Parameters
        ----------
        micrograph : Micrograph or callable
            A callable is asked for it in the work: for pixels that have to be computed or read.
        config : SegmentConfig or None
            None stands for `config`.
        truth, earlier : (H, W) integer ndarray or None
            See `segment_and_score`.
        name : str
            What to call the micrograph while it is worked on, where it is not loaded yet.
        """
        chosen = config or self._config
        title = name if callable(micrograph) else micrograph.name

        def work() -> Iterator[Event]:
            loaded = micrograph
            if callable(loaded):
                loaded = loaded()
                yield Loaded()
            yield from self._work_in(segment_and_score, loaded, chosen, truth, earlier)

        self._start("main", f"Segmenting {title}", work())

    def open(self, path: Path) -> None:
        """Read a micrograph from a file; `Opened` brings it."""
        self._start("main", f"Opening {path.name}", self._work_in(_opened, path))

    def compare(self, models: Sequence[str], items: Sequence[Annotated], kept: KeptLabels) -> None:
        """Let models segment the same micrographs with the session's settings, and score them.

        Parameters
        ----------
        models : sequence of str
        items : sequence of Annotated
        kept : KeptLabels
            Gets the label images, by model and micrograph.
        """
        config = self._config

        def work() -> Iterator[Event]:
            loaded = [item.loaded() for item in items]
            yield Loaded()
            events = self._work_in(compare, models, loaded, config)
            with closing(cast("Generator[Event, None, None]", events)):
                for event in events:
                    if isinstance(event, Compared):
                        kept.keep((event.row.model, event.row.image), event.labels)
                    yield event

        self._start("main", COMPARING, work())

    def do(self, title: str, work: Callable[[WorkIn], Iterator[Event]]) -> None:
        """Start main work that a dock brings along; its events come as all others do.

        Parameters
        ----------
        title : str
            What it does, in words; `doing` from now on.
        work : callable
            Called with ``work_in``, see the class: gives the iterator of events.
        """
        self._brought.add(title)
        self._start("main", title, work(self._work_in))

    def ask(
        self, kind: str, title: str, function: Callable[..., Iterator[Event]], *args: Any
    ) -> None:
        """Ask a small question beside main work; a new one takes the place of one of its kind.

        Parameters
        ----------
        kind : str
            What tells it from other questions.
        title : str
            What it does, in words.
        function : callable
            Gives an iterator of events; with its arguments.
        """
        self._start(kind, title, self._ask_in(function, *args))

    def score(self, labels: np.ndarray, truth: np.ndarray) -> None:
        """Compare a label image with the true one; `Scored` brings the numbers."""
        self._start("score", "Comparing with the truth", self._ask_in(score, labels, truth))

    def propose_channel(self, micrograph: Micrograph | Load) -> None:
        """Ask in which channel nuclei would be looked for; `ChannelProposed` brings it."""

        def work() -> Iterator[Event]:
            loaded = micrograph() if callable(micrograph) else micrograph
            yield from self._ask_in(_proposal, loaded)

        self._start("channel", "Looking for the channel with the nuclei", work())

    def cancel(self) -> None:
        """Stop the main work after its current step, or within it where that takes long."""
        task = self._newest.get("main")
        if task is not None and self._state == "running":
            task.cancelled = True
            self._set_state("stopping")
            self._stop(PATIENCE_S)

    def close(self) -> None:
        """Let go of everything: the window is closing. No signal comes any more."""
        for task in self._newest.values():
            task.cancelled = True
        self._newest.clear()

    def _start(self, kind: str, title: str, events: Iterator[Event]) -> None:
        before = self._newest.get(kind)
        if before is not None:
            before.cancelled = True

        def heard() -> bool:
            return self._newest.get(kind) is task and not task.cancelled

        def on_event(event: Event) -> None:
            if heard():
                self.event.emit(event)

        def on_failed(error: Exception) -> None:
            if heard():
                problems.append(error)
                self.failed.emit(error)

        def on_end() -> None:
            if self._newest.get(kind) is task:
                del self._newest[kind]
                if kind == "main":
                    ended: State = "failed" if problems else "done"
                    self._set_state("cancelled" if task.cancelled else ended)

        problems: list[Exception] = []
        stop = partial(self._stop if kind == "main" else wait_for_step, 0.0)
        task = Task(title, events, on_event, on_failed, on_end, stop)
        self._newest[kind] = task
        if kind == "main":
            self._doing = title
            self._set_state("running")
        self._run(task)

    def _set_state(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self.state_changed.emit(state)
