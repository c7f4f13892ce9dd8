"""Tasks: work as an iterator of events, who hears of them, and how it is drained."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

from .events import Event

WorkIn = Callable[..., Iterator[Event]]


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
