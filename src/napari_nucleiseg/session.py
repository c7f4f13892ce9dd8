"""Session: what one viewer has chosen, and the work that runs for it. Knows no Qt.

Widgets, scripts and tests call its methods and listen to its signals, which always come on the
caller's thread. Work is an iterator of events; *how* it is drained is the runner's matter:
`run_now` drains it here, the GUI hands in one that uses a thread and a child process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from psygnal import Signal

from .batch import prepare_folder, segment_file
from .batch_config import BatchConfig
from .batch_plan import BatchPlanned, plan_batch
from .batch_progress import BatchProgress
from .batch_run import run_batch
from .comparing import Annotated, Compared, compare
from .config import JoinConfig, SegmentConfig
from .errors import NucleisegError, SettingError
from .events import Event
from .judging import judge_folders
from .keeping import KeptLabels
from .measure import measure_steps
from .micrograph import Load, Micrograph
from .model_maps import MapsRead, read_maps
from .result_names import Item
from .session_work import (
    Loaded,
    NotPlanned,
    ResultNotOpened,
    open_file,
    open_result,
    propose,
    score,
    segment_and_score,
)
from .stack_segmentation import find_in_planes
from .store import ModelCard, find_model, list_models, model_problems
from .tasks import Runner, Task, WorkIn, run_now, wait_for_step, work_here

State = Literal["idle", "running", "stopping", "done", "cancelled", "failed"]

# a cancelled step gets this long to end by itself, which costs nothing later
PATIENCE_S = 2.0
# a paused batch looks so often whether it was cancelled
_LOOK_S = 0.1
COMPARING = "Comparing models"
MEASURING = "Measuring nuclei"
BATCH = "Working through a folder"
EVALUATING = "Comparing with the truth"
EVALUATING_FOLDERS = "Evaluating folders"
# main work that has a dock of its own; the dock of segmentation shows all other
WITH_OWN_DOCK = frozenset({COMPARING, MEASURING, BATCH, EVALUATING, EVALUATING_FOLDERS})


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
        self._joining = JoinConfig()
        self._state: State = "idle"
        self._doing = ""
        # titles of work that docks brought along
        self._brought: set[str] = set()
        self._newest: dict[str, Task] = {}
        self._going = threading.Event()
        self._going.set()
        self._batch: BatchProgress | None = None
        # before any dock hears an event, so that those opened later know as much
        self.event.connect(self._note)

    @property
    def batch(self) -> BatchProgress | None:
        """The last folder run, or the plan of the next one."""
        return self._batch

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
        return self._doing not in WITH_OWN_DOCK and self._doing not in self._brought

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
    def joining(self) -> JoinConfig:
        """How nuclei of successive planes are joined."""
        return self._joining

    @joining.setter
    def joining(self, joining: JoinConfig) -> None:
        if joining != self._joining:
            self._joining = joining
            self.config_changed.emit(self._config)

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

    def segment_stack(
        self,
        micrograph: Micrograph | Load,
        config: SegmentConfig,
        joining: JoinConfig,
        folder: Path,
        first: int = 0,
        name: str = "",
    ) -> None:
        """Find the nuclei of all planes and join them; `Joined` brings the file of the labels.

        Parameters
        ----------
        micrograph : Micrograph or callable
            As for `segment`.
        config : SegmentConfig
        joining : JoinConfig
        folder : Path
            Where the labels are laid; see `find_in_planes`.
        first : int
            The plane that is segmented first, from 0.
        name : str
            As for `segment`.
        """
        title = name if callable(micrograph) else micrograph.name

        def work() -> Iterator[Event]:
            loaded = micrograph() if callable(micrograph) else micrograph
            yield Loaded()
            yield from self._work_in(find_in_planes, loaded, config, joining, folder, first)

        self._start("main", f"Segmenting {title}", work())

    def segment_file(self, item: Item, out: Path, config: SegmentConfig) -> None:
        """Segment a file block by block into a folder; `Streamed` tells where the labels lie.

        Parameters
        ----------
        item : Item
        out : Path
            Folder of the results; what a run that was stopped left there is gone on with.
        config : SegmentConfig
        """

        def work() -> Iterator[Event]:
            prepare_folder(out)
            yield from self._work_in(partial(segment_file, by_blocks=True), item, out, config)

        self._start("main", f"Segmenting {item.title}", work())

    def open(self, path: Path) -> None:
        """Read a micrograph from a file; `Opened` brings it."""
        self._start("main", f"Opening {path.name}", self._work_in(open_file, path))

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

    def measure(
        self,
        labels: np.ndarray,
        micrographs: Sequence[Micrograph | Load],
        pixel_size_um: tuple[float, float] | None = None,
    ) -> None:
        """Measure the nuclei of a label image in some micrographs; `TableMade` brings the table.

        Parameters
        ----------
        labels : (H, W) integer ndarray
        micrographs : sequence of Micrograph or callable
            A callable is asked for it in the work.
        pixel_size_um : (float, float) or None
            By itself that of the micrographs.
        """
        steps = partial(measure_steps, pixel_size_um=pixel_size_um)

        def work() -> Iterator[Event]:
            loaded = [m() if callable(m) else m for m in micrographs]
            yield Loaded()
            yield from self._work_in(steps, labels, loaded)

        self._start("main", MEASURING, work())

    def plan_batch(self, config: BatchConfig) -> None:
        """Look which files of a folder would be segmented.

        `BatchPlanned` brings them, or `NotPlanned` says why there are none.
        """
        chosen = self._config

        def work() -> Iterator[Event]:
            try:
                yield from self._ask_in(plan_batch, config, chosen)
            except NucleisegError as error:
                yield NotPlanned(error)

        self._start("plan", "Looking for images", work())

    def run_batch(self) -> None:
        """Segment the files of the plan with the session's settings; it can be paused."""
        batch, chosen = self._batch, self._config
        if batch is None:
            raise SettingError("There is no folder to segment", "", "Look for its files first")
        self._going.set()
        batch.begin()

        def work() -> Iterator[Event]:
            events = self._work_in(run_batch, batch.files, batch.config, chosen)
            with closing(cast("Generator[Event, None, None]", events)):
                for event in events:
                    yield event
                    self._wait_to_go_on()

        self._start("main", BATCH, work())

    def _note(self, event: Event) -> None:
        if isinstance(event, BatchPlanned):
            self._batch = BatchProgress(event)
        elif self._batch is not None and self.doing == BATCH and self.is_busy:
            self._batch.take(event)

    @property
    def is_paused(self) -> bool:
        """Whether a batch waits to go on."""
        return not self._going.is_set()

    def pause(self) -> None:
        """Let a batch wait after its current step."""
        self._going.clear()
        if self._batch is not None:
            self._batch.pause()

    def go_on(self) -> None:
        """Let a batch that waits go on."""
        self._going.set()
        if self._batch is not None:
            self._batch.go_on()

    def _wait_to_go_on(self) -> None:
        """Wait in the thread of the work; one that is cancelled goes on, to its end."""
        while not self._going.wait(_LOOK_S):
            task = self._newest.get("main")
            if task is None or task.cancelled:
                return

    def open_result(
        self, path: Path, labels: Path, manifest: Path, series: str | None = None
    ) -> None:
        """Read a micrograph with its result, beside main work.

        `ResultOpened` brings them, or `ResultNotOpened` says why not.

        Parameters
        ----------
        path : Path
        labels, manifest : Path
            The label image, and the record of how it was made.
        series : str or None
            Which picture of a file with several.
        """
        colour = self._config.colour

        def work() -> Iterator[Event]:
            try:
                yield from self._ask_in(open_result, path, labels, manifest, series, colour)
            except NucleisegError as error:
                yield ResultNotOpened(error)

        self._start("open", f"Opening {path.name}", work())

    def open_beside(self, path: Path, series: str | None = None) -> None:
        """Read a micrograph beside main work; `Opened` brings it, or `ResultNotOpened`.

        Parameters
        ----------
        path : Path
        series : str, optional
            Which picture of a file with several; the first by default.
        """

        def work() -> Iterator[Event]:
            try:
                yield from self._ask_in(open_file, path, series)
            except NucleisegError as error:
                yield ResultNotOpened(error)

        self._start("open", f"Opening {path.name}", work())

    def judge(self, events: Iterator[Event]) -> None:
        """Compare a prediction with the truth; `judging.judge` or `judge_files` gives the events.

        It needs no network, and its arrays would take longer on their way to another process.
        """
        self._start("main", EVALUATING, self._ask_in(lambda: events))

    def judge_folders(self, *args: Any, **options: Any) -> None:
        """Evaluate folders and write a report; see `judging.judge_folders`."""
        work = partial(judge_folders, **options)
        self._start("main", EVALUATING_FOLDERS, self._work_in(work, *args))

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
            yield from self._ask_in(propose, loaded)

        self._start("channel", "Looking for the channel with the nuclei", work())

    def read_maps(self, micrograph: Micrograph | Load, config: SegmentConfig) -> None:
        """Ask what a model says of every pixel; `MapsRead` brings it. Waits for main work."""

        def work() -> Iterator[Event]:
            loaded = micrograph() if callable(micrograph) else micrograph
            events = self._work_in(read_maps, loaded, config)
            with closing(cast("Generator[Event, None, None]", events)):
                for event in events:
                    # what is told on the way belongs to a segmentation
                    if isinstance(event, MapsRead):
                        yield event

        self._start("maps", "Looking where the model sees nuclei", work())

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
