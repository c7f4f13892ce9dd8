"""What each step of a layer's history does beside its pixels: undo takes that back, too."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..editing import Emptying, State
from ..reviewed import Area

Areas = tuple[Area, ...]


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes
    ----------
    states : mapping of int to (State or None, State or None)
        For each nucleus its state before and after, None where it has none.
    emptied : Emptying
        Places that a person emptied or filled.
    areas : (tuple of Area, tuple of Area) or None
        Reviewed areas before and after, where they change.
    """

    states: Mapping[int, tuple[State | None, State | None]] = field(default_factory=dict)
    emptied: Emptying = field(default_factory=Emptying)
    areas: tuple[Areas, Areas] | None = None

    def reverse(self) -> Step:
        """Give the way back."""
        states = {n: (after, before) for n, (before, after) in self.states.items()}
        areas = None if self.areas is None else (self.areas[1], self.areas[0])
        return Step(states, self.emptied.reverse(), areas)


class Steps:
    """The steps beside those of the undo history of a layer: as many, in the same order."""

    def __init__(self) -> None:
        self._done: deque[Step] = deque()
        self._undone: list[Step] = []

    def do(self, step: Step, length: int) -> None:
        """Add a step; the history remembers no more than ``length``."""
        self._done.append(step)
        self._undone.clear()
        while len(self._done) > length:
            self._done.popleft()

    def undo(self, unknown: Step) -> Step:
        """Give the way back of the last step; ``unknown`` if nobody listened when it was done."""
        step = self._done.pop().reverse() if self._done else unknown
        self._undone.append(step.reverse())
        return step

    def redo(self, unknown: Step) -> Step:
        """Give the step that was undone last; ``unknown`` if nobody listened."""
        step = self._undone.pop() if self._undone else unknown
        self._done.append(step)
        return step

    def clear(self) -> None:
        """Forget all, as the history does when a layer gets other data."""
        self._done.clear()
        self._undone.clear()


def between(before: Mapping[int, State], after: Mapping[int, State]) -> Step:
    """Give the step from some states to others."""
    return Step(
        {
            n: (before.get(n), after.get(n))
            for n in sorted({*before, *after})
            if before.get(n) != after.get(n)
        }
    )
