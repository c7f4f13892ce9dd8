"""Correcting the nuclei of one Labels layer: operations, states, and which nucleus is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from psygnal import Signal
from qtpy.QtCore import QTimer

from .. import editing
from ..editing import (
    Change,
    Emptying,
    State,
    in_plane,
    keep_states,
    merge_prediction,
    nowhere,
)
from ..errors import SettingError
from ..model_maps import MapsRead
from ..reviewed import Area, reviewed_mask
from .history import History, Way
from .steps import Step, Steps, between

# numbers above this are counted one by one
MOST_NUMBERS = 1 << 24
# how often it is asked whether a stroke has ended
STROKE_MS = 50


class Correcting:
    """Corrections of one layer, each of them one step of its undo history.

    Parameters
    ----------
    image : Image
        The micrograph that the nuclei belong to.
    layer : Labels
        Its data must be an array in memory.

    Attributes
    ----------
    states : dict of int to State
        Of the nuclei that a person edited or confirmed.
    areas : tuple of Area
        Reviewed areas.
    emptied : (N,) int64 ndarray
        Flat indices of pixels of nuclei that a person made background.
    current : int
        Number of the nucleus that is looked at, 0 for none.
    changed : Signal(Change, dict, Emptying)
        Something was done or undone: pixels, new states by number, places emptied or filled.
    reviewed : Signal()
        The reviewed areas changed, which is a step that can be undone, too.
    chosen : Signal()
        Another nucleus is looked at.
    """

    changed = Signal(object, object, object)
    reviewed = Signal()
    chosen = Signal()

    def __init__(self, image: Image, layer: Labels) -> None:
        self.image, self.layer = image, layer
        self.states: dict[int, State] = {}
        self.areas: tuple[Area, ...] = ()
        self.emptied = nowhere()
        self.current = 0
        self._sequence: list[int] = []
        self._left = 0
        # what the last ranking was for, and its result
        self._ranked: tuple[tuple[Any, ...], list[int], Any] | None = None
        self._planned: Step | None = None
        self._late: tuple[np.ndarray, tuple[int, ...]] | None = None
        self._steps = Steps()
        self._count_all()
        self._history = History(layer, self._heard)

    def close(self) -> None:
        """Hear no more of the layer."""
        self._late = None
        self._history.close()

    # --- what is there -----------------------------------------------------------------------

    @property
    def sizes(self) -> Mapping[int, int]:
        """Pixels of each nucleus that is there."""
        return self._sizes

    def state_of(self, number: int) -> State:
        """State of a nucleus."""
        return self.states.get(number, State.PREDICTED)

    @property
    def is_touched(self) -> bool:
        """Whether there is anything of a person's: a state, a reviewed area, an emptied place."""
        return bool(self.states) or bool(self.areas) or bool(self.emptied.size)

    def plane(self, at: tuple[int, ...]) -> np.ndarray:
        """Labels of a plane, as a view."""
        view: np.ndarray = self.layer.data[at]
        return view

    def restart(self) -> None:
        """Begin anew, since the layer got other data: its history means nothing any more."""
        self._count_all()
        self._ranked = self._late = None
        self._history.clear()
        self._steps.clear()
        self.states = {n: s for n, s in self.states.items() if n in self._sizes}
        data = np.asarray(self.layer.data).ravel()
        if self.emptied.size:  # in other data it means nothing; in the same, where it is empty
            inside = self.emptied[self.emptied < data.size]
            self.emptied = inside[data[inside] == 0]
        self.choose(self.current if self.current in self._sizes else 0)

    def put(
        self,
        states: Mapping[int, State],
        areas: Collection[Area],
        emptied: np.ndarray | None = None,
    ) -> None:
        """Take what was kept beside the labels, without telling that anything was done."""
        self.states = {n: State(s) for n, s in states.items() if s != State.PREDICTED}
        self.areas = tuple(areas)
        self.emptied = nowhere() if emptied is None else emptied

    def take_over(self, other: Correcting) -> None:
        """Go on with what was done to the same layer before it was deleted and came back."""
        self.put(other.states, other.areas, other.emptied)
        self._steps = other._steps

    # --- which nucleus -----------------------------------------------------------------------

    def choose(self, number: int) -> None:
        """Look at a nucleus."""
        if self.current and not number:
            self._left = self.current
        self.current = number
        self.chosen.emit()

    def go(
        self,
        at: tuple[int, ...],
        by: str,
        steps: int,
        probability: np.ndarray | None = None,
        skip_confirmed: bool = False,
    ) -> None:
        """Look at the next nucleus of a plane, or the one before.

        Parameters
        ----------
        at : tuple of int
            The plane.
        by : str
            One of `editing.ORDERS`.
        steps : int
            1 for the next, -1 for the one before.
        probability : (H, W) ndarray, optional
            For the order by certainty.
        skip_confirmed : bool
        """
        here = self._ordered(at, by, probability)
        open_ = [
            n
            for n in here
            if not skip_confirmed or n == self.current or self.state_of(n) != State.CONFIRMED
        ]
        if not open_ or (skip_confirmed and open_ == [self.current] and self._is_confirmed()):
            raise SettingError(
                "There is no other nucleus to look at",
                "all in this plane are confirmed" if here else "this plane has none",
                "Go to another plane or image",
            )
        start = self.current or self._left
        if start in open_:
            at_now = open_.index(start)
            number = open_[(at_now + steps) % len(open_)]
        else:
            number = self._follower(start, open_, steps)
        self._sequence = here
        self.choose(number)

    def _ordered(self, at: tuple[int, ...], by: str, probability: np.ndarray | None) -> list[int]:
        """Nuclei of a plane in order; ranked anew only when it matters, since that takes long."""
        asked = at, by, None if probability is None else probability.ctypes.data
        if self._ranked is None or self._ranked[0] != asked:
            # the map stays alive with it: at its place in memory no other one can lie
            self._ranked = asked, editing.order(self.plane(at), by, probability), probability
        return [n for n in self._ranked[1] if n in self._sizes]

    def _is_confirmed(self) -> bool:
        return self.state_of(self.current) == State.CONFIRMED

    def _follower(self, gone: int, there: list[int], steps: int) -> int:
        """The nucleus that comes after one that is gone, in the order that was known."""
        if gone in self._sequence:
            at = self._sequence.index(gone)
            after = self._sequence[at + 1 :] if steps > 0 else self._sequence[:at][::-1]
            for number in after:
                if number in there:
                    return number
        return there[0 if steps > 0 else -1]

    # --- what is done ------------------------------------------------------------------------

    def edit(self, operation: Callable[..., Change], at: tuple[int, ...], **more: Any) -> None:
        """Apply an operation of `editing` to the nucleus that is looked at.

        Raises
        ------
        SettingError
            If none is, or the operation refuses.
        """
        labels = self.plane(at)
        if not self.current or not (labels == self.current).any():
            raise SettingError(
                "No nucleus is chosen", "", "Click on one, or go to the next one (N)"
            )
        self.perform(operation(labels, self.current, **more), at)

    def merge(self, first: int, second: int, at: tuple[int, ...]) -> None:
        """Make two nuclei one."""
        self.perform(editing.merge(self.plane(at), first, second), at)
        self.choose(first)

    def split_by_line(self, points: np.ndarray, at: tuple[int, ...]) -> None:
        """Cut the nucleus that a line runs through for the longest part."""
        labels = self.plane(at)
        number = longest_under(labels, points)
        self.perform(editing.split_by_line(labels, number, points, taken=[self.highest]), at)
        self.choose(number)

    def add(self, seen: MapsRead, at: tuple[int, ...], **where: Any) -> None:
        """Add a nucleus by ``click`` or ``box``; see `editing.nucleus_from_maps`."""
        labels, taken = self.plane(at), [self.highest]
        if seen.probability is None:
            change = editing.nucleus_from_pixels(seen.pixels, labels, taken=taken, **where)
        else:
            change = editing.nucleus_from_maps(seen.names, seen.maps, labels, taken=taken, **where)
        self.perform(change, at)
        self.choose(int(change.after.max()))

    def confirm(self, numbers: Collection[int]) -> int:
        """Say that nuclei are right; gives how many were not confirmed before."""
        new = [n for n in numbers if self.state_of(n) != State.CONFIRMED]
        if new:
            after = {**self.states, **dict.fromkeys(new, State.CONFIRMED)}
            self._do(between(self.states, after), self._history.add_empty_step)
        return len(new)

    def take_prediction(self, labels: np.ndarray, at: tuple[int, ...] = ()) -> int:
        """Fill what no person has decided on with a new prediction; gives the nuclei that stayed.

        Parameters
        ----------
        labels : (H, W) int32 ndarray
            What the model finds now.
        at : tuple of int
            Of a stack: its plane.
        """
        plane = self.plane(at)
        present = np.unique(plane) if at else self.states
        stay = {n: s for n, s in self.states.items() if n in present}
        if self.layer._block_history:
            # a stroke is under way: it is a step of its own, and known only when it ends
            if self._late is None:
                QTimer.singleShot(STROKE_MS, self._take_late)
            self._late = labels, at
            return len(stay)
        inside = reviewed_mask(self.areas, self.layer.data.shape)[at] if self.areas else None
        merged, states = merge_prediction(
            labels,
            plane,
            stay,
            inside,
            in_plane(self.emptied, at, self.layer.data.shape),
            self.highest if at else 0,
        )
        change = Change.between(plane, merged).in_stack(at, self.layer.data.shape)
        if len(change):
            others = {n: s for n, s in self.states.items() if n not in stay}
            self._do(
                between(self.states, {**others, **states}),
                lambda: self.layer.data_setitem(change.places(), change.after),
            )
        return len(states)

    def review(self, areas: Collection[Area]) -> None:
        """Set the reviewed areas, as one step that can be undone."""
        if tuple(areas) != self.areas:
            step = Step(areas=(self.areas, tuple(areas)))
            self._do(step, self._history.add_empty_step)

    def undo(self) -> None:
        """Take the last step back, whatever it was about.

        Raises
        ------
        SettingError
            If there is none.
        """
        if not self._history.length:
            raise SettingError("There is nothing to undo", self.layer.name)
        self.layer.undo()

    def redo(self) -> None:
        """Do again what was undone last.

        Raises
        ------
        SettingError
            If there is nothing.
        """
        if not self._history.undone:
            raise SettingError("There is nothing to do again", self.layer.name)
        self.layer.redo()

    def perform(self, change: Change, at: tuple[int, ...]) -> None:
        """Apply a change of a plane as one step that can be undone.

        Raises
        ------
        SettingError
            If it changes nothing.
        """
        if not len(change):
            raise SettingError("There is nothing to change", f"nucleus {self.current}")
        whole = change.in_stack(at, self.layer.data.shape)
        self.layer.data_setitem(whole.places(), whole.after)
        if self.current and self.current not in self._sizes:
            self.choose(0)

    @property
    def highest(self) -> int:
        """Highest number that any nucleus has or had."""
        return self._highest

    # --- what was done -----------------------------------------------------------------------

    def _count_all(self) -> None:
        data = np.asarray(self.layer.data)
        self._highest = max(0, int(data.max(initial=0)))
        if self._highest < MOST_NUMBERS:
            counts = np.bincount(np.maximum(data, 0).ravel())
            numbers = np.flatnonzero(counts)
            found = zip(numbers.tolist(), counts[numbers].tolist(), strict=True)
        else:
            numbers, counts = np.unique(data, return_counts=True)
            found = zip(numbers.tolist(), counts.tolist(), strict=True)
        self._sizes: Counter[int] = Counter({n: c for n, c in found if n > 0})

    def _count(self, change: Change) -> None:
        for sign, numbers in ((-1, change.before), (1, change.after)):
            present, counts = np.unique(numbers[numbers > 0], return_counts=True)
            for number, count in zip(present.tolist(), counts.tolist(), strict=True):
                if number not in self._sizes:
                    self._ranked = None
                self._sizes[number] += sign * count
                self._highest = max(self._highest, number)
        for number in change.numbers:
            if self._sizes[number] <= 0:
                del self._sizes[number]

    def _do(self, step: Step, act: Callable[[], None]) -> None:
        """Do something whose effect beside the pixels is known already."""
        self._planned = step
        try:
            act()
        finally:
            # the next step must not take it, should the layer have told of nothing
            self._planned = None

    def _heard(self, change: Change, way: Way) -> None:
        self._count(change)
        if self.layer.ndim > 2:  # a nucleus can be gone from one plane alone
            self._ranked = None
        left = np.array([n for n in change.numbers if n in self._sizes], np.int64)
        seen = between(self.states, keep_states(self.states, change, left))
        if way == "do":
            step = self._planned or replace(seen, emptied=Emptying.by(change, self.emptied))
            self._planned = None
            self._steps.do(step, self._history.length)
        else:
            # done before anybody listened, it may have been a person or a model
            unknown = replace(seen, emptied=Emptying.filled(change, self.emptied))
            step = self._steps.undo(unknown) if way == "undo" else self._steps.redo(unknown)
        self._take(step)
        if len(change) or step.areas is None:
            states = {n: after for n, (_, after) in step.states.items()}
            self.changed.emit(change, states, step.emptied)
        if step.areas is not None:
            self.reviewed.emit()
        if self.current and self.current not in self._sizes:
            self.choose(0)

    def _take(self, step: Step) -> None:
        for number, (_, state) in step.states.items():
            self.states.pop(number, None)
            if state is not None:
                self.states[number] = state
        self.emptied = step.emptied.apply(self.emptied)
        if step.areas is not None:
            self.areas = step.areas[1]

    def _take_late(self) -> None:
        """Take the prediction that came during a stroke, as soon as it has ended."""
        if self._late is not None and self.layer._block_history:
            QTimer.singleShot(STROKE_MS, self._take_late)
            return
        late, self._late = self._late, None
        if late is not None and late[0].shape == self.plane(late[1]).shape:
            self.take_prediction(*late)


def longest_under(labels: np.ndarray, points: np.ndarray) -> int:
    """Number of the nucleus that most of a line lies on.

    Raises
    ------
    SettingError
        If it crosses none.
    """
    steps = int(np.ceil(np.abs(np.diff(points, axis=0)).max(initial=1))) * 2 + 1
    on = np.concatenate([np.linspace(a, b, steps) for a, b in pairwise(points)] or [points])
    at = np.rint(on).astype(int)
    inside = ((at >= 0) & (at < labels.shape)).all(axis=1)
    under = labels[tuple(at[inside].T)]
    under = under[under > 0]
    if not under.size:
        raise SettingError(
            "The line crosses no nucleus", "", "Draw it from one side of the nucleus to the other"
        )
    return int(np.bincount(under).argmax())
