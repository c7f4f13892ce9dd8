"""What keys, buttons and the mouse do in the dock "Correct nuclei"."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from psygnal import Signal

from .. import editing
from ..errors import NucleisegError
from ..model_maps import MapsRead
from ..reviewed import around_nuclei, rectangle, whole_image
from .canvas_tools import CanvasTools
from .correct_tools import ACTIONS, TOOL_HINTS, UNDO
from .correcting import Correcting
from .desk import Desk
from .layers import plane_of
from .model_view import ModelView
from .states_layer import StatesLayer
from .view import centre_on, seen_box


class CorrectActions:
    """Does what is asked for in the layer that is chosen; what is wrong with it is told.

    Parameters
    ----------
    desk : Desk
    tools : CanvasTools
    view : ModelView
    states : StatesLayer

    Attributes
    ----------
    order : str
        In which order nuclei are looked through; one of `editing.ORDERS`.
    skips_confirmed : bool
    began : Signal()
        Something is tried: what was said of the last try is past.
    stated : Signal(str, str)
        A state of `Outcome`, and more about it.
    said : Signal(str)
    failed : Signal(Exception)
    """

    began = Signal()
    stated = Signal(str, str)
    said = Signal(str)
    failed = Signal(object)

    def __init__(
        self, desk: Desk, tools: CanvasTools, view: ModelView, states: StatesLayer
    ) -> None:
        self._desk, self._tools, self._view, self._states = desk, tools, view, states
        self._viewer = desk.bridge.viewer
        self.order, self.skips_confirmed = "reading", True
        self._first = 0
        self._waits = False
        tools.clicked.connect(self._on_click)
        tools.dragged.connect(self._on_drag)
        tools.dragging.connect(self._on_dragging)
        tools.tool_changed.connect(self._on_tool)

    @property
    def plane(self) -> tuple[int, ...]:
        """The plane that is shown, of the layer that is corrected."""
        return plane_of(self._correcting.layer, self._viewer.dims.current_step)

    @property
    def _correcting(self) -> Correcting:
        correcting = self._desk.correcting
        if correcting is None:
            raise NucleisegError("There are no nuclei to correct", "", "Choose a labels layer")
        return correcting

    # --- keys and buttons --------------------------------------------------------------------

    def act(self, name: str) -> None:
        """Do what a button or a key says: of `ACTIONS` or `UNDO`, ``review ...`` or ``end``."""
        if self._desk.correcting is None:
            return
        if name == "end":
            self._tools.tool = ""
        elif name in UNDO:
            self._try(getattr(self._correcting, name))
        elif not name.startswith("review") and self._viewer.dims.ndisplay != 2:
            self.began.emit()
            self.failed.emit(
                NucleisegError("Nuclei are corrected in 2-D", "the view is 3-D", "Press Ctrl+Y")
            )
        elif name in TOOL_HINTS:
            self._tools.tool = "" if self._tools.tool == name else name
            if self._tools.tool == "add":
                # so that the first click need not wait
                self._try(partial(self._with_maps, lambda _: None))
        else:
            self._tools.tool = ""
            self._try(partial(self._do, name))

    def _try(self, does: Callable[[], None]) -> None:
        self.began.emit()
        try:
            does()
        except NucleisegError as error:
            self.failed.emit(error)

    def _do(self, name: str) -> None:
        correcting = self._correcting
        if name.startswith("review "):
            self._review(name.removeprefix("review "))
            return
        # so that Ctrl+Z finds it
        self._viewer.layers.selection.active = correcting.layer
        if name in ("next", "previous"):
            self._go(1 if name == "next" else -1)
        elif name == "confirm":
            self._confirm()
        elif name == "confirm view":
            self._confirm_view()
        else:
            operation = ACTIONS[name].operation
            more = {"taken": [correcting.highest]} if operation is editing.split_at_waist else {}
            correcting.edit(operation, self.plane, **more)

    def _go(self, steps: int) -> None:
        if self.order == "uncertain":
            self._with_maps(lambda seen: self._move(steps, seen.probability))
        else:
            self._move(steps)

    def _move(self, steps: int, probability: np.ndarray | None = None) -> None:
        correcting, at = self._correcting, self.plane
        correcting.go(at, self.order, steps, probability, self.skips_confirmed)
        centre_on(self._viewer, correcting.layer, at, correcting.current)

    def _confirm(self) -> None:
        correcting = self._correcting
        if not correcting.current:
            raise NucleisegError("No nucleus is chosen", "", "Click on one, or press N")
        correcting.confirm([correcting.current])

    def _confirm_view(self) -> None:
        correcting = self._correcting
        labels = correcting.plane(self.plane)
        box = seen_box(correcting.layer)
        whole = np.bincount(np.maximum(labels, 0).ravel())
        part = np.bincount(np.maximum(labels[box], 0).ravel(), minlength=len(whole))
        inside = [int(n) for n in np.flatnonzero((part == whole) & (whole > 0)) if n]
        new = correcting.confirm(inside)
        what = "nucleus" if new == 1 else "nuclei"
        self.said.emit(f"{new} {what} confirmed; those that the view cuts stay as they are.")

    def _review(self, what: str) -> None:
        correcting, at = self._correcting, self.plane
        labels, areas = correcting.plane(at), correcting.areas
        if what == "view":
            rows, columns = seen_box(correcting.layer)
            corner = (rows.start - 0.5, columns.start - 0.5)
            opposite = (rows.stop - 0.5, columns.stop - 0.5)
            correcting.review([*areas, rectangle(corner, opposite, labels.shape, at)])
        elif what == "image":
            others = [area for area in areas if area.plane != at]
            correcting.review([*others, whole_image(labels.shape, at)])
        elif what == "around":
            around = around_nuclei(labels, list(correcting.states), plane=at)
            if not around:
                raise NucleisegError("No nucleus is confirmed here", "", "Confirm some first (Q)")
            correcting.review([*areas, *(area for area in around if area not in areas)])
        else:
            correcting.review([])

    # --- the mouse ---------------------------------------------------------------------------

    def _on_tool(self, tool: str) -> None:
        self._first = 0
        self.stated.emit("running" if tool else "idle", TOOL_HINTS.get(tool, ""))

    def _on_dragging(self, points: np.ndarray) -> None:
        if self._tools.tool == "line":
            self._states.show_line(points)
        elif self._tools.tool == "add":
            self._states.show_line(points[[0, -1]], closed=True)

    def _on_click(self, place: np.ndarray) -> None:
        if self._desk.correcting is not None:
            self._try(partial(self._click, place))

    def _click(self, place: np.ndarray) -> None:
        correcting, tool = self._correcting, self._tools.tool
        number = self._number_at(place)
        if not tool:
            correcting.choose(number)
        elif tool == "merge" and number and not self._first:
            self._first = number
            correcting.choose(number)
            self.stated.emit("running", "now click the second nucleus")
        elif tool == "merge" and number:
            first, self._first = self._first, 0
            self.stated.emit("running", TOOL_HINTS[tool])
            correcting.merge(first, number, self.plane)
        elif tool == "add":
            self._add(click=(float(place[0]), float(place[1])))

    def _on_drag(self, points: np.ndarray) -> None:
        self._states.show_again()
        if self._desk.correcting is not None:
            self._try(partial(self._drag, points))

    def _drag(self, points: np.ndarray) -> None:
        if self._tools.tool == "line":
            self._correcting.split_by_line(points, self.plane)
        elif self._tools.tool == "add":
            (y, x), (bottom, right) = points[0].tolist(), points[-1].tolist()
            self._add(box=((y, x), (bottom, right)))

    def _number_at(self, place: np.ndarray) -> int:
        labels = self._correcting.plane(self.plane)
        y, x = np.rint(place).astype(int)
        inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
        return max(0, int(labels[y, x])) if inside else 0

    def _add(self, **where: Any) -> None:
        correcting, at = self._correcting, self.plane
        self._with_maps(lambda seen: correcting.add(seen, at, **where))

    # --- what the model sees -----------------------------------------------------------------

    def _with_maps(self, then: Callable[[MapsRead], None]) -> None:
        """Do something with what the model sees, as soon as it is known."""
        correcting = self._correcting

        def go_on(seen: MapsRead) -> None:
            self._waits = False
            tool = self._tools.tool
            self.stated.emit("running" if tool else "idle", TOOL_HINTS.get(tool, ""))
            self._try(partial(then, seen))

        self._waits = True
        point = self._viewer.dims.current_step
        if not self._view.ask(correcting.image, correcting.layer, point, go_on) and self._waits:
            said = "the model looks at the image first, once; this goes on as soon as it is done"
            self.stated.emit("running", said)

    def fail(self, error: Exception) -> None:
        """Hear that some work of the session failed; it was ours if we wait for it."""
        if self._waits:
            self._waits = False
            self.failed.emit(error)
            self.stated.emit("failed", "")
