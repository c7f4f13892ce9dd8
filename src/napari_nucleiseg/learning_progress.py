"""Where a fine-tuning is, in words and as a share, from its events."""

from __future__ import annotations

import time
from collections.abc import Callable

from . import wording
from .events import BatchDone, Comparing, DeviceChosen, Event, Finetuned, Planned, RateTried

# times that as much is compared after the learning as was before it
_COMPARED_AGAIN = 4


class Progress:
    """Hears the events of one fine-tuning.

    Parameters
    ----------
    clock : callable
        Gives seconds.

    Attributes
    ----------
    words : str
        What goes on, and what is left.
    share : float or None
        How much of it is done; None where that is not known.
    device : str
        Where it learns, and why; empty before that is known.
    has_learned : bool
        Whether there is anything to keep.
    is_learning : bool
        Whether it learns right now, rather than compares.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._plan: Planned | None = None
        self._phase, self._began, self._rested = "", clock(), 0.0
        self._first_share: float | None = None
        self._paused_at: float | None = None
        self._comparing_s = 0.0
        self.words, self.device = "getting ready", ""
        self.share: float | None = None
        self.has_learned = self.is_learning = False

    def pause(self) -> None:
        """Stop the clock."""
        self._paused_at = self._clock()

    def go_on(self) -> None:
        """Let the clock run again."""
        if self._paused_at is not None:
            self._rested += self._clock() - self._paused_at
            self._paused_at = None

    def hear(self, event: Event) -> None:
        """Take an event into account."""
        if isinstance(event, Planned):
            self._plan = event
        elif isinstance(event, DeviceChosen):
            name = wording.device_name(event.device)
            self.device = f"{name} · {event.reason}" if event.reason else name
        elif isinstance(event, Comparing):
            self._compare(event)
        elif isinstance(event, RateTried):
            self._enter("trying")
            self.share = event.step / event.total
            self.words = f"finding out how fast it may learn · {event.step} of {event.total}"
        elif isinstance(event, BatchDone):
            self._learn(event)
        elif isinstance(event, Finetuned):
            self.share, self.words, self.is_learning = 1.0, "", False

    def _enter(self, phase: str) -> float:
        """Seconds since this phase began, without pauses."""
        if phase != self._phase:
            self._phase, self._began, self._rested = phase, self._clock(), 0.0
        return self._clock() - self._began - self._rested

    def _compare(self, event: Comparing) -> None:
        seconds = self._enter("after" if self.has_learned else "before")
        self.is_learning = False
        self.share = share = event.done / max(event.total, 1)
        if self.has_learned:
            what = "comparing the old model with the new one"
        else:
            what, self._comparing_s = "seeing how good the old model is", seconds
        left = wording.time_left(share, seconds)
        self.words = f"{what} · image {event.done} of {event.total}{left}"

    def _learn(self, event: BatchDone) -> None:
        seconds = self._enter("learning")
        self.has_learned = self.is_learning = True
        if self._first_share is None:
            # a resumed run begins in the middle
            self._first_share = event.progress
        done = event.progress - self._first_share
        self.share = event.progress
        after = ""
        if event.progress - self._first_share >= 0.05 or event.progress > 0.9:
            left = seconds * (1 - event.progress) / max(done, 1e-9)
            left += _COMPARED_AGAIN * self._comparing_s
            after = f" · {wording.rest(left)}"
        self.words = f"learning{self._place(event)}{after}"

    def _place(self, event: BatchDone) -> str:
        """Say which round and step it is."""
        plan = self._plan
        if plan is None:
            return ""
        step = (event.step - 1) % plan.steps_per_epoch + 1
        place = f" · round {event.epoch} of {plan.epochs}, step {step} of {plan.steps_per_epoch}"
        if plan.runs > 1:
            number = min(int(event.progress * plan.runs - 1e-9), plan.runs - 1) + 1
            place = f" · part {number} of {plan.runs}{place}"
        return place
