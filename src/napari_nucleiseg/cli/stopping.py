"""Ctrl-C while a network learns: first after the step under way, then at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .console import say

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Stop:
    """Whether the user has asked to stop, and whether it is a step that has to end first.

    Attributes
    ----------
    asked : bool
    between_steps : bool
        Set by whoever drains the events: a step that is cut in two would leave half-changed
        weights in the checkpoint.
    """

    asked: bool = False
    between_steps: bool = False


@contextmanager
def stopping() -> Iterator[Stop]:
    """Turn the first signal to stop into a question, and end quietly by the second."""
    stop = Stop()

    def ask_to_stop(*_: object) -> None:
        if stop.asked or not stop.between_steps:
            raise KeyboardInterrupt
        stop.asked = True
        say("Stopping after this step; press Ctrl-C again to stop at once.")

    earlier = {number: signal.signal(number, ask_to_stop) for number in _SIGNALS}
    try:
        yield stop
    except KeyboardInterrupt:
        stop.asked = True
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
