"""Nuclei of what a window shows, found anew whenever the view moves, at the resolution shown.

Channel, range of intensities, size of nuclei and network are those of `segment`. Only the newest
view counts: while one is looked at, a later one waits, and takes the place of any that waited.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Hashable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from psygnal import Signal

from .channels import choose_pixels
from .config import SegmentConfig
from .engine import build_engine
from .events import Decoding, Event
from .finding import decode_config, factor_given, find, look_again, run_tiles
from .gathering import gathering
from .instances import diameters
from .micrograph import Load, Micrograph
from .nucleus_size import diameter_px
from .numbering import keep_numbers
from .store import ModelCard, find_model
from .tasks import Runner, Task, WorkIn, run_now, wait_for_step, work_here
from .viewing import Frame, TooMuchError, View, frame_of, range_of_whole, read_frame, working_factor

SMALLEST_PX = 5.0
"""Narrower nuclei cannot be told apart."""

# what tells how large nuclei are
_SAMPLE_PX = 512


@dataclass(frozen=True)
class Sized(Event):
    """How large nuclei of a micrograph are, told by a part of it.

    Attributes
    ----------
    diameter_px : float
        Median, in pixels of the micrograph.
    factor : float
        How much to enlarge the micrograph for the network.
    """

    diameter_px: float
    factor: float


@dataclass(frozen=True)
class Looked(Event):
    """The nuclei of a view, and those of the room around it that reach into it.

    Attributes
    ----------
    labels : (h, w) int32 ndarray
        0 background; a nucleus that was in the view before has kept its number. Numbers may have
        gaps.
    origin : (float, float)
        Middle of the first pixel, in pixels of the micrograph with the first one's at 0.
    step : (float, float)
        Height and width of a pixel of the labels, in pixels of the micrograph.
    count : int
        Number of nuclei.
    seconds : float
        From the start of the work to this.
    """

    labels: np.ndarray
    origin: tuple[float, float]
    step: tuple[float, float]
    count: int
    seconds: float


@dataclass(frozen=True)
class Unseen(Event):
    """Why there is nothing to be found in a view, in one sentence."""

    text: str


@dataclass(frozen=True)
class Picture:
    """A micrograph ready to be looked at.

    Attributes
    ----------
    chosen : Micrograph
        With axes YX or YXS, maybe still in its file.
    ends : (float, float)
        Ends of the range of the whole of it.
    model : ModelCard
    config : SegmentConfig
    sized : Sized or None
        None where the size of nuclei is still to be found out.
    """

    chosen: Micrograph
    ends: tuple[float, float]
    model: ModelCard
    config: SegmentConfig
    sized: Sized | None


def prepare(micrograph: Micrograph, config: SegmentConfig) -> Picture:
    """Choose what of a micrograph is looked at, as `segment` does.

    Parameters
    ----------
    micrograph : Micrograph
        Pixels that are still in a file stay there.
    config : SegmentConfig

    Raises
    ------
    NucleisegError
        If model, channel or plane are not there.
    """
    model = find_model(config.model)
    plane = micrograph.one_plane(config.z, config.t)
    chosen, _ = choose_pixels(plane, config.channel, config.colour, config.merge)
    ends = range_of_whole(chosen, model.normalise)
    known = model.median_diameter_px or 0.0
    given = diameter_px(config.nucleus_diameter, micrograph.pixel_size_um)
    sized: Sized | None = None
    if given is not None:
        sized = Sized(given, factor_given(micrograph.pixel_size_um, model, config))
    elif config.nucleus_diameter != "auto" or not known:
        sized = Sized(known, 1.0)
    return Picture(chosen, ends, model, config, sized)


def look(
    picture: Picture, view: View, earlier: Looked | None = None, work_in: WorkIn = work_here
) -> Iterator[Event]:
    """Find the nuclei of a view.

    Parameters
    ----------
    picture : Picture
    view : View
    earlier : Looked or None
        What was found in the view before: its nuclei keep their numbers.
    work_in : callable
        See `Session`: where the network runs.

    Yields
    ------
    Event
        `Sized` where the size of nuclei was to be found out, and last `Looked` or `Unseen`.

    Raises
    ------
    NucleisegError
        If the device is not there, memory does not suffice, or a file cannot be read.
    """
    started = time.monotonic()
    chosen, ends = picture.chosen, picture.ends
    if not ends[1] > ends[0]:
        yield Unseen(f"{chosen.name} is empty: nothing in it stands out from its background")
        return
    sized = picture.sized
    if sized is None:
        sample = _sample(chosen, view)
        for event in work_in(find_size, sample, ends, picture.model, picture.config):
            if isinstance(event, Sized):
                sized = event
                yield event
    # without nuclei around, those that the model knows are expected
    known = sized or Sized(picture.model.median_diameter_px or 0.0, 1.0)
    factor = working_factor(view.magnification, known.factor)
    diameter = known.diameter_px * factor
    if 0 < diameter < SMALLEST_PX:
        yield Unseen(
            f"Zoom in: nuclei are about {max(diameter, 1):.0f} px wide on the screen, "
            "too small to be told apart"
        )
        return
    frame = frame_of(chosen.shape, view, factor, diameter / 2)
    if frame is None:
        yield Unseen(f"The view shows nothing of {chosen.name}")
        return
    try:
        pixels, ends = read_frame(chosen, frame, ends)
    except TooMuchError as error:
        yield Unseen(str(error))
        return
    before = None if earlier is None else _moved(earlier, frame)
    steps = work_in(
        find_in_frame, pixels, ends, picture.model, picture.config, factor, frame, before
    )
    with closing(cast("Generator[Event, None, None]", steps)):
        for event in steps:
            if isinstance(event, Looked):
                event = replace(event, seconds=time.monotonic() - started)
            yield event


def _sample(micrograph: Micrograph, view: View) -> Micrograph:
    """Cut out what tells how large nuclei are: the middle of the view, at full resolution."""
    place = []
    for length, (low, high) in zip(micrograph.shape, (view.rows, view.columns), strict=True):
        start = int(np.clip((low + high - _SAMPLE_PX) / 2, 0, max(0, length - _SAMPLE_PX)))
        place.append(slice(start, start + _SAMPLE_PX))
    pixels = np.ascontiguousarray(micrograph.pixels[place[0], place[1]])
    return replace(micrograph, pixels=pixels, levels=())


def find_size(
    sample: Micrograph, ends: tuple[float, float], model: ModelCard, config: SegmentConfig
) -> Iterator[Event]:
    """Find out how large nuclei are, as `segment` does.

    Parameters
    ----------
    sample : Micrograph
        A part of the micrograph.
    ends : (float, float)
        Ends of the range of the whole.
    model : ModelCard
    config : SegmentConfig

    Yields
    ------
    Event
        Those of `find`, and last `Sized` where nuclei were found.
    """
    engine = build_engine(model, config, is_quick=True)
    found = yield from find(sample, ends, model, config, engine, 1.0)
    found = yield from look_again(sample, ends, model, config, found)
    sizes = diameters(found.labels)
    if len(sizes):
        yield Sized(float(np.median(sizes)), found.factor)


def find_in_frame(
    pixels: np.ndarray,
    ends: tuple[float, float],
    model: ModelCard,
    config: SegmentConfig,
    factor: float,
    frame: Frame,
    before: np.ndarray | None,
) -> Iterator[Event]:
    """Find the nuclei of a frame that reach into the view.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) ndarray
        See `read_frame`.
    ends : (float, float)
        Ends of their range.
    model : ModelCard
    config : SegmentConfig
    factor : float
        How much the micrograph was enlarged.
    frame : Frame
    before : (h, w) int32 ndarray or None
        Labels of the same place that were found earlier.

    Yields
    ------
    Event
        `TileDone`, `Decoding`, and last `Looked`.
    """
    engine = build_engine(model, config, is_quick=True)
    gathered = gathering(model.map_names, frame.shape, decode_config(config, factor))
    if not model.finds_instances:
        # all of it at once: there is no need to overlap
        side = -(-max(frame.shape) // model.multiple) * model.multiple
        config = config.model_copy(update={"tile_px": side})
    yield from run_tiles(gathered, pixels, ends, model, config, engine)
    yield Decoding()
    labels, _ = gathered.labels()
    kept = np.zeros(int(labels.max(initial=0)) + 1, bool)
    kept[labels[frame.view]] = True
    kept[0] = False
    labels = np.where(kept, np.arange(len(kept)), 0).astype(np.int32)[labels]
    if before is not None:
        labels = keep_numbers(labels, before)
    yield Looked(labels, frame.origin, frame.step, int(kept.sum()), 0.0)


def _moved(earlier: Looked, frame: Frame) -> np.ndarray:
    """Give the labels of an earlier view on the pixels of another frame; 0 outside of it."""
    result = np.zeros(frame.shape, np.int32)
    theirs, mine = [], []
    for axis in range(2):
        places = frame.origin[axis] + np.arange(frame.shape[axis]) * frame.step[axis]
        at = np.round((places - earlier.origin[axis]) / earlier.step[axis]).astype(int)
        inside = np.nonzero((at >= 0) & (at < earlier.labels.shape[axis]))[0]
        mine.append(inside)
        theirs.append(at[inside])
    result[np.ix_(*mine)] = earlier.labels[np.ix_(*theirs)]
    return result


class Live:
    """Looks at the newest view of a window.

    Parameters
    ----------
    run : callable
        Drains a `Task`; by default at once.
    work_in : callable
        See `Session`.

    Attributes
    ----------
    event : Signal(Event)
        `Looked` or `Unseen` of the newest view, on the caller's thread.
    failed : Signal(Exception)
        What looking at the newest view raised.
    """

    event = Signal(Event)
    failed = Signal(Exception)

    def __init__(self, run: Runner = run_now, work_in: WorkIn = work_here) -> None:
        self._run, self._work_in = run, work_in
        self._task: Task | None = None
        self._wanted: Task | None = None
        # of the work, which is one at a time
        self._loaded: tuple[Hashable, Micrograph] | None = None
        self._picture: Picture | None = None
        self._shown: tuple[Hashable, Looked] | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether a view is looked at now, wanted or not."""
        return self._task is not None

    def look(
        self, key: Hashable, micrograph: Micrograph | Load, config: SegmentConfig, view: View
    ) -> None:
        """Look at a view; what was asked before is dropped.

        Parameters
        ----------
        key : hashable
            Another one for other pixels.
        micrograph : Micrograph or callable
            A callable is asked for it in the work, once for each key.
        config : SegmentConfig
        view : View
        """
        self.stop()
        name = "the view" if callable(micrograph) else micrograph.name
        task = Task(
            f"Looking at {name}",
            self._work(key, micrograph, config, view),
            lambda event: self._on_event(task, key, event),
            lambda error: self._on_failed(task, error),
            self._on_end,
            lambda: wait_for_step(0.0),
        )
        self._wanted = task
        if self._task is None:
            self._begin()

    def stop(self) -> None:
        """Drop what was asked: no signal comes any more."""
        self._wanted = None
        if self._task is not None:
            self._task.cancelled = True

    def forget(self) -> None:
        """Stop, and let go of the micrograph and of what was found."""
        self.stop()
        self._loaded = self._picture = self._shown = None

    def _begin(self) -> None:
        self._task = self._wanted
        if self._task is not None:
            self._run(self._task)

    def _work(
        self, key: Hashable, micrograph: Micrograph | Load, config: SegmentConfig, view: View
    ) -> Iterator[Event]:
        if self._loaded is None or self._loaded[0] != key:
            self._picture = None
            self._loaded = key, micrograph() if callable(micrograph) else micrograph
        loaded, picture = self._loaded[1], self._picture
        if picture is None or picture.config != config:
            picture = prepare(loaded, config)
        self._picture = picture
        shown = self._shown
        earlier = shown[1] if shown is not None and shown[0] == key else None
        for event in look(picture, view, earlier, self._work_in):
            if isinstance(event, Sized):
                self._picture = replace(picture, sized=event)
            yield event

    def _on_event(self, task: Task, key: Hashable, event: Event) -> None:
        if task is not self._wanted:
            return
        if isinstance(event, Looked):
            self._shown = key, event
        if isinstance(event, Looked | Unseen):
            self.event.emit(event)

    def _on_failed(self, task: Task, error: Exception) -> None:
        if task is self._wanted:
            self.failed.emit(error)

    def _on_end(self) -> None:
        ended, self._task = self._task, None
        if self._wanted is ended:
            self._wanted = None
        self._begin()
