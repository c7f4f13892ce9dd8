"""The dock "Correct nuclei", which asks which of these are wrong, and puts them right."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize, QTimer
from qtpy.QtWidgets import QCheckBox, QFileDialog, QFormLayout, QVBoxLayout, QWidget

from .. import editing
from ..editing import ORDERS, State
from ..errors import NucleisegError
from ..model_maps import MapsRead
from ..reviewed import around_nuclei, rectangle, whole_image
from . import memory
from .canvas_tools import CanvasTools
from .correct_tools import ACTIONS, KEYS, ORDER_TITLES, TOOL_HINTS, Legend, ToolButtons
from .desk import candidates, desk_of
from .forms import ElidedComboBox, Fold, shrink
from .keeping_bar import KeepingBar
from .keys import Keys
from .layers import plane_of
from .model_view import ModelView
from .outcome import Outcome
from .states_layer import StatesLayer
from .view import centre_on, seen_box
from .widgets import (
    add_row,
    button,
    column,
    fill,
    fill_data,
    form_layout,
    index_of,
    layer_list_signals,
    listen,
    row,
    scrolled,
    text,
)

# strokes are forced to the disk this long after the last one
WRITE_MS = 1000


class CorrectDock(QWidget):
    """Look at one nucleus after the other, put it right with one key, confirm it.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands in a proxy of it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._desk = desk_of(napari_viewer)
        self._bridge = self._desk.bridge
        self._viewer, self._session = self._bridge.viewer, self._bridge.session
        self._images: list[Image] = []
        self._labels: list[Labels] = []
        self._first = 0
        self._plane: tuple[int, ...] = ()
        kept = memory.recall().get("correct", {})
        self._kept = kept if isinstance(kept, dict) else {}

        self.states = StatesLayer(self._viewer)
        self.tools = CanvasTools(self._viewer)
        self.outcome = Outcome()
        self.view = ModelView(self._session, self)
        self.keys = Keys(self._viewer, KEYS, self.act)
        self._writing = QTimer(self, singleShot=True, interval=WRITE_MS)
        self._writing.timeout.connect(self._write)
        self._drawing = QTimer(self, singleShot=True, interval=0)
        self._drawing.timeout.connect(self._draw)
        self._showing = QTimer(self, singleShot=True, interval=0)
        self._showing.timeout.connect(self._show_states_now)
        self._undrawn: list[tuple[Any, tuple[int, ...]]] = []

        self.buttons = ToolButtons(self.act)
        self.legend = Legend()
        self.about = text()
        self.keeping = KeepingBar(self._desk, self._ask_for_folder)
        self._body = column(
            self.keeping.bar,
            self.about,
            self._build_order(),
            self.buttons,
            self.legend,
            self._build_reviewed(),
            spacing=6,
        )
        self._welcome = text(
            "Open an image and segment it (dock Segment nuclei), or add a labels layer; then "
            "correct its nuclei here."
        )
        self._column = column(spacing=6)
        layout = self._column.layout()
        layout.addLayout(self._build_choices())
        for widget in (self._welcome, self._body, self.outcome, self.keeping.line):
            layout.addWidget(widget)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scrolled(self._column))
        self.setMinimumWidth(260)

        self._listen()
        self.outcome.say_state("idle")
        self.show_layers()
        self._paint()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Width that shows most names whole."""
        return QSize(300, self._column.sizeHint().height())

    # --- what is in it -----------------------------------------------------------------------

    def _build_choices(self) -> QFormLayout:
        form = form_layout()
        self.image = shrink(ElidedComboBox())
        self.image.activated.connect(lambda _: self._choose_image())
        add_row(form, "Image", self.image, "The micrograph that the nuclei belong to")
        self.nuclei = shrink(ElidedComboBox())
        self.nuclei.activated.connect(lambda _: self._choose())
        add_row(form, "Nuclei", self.nuclei, "The labels layer that is corrected")
        return form

    def _build_order(self) -> QWidget:
        self.order = shrink(ElidedComboBox())
        self.order.setAccessibleName("Order")
        self.order.setToolTip("In which order the nuclei are looked through")
        titles = [(ORDER_TITLES[name], name) for name in ORDERS]
        fill_data(self.order, titles, self._kept.get("order"))
        self.order.activated.connect(lambda _: self._remember())
        self.skip = QCheckBox("Skip confirmed")
        self.skip.setToolTip("Next and previous leave out nuclei that are confirmed")
        self.skip.setChecked(bool(self._kept.get("skip", True)))
        self.skip.toggled.connect(lambda _: self._remember())
        return row(self.order, self.skip)

    def _build_reviewed(self) -> QWidget:
        self.review_buttons = {
            "view": button("This view", partial(self.act, "review view"), "What the window shows"),
            "image": button("Whole image", partial(self.act, "review image"), "All of this plane"),
            "around": button(
                "Around confirmed",
                partial(self.act, "review around"),
                "The surroundings of confirmed and edited nuclei",
            ),
            "clear": button("Clear", partial(self.act, "review clear"), "No area is reviewed"),
        }
        found = list(self.review_buttons.values())
        about = text(
            "Inside, everything counts when a model learns: nuclei and background. Draw areas in "
            "the layer “reviewed”, or:"
        )
        inside = column(about, row(*found[:2]), row(*found[2:]), indent=12)
        self.reviewed = Fold(
            "Reviewed area", inside, "Where you have looked at everything, background too"
        )
        self.reviewed.open(bool(self._kept.get("reviewed", False)))
        self.reviewed.toggled.connect(lambda _: self._remember())
        self.keep = QCheckBox("A new segmentation keeps these")
        self.keep.setToolTip(
            "Segment fills only what you have neither edited, confirmed nor reviewed; otherwise "
            "its result becomes a layer of its own"
        )
        self.keep.setChecked(bool(self._kept.get("keep", True)))
        self.keep.toggled.connect(lambda _: self._remember())
        self._desk.keeps_on_segmenting = self.keep.isChecked()
        return column(self.keep, self.reviewed)

    def _listen(self) -> None:
        desk, viewer = self._desk, self._viewer
        heard: list[tuple[Any, Any]] = [
            (desk.changed, self._on_changed),
            (desk.said, self.outcome.say),
            (desk.failed, self.outcome.fail),
            (self._session.failed, self._on_failed),
            (self.tools.clicked, self._on_click),
            (self.tools.dragged, self._on_drag),
            (self.tools.dragging, self._on_dragging),
            (self.tools.tool_changed, self._on_tool),
        ]
        listen(self, heard)
        heard = [(signal, self.show_layers) for signal in layer_list_signals(viewer)]
        heard += [
            (desk.chosen, self._on_chosen),
            (desk.kept, self._on_kept),
            (viewer.dims.events.current_step, self._on_plane),
            (viewer.layers.selection.events.active, self._follow),
            (viewer.events.theme, self._paint),
        ]
        listen(self, heard, bare=True)
        self.destroyed.connect(partial(_let_go, self.keys, self.tools, self.states, viewer))

    # --- what is chosen ----------------------------------------------------------------------

    @property
    def image_layer(self) -> Image | None:
        """The chosen image."""
        at = self.image.currentIndex()
        return self._images[at] if 0 <= at < len(self._images) else None

    @property
    def labels_layer(self) -> Labels | None:
        """The layer that is corrected."""
        at = self.nuclei.currentIndex()
        return self._labels[at] if 0 <= at < len(self._labels) else None

    def show_layers(self) -> None:
        """List what can be chosen, and keep the choice."""
        image, labels = self.image_layer, self.labels_layer
        self._images = [x for x in reversed(self._viewer.layers) if isinstance(x, Image)]
        self._labels = candidates(self._viewer)
        at = max(index_of(self._images, image), 0) if self._images else -1
        fill(self.image, [x.name for x in self._images], at)
        same_image = self.image_layer is image and image is not None
        fill(self.nuclei, [x.name for x in self._labels], index_of(self._labels, labels))
        if not same_image or self.labels_layer is None:
            self._choose_image()
        elif self.labels_layer is not labels:
            self._choose()

    def _choose_image(self) -> None:
        """Choose the nuclei of an image: its last result, or labels named after it."""
        image = self.image_layer
        if image is not None:
            result = self._bridge.result_of(image)
            own = [x for x in self._labels if x.name.startswith(image.name)]
            named = [x for x in own if not x.name.endswith("· truth")] or own
            wanted = result if result is not None else next(iter(named), None)
            fill(self.nuclei, None, index_of(self._labels, wanted))
        self._choose()

    def _follow(self) -> None:
        """Choose what was selected in the layer list."""
        active = self._viewer.layers.selection.active
        at = index_of(self._images, active)
        if at >= 0 and active is not self.image_layer:
            self.image.setCurrentIndex(at)
            self._choose_image()
        at, image = index_of(self._labels, active), self.image_layer
        if at >= 0 and image is not None and active is not self.labels_layer:
            self.nuclei.setCurrentIndex(at)
            self._choose()

    def _choose(self) -> None:
        image, labels = self.image_layer, self.labels_layer
        before = self._desk.correcting
        self.tools.tool = ""
        self.outcome.clear()
        try:
            self._desk.choose(image, labels)
        except NucleisegError as error:
            self.outcome.fail(error)
        if self._desk.correcting is not before or before is None:
            self._show_states()
        self._show_body()

    def _show_body(self) -> None:
        correcting = self._desk.correcting
        self.tools.layer = None if correcting is None else correcting.layer
        if correcting is not None:
            self._plane = plane_of(correcting.layer, self._viewer.dims.current_step)
        self.buttons.setEnabled(correcting is not None)
        self.order.parentWidget().setEnabled(correcting is not None)
        self._welcome.setVisible(self.labels_layer is None)
        self._body.setVisible(self.image_layer is not None)
        self._show_about()
        self.keeping.show()

    def _show_states(self) -> None:
        """Show the outlines of another layer or plane, soon.

        napari tells of layers that come and go while it is still at it; others must not come or go
        meanwhile.
        """
        self._showing.start()

    def _show_states_now(self) -> None:
        correcting = self._desk.correcting
        if correcting is None:
            self.states.remove()
            return
        self._plane = plane_of(correcting.layer, self._viewer.dims.current_step)
        self.states.show(correcting, self._plane)

    def _show_about(self) -> None:
        """Say which nucleus is looked at and how far one is."""
        correcting = self._desk.correcting
        if correcting is None:
            self.about.clear()
            self.legend.show_counts(0, 0, 0)
            return
        number, states = correcting.current, correcting.states
        edited = sum(s == State.EDITED for s in states.values())
        confirmed = sum(s == State.CONFIRMED for s in states.values())
        total = len(correcting.sizes)
        self.legend.show_counts(total - edited - confirmed, edited, confirmed)
        if number:
            size, state = correcting.sizes.get(number, 0), correcting.state_of(number)
            self.about.setText(f"Nucleus {number} · {size} px · {state.name.lower()}")
        else:
            self.about.setText(f"{total} nuclei · click on one, or go to the next (N)")

    # --- what happens ------------------------------------------------------------------------

    def _on_changed(self, change: Any, numbers: tuple[int, ...]) -> None:
        # napari tells of some changes before it makes them
        self._undrawn.append((change, numbers))
        self._drawing.start()
        self._show_about()
        if self._desk.areas is not None:
            self._desk.areas.show()
        self._writing.start()

    def _on_chosen(self) -> None:
        self._show_about()
        self.states.show_change(None)

    def _on_kept(self) -> None:
        if self._desk.correcting is not None:
            at = index_of(self._labels, self._desk.correcting.layer)
            if at >= 0 and at != self.nuclei.currentIndex():
                fill(self.nuclei, None, at)
        if self._desk.correcting is not self._shown():
            self._show_states()
        self._show_body()
        self._writing.start()

    def _shown(self) -> Any:
        return self.states.of if self.states.layer is not None else None

    def _on_plane(self) -> None:
        correcting = self._desk.correcting
        if correcting is not None:
            plane = plane_of(correcting.layer, self._viewer.dims.current_step)
            if plane != self._plane:
                self._plane = plane
                self._show_states()

    def _on_failed(self, error: Exception) -> None:
        if self._waits:
            self._waits = False
            self.outcome.fail(error)
            self.outcome.say_state("failed")

    def _on_tool(self, tool: str) -> None:
        self._first = 0
        self.buttons.show_tool(tool)
        self.outcome.say_state("running" if tool else "idle", TOOL_HINTS.get(tool, ""))

    def _on_dragging(self, points: np.ndarray) -> None:
        if self.tools.tool == "line":
            self.states.show_line(points)
        elif self.tools.tool == "add":
            self.states.show_line(points[[0, -1]], closed=True)

    def _on_click(self, place: np.ndarray) -> None:
        self._try(partial(self._click, place))

    def _click(self, place: np.ndarray) -> None:
        correcting = self._desk.correcting
        if correcting is None:
            return
        number = self._number_at(place)
        tool = self.tools.tool
        if not tool:
            correcting.choose(number)
        elif tool == "merge" and number and not self._first:
            self._first = number
            correcting.choose(number)
            self.outcome.say_state("running", "now click the second nucleus")
        elif tool == "merge" and number:
            first, self._first = self._first, 0
            correcting.merge(first, number, self._plane)
            self.outcome.say_state("running", TOOL_HINTS[tool])
        elif tool == "add":
            self._add(click=(float(place[0]), float(place[1])))

    def _on_drag(self, points: np.ndarray) -> None:
        self.states.show_again()
        self._try(partial(self._drag, points))

    def _drag(self, points: np.ndarray) -> None:
        correcting = self._desk.correcting
        if correcting is not None and self.tools.tool == "line":
            correcting.split_by_line(points, self._plane)
        elif correcting is not None and self.tools.tool == "add":
            (y, x), (bottom, right) = points[0].tolist(), points[-1].tolist()
            self._add(box=((y, x), (bottom, right)))

    def _number_at(self, place: np.ndarray) -> int:
        labels = self._desk.correcting.plane(self._plane)
        y, x = np.rint(place).astype(int)
        inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
        return max(0, int(labels[y, x])) if inside else 0

    # --- actions -----------------------------------------------------------------------------

    def act(self, name: str) -> None:
        """Do what a button or a key says; see `ACTIONS`."""
        if self._desk.correcting is None:
            return
        if not name.startswith("review") and self._viewer.dims.ndisplay != 2:
            self.outcome.fail(NucleisegError("Nuclei are corrected in 2-D", "", "Press Ctrl+Y"))
            return
        if name in TOOL_HINTS:
            self.tools.tool = "" if self.tools.tool == name else name
            if self.tools.tool == "add":
                self._try(partial(self._with_maps, lambda _: None))
            return
        self.tools.tool = ""
        self._try(partial(self._do, name))

    def _try(self, does: Any) -> None:
        """Do something; what is wrong with it is said in the dock."""
        self.outcome.clear()
        try:
            does()
        except NucleisegError as error:
            self.outcome.fail(error)

    def _do(self, name: str) -> None:
        correcting, at = self._desk.correcting, self._plane
        # so that Ctrl+Z finds it
        if not name.startswith("review"):
            self._viewer.layers.selection.active = correcting.layer
        if name in ("next", "previous"):
            self._go(1 if name == "next" else -1)
        elif name == "confirm":
            self._confirm()
        elif name == "confirm view":
            self._confirm_view()
        elif name.startswith("review "):
            self._review(name.removeprefix("review "))
        else:
            operation = ACTIONS[name].operation
            more = {"taken": [correcting.highest]} if operation is editing.split_at_waist else {}
            correcting.edit(operation, at, **more)

    def _go(self, steps: int) -> None:
        by = self.order.currentData()
        if by == "uncertain":
            self._with_maps(lambda seen: self._move(by, steps, seen.probability))
        else:
            self._move(by, steps)

    def _move(self, by: str, steps: int, probability: np.ndarray | None = None) -> None:
        correcting = self._desk.correcting
        correcting.go(self._plane, by, steps, probability, self.skip.isChecked())
        centre_on(self._viewer, correcting.layer, self._plane, correcting.current)

    def _confirm(self) -> None:
        correcting = self._desk.correcting
        if not correcting.current:
            raise NucleisegError("No nucleus is chosen", "", "Click on one, or press N")
        correcting.confirm([correcting.current])

    def _confirm_view(self) -> None:
        correcting = self._desk.correcting
        labels = correcting.plane(self._plane)
        box = seen_box(correcting.layer)
        whole = np.bincount(np.maximum(labels, 0).ravel())
        part = np.bincount(np.maximum(labels[box], 0).ravel(), minlength=len(whole))
        inside = [int(n) for n in np.flatnonzero((part == whole) & (whole > 0)) if n]
        new = correcting.confirm(inside)
        self.outcome.say(f"{new} nuclei confirmed; those that the view cuts stay as they are.")

    def _review(self, what: str) -> None:
        correcting, at = self._desk.correcting, self._plane
        labels = correcting.plane(at)
        if what == "view":
            rows, columns = seen_box(correcting.layer)
            corner = (rows.start - 0.5, columns.start - 0.5)
            opposite = (rows.stop - 0.5, columns.stop - 0.5)
            areas = [*correcting.areas, rectangle(corner, opposite, labels.shape, at)]
        elif what == "image":
            others = [a for a in correcting.areas if a.plane != at]
            areas = [*others, whole_image(labels.shape, at)]
        elif what == "around":
            around = around_nuclei(labels, list(correcting.states), plane=at)
            if not around:
                raise NucleisegError("No nucleus is confirmed here", "", "Confirm some first (Q)")
            areas = [*correcting.areas, *(a for a in around if a not in correcting.areas)]
        else:
            areas = []
        correcting.review(areas)

    def _add(self, **where: Any) -> None:
        correcting, at = self._desk.correcting, self._plane
        self._with_maps(lambda seen: correcting.add(seen, at, **where))

    def _with_maps(self, then: Any) -> None:
        """Do something with what the model sees, as soon as it is known."""
        correcting = self._desk.correcting
        tool = self.tools.tool

        def go_on(seen: MapsRead) -> None:
            self._waits = False
            self.outcome.say_state("running" if tool else "idle", TOOL_HINTS.get(tool, ""))
            self._try(partial(then, seen))

        self._waits = True
        point = self._viewer.dims.current_step
        if not self.view.ask(correcting.image, correcting.layer, point, go_on) and self._waits:
            said = "the model looks at the image first, once; this goes on as soon as it is done"
            self.outcome.say_state("running", said)

    # --- small things ------------------------------------------------------------------------

    _waits = False

    def _draw(self) -> None:
        undrawn, self._undrawn = self._undrawn, []
        for change, numbers in undrawn:
            self.states.show_change(change, numbers)

    def _write(self) -> None:
        recording = self._desk.recording
        if recording is not None:
            recording.write()

    def _ask_for_folder(self) -> None:
        start = str(self._kept.get("folder") or "")
        folder = QFileDialog.getExistingDirectory(self, "Keep corrections in", start)
        if folder and self.image_layer is not None:
            self._kept["folder"] = folder
            self._remember()
            self._desk.keep_in(self.image_layer, Path(folder))

    def _remember(self) -> None:
        self._desk.keeps_on_segmenting = self.keep.isChecked()
        self._kept |= {
            "order": self.order.currentData(),
            "skip": self.skip.isChecked(),
            "keep": self.keep.isChecked(),
            "reviewed": self.reviewed.is_open,
        }
        memory.remember(correct=self._kept)

    def _paint(self) -> None:
        """Take the colours of napari's theme."""
        theme = get_theme(self._viewer.theme)
        self.outcome.paint(theme)
        self.keeping.paint(theme)
        self.buttons.paint(theme)


def _let_go(keys: Keys, tools: CanvasTools, states: StatesLayer, viewer: Any, *_: Any) -> None:
    keys.close()
    tools.close()
    if viewer is not None:
        states.remove()
