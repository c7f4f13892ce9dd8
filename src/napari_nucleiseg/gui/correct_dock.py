"""The dock "Correct nuclei", which asks which of these are wrong, and puts them right."""

from __future__ import annotations

import weakref
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize, QTimer
from qtpy.QtWidgets import QCheckBox, QFileDialog, QFormLayout, QVBoxLayout, QWidget

from ..editing import ORDERS, State
from ..errors import NucleisegError
from . import memory
from .canvas_tools import CanvasTools
from .closing import end_when_closed
from .correct_actions import CorrectActions
from .correct_tools import (
    KEYS,
    ORDER_TITLES,
    REVIEWED,
    REVIEWS,
    UNDO,
    Legend,
    ToolButtons,
)
from .correctable import candidates
from .desk import desk_of
from .forms import ElidedComboBox, Fold, shrink
from .keeping_bar import KeepingBar
from .keys import shown, take_key
from .layers import plane_of
from .model_view import ModelView
from .outcome import Outcome
from .states_layer import StatesLayer
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
SIGNS = {"undo": "↶", "redo": "↷"}


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
        self._plane: tuple[int, ...] = ()
        kept = memory.recall().get("correct", {})
        self._kept = kept if isinstance(kept, dict) else {}

        self.states = StatesLayer(self._viewer)
        self.tools = CanvasTools(self._viewer)
        self.outcome = Outcome()
        view = ModelView(self._session, self)
        self.actions = CorrectActions(self._desk, self.tools, view, self.states)
        self.act = self.actions.act
        for key, name in KEYS.items():
            take_key(self._viewer, self, key, self.actions.act, name)
        self._writing = QTimer(self, singleShot=True, interval=WRITE_MS)
        self._writing.timeout.connect(self._write)
        self._drawing = QTimer(self, singleShot=True, interval=0)
        self._drawing.timeout.connect(self._draw)
        self._showing = QTimer(self, singleShot=True, interval=0)
        self._showing.timeout.connect(self._show_states_now)
        # layers that were there when a person could choose one
        self._known: weakref.WeakSet[Any] = weakref.WeakSet(self._viewer.layers)
        self._knowing = QTimer(self, singleShot=True, interval=0)
        self._knowing.timeout.connect(self._know)
        self._undrawn: list[tuple[Any, tuple[int, ...]]] = []

        self.buttons = ToolButtons(self.act)
        self.legend = Legend()
        self.about = text()
        self.history = {}
        for name, (key, tooltip) in UNDO.items():
            made = self.history[name] = button(SIGNS[name], partial(self.act, name), "")
            made.setToolTip(f"{tooltip} ({shown(key)})")
            made.setAccessibleName(name.capitalize())
            made.setFixedWidth(30)
        self.keeping = KeepingBar(self._desk, self._ask_for_folder)
        self._body = column(
            self.keeping.bar,
            row(self.about, *self.history.values()),
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
        end_when_closed(self)
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
        self.order.currentIndexChanged.connect(lambda _: self._remember())
        self.skip = QCheckBox("Skip confirmed")
        self.skip.setToolTip("Next and previous leave out nuclei that are confirmed")
        self.skip.setChecked(bool(self._kept.get("skip", True)))
        self.skip.toggled.connect(lambda _: self._remember())
        return row(self.order, self.skip)

    def _build_reviewed(self) -> QWidget:
        self.review_buttons = {
            name: button(title, partial(self.act, f"review {name}"), tooltip)
            for name, (title, tooltip) in REVIEWS.items()
        }
        found = list(self.review_buttons.values())
        inside = column(text(REVIEWED), row(*found[:2]), row(*found[2:]), indent=12)
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
        self._take_choices()
        return column(self.keep, self.reviewed)

    def _listen(self) -> None:
        desk, viewer = self._desk, self._viewer
        heard: list[tuple[Any, Any]] = [
            (desk.changed, self._on_changed),
            (desk.said, self.outcome.say),
            (desk.failed, self.outcome.fail),
            (self._session.failed, self.actions.fail),
            (self.actions.began, self.outcome.clear),
            (self.actions.stated, self.outcome.say_state),
            (self.actions.said, self.outcome.say),
            (self.actions.failed, self.outcome.fail),
            (self.tools.tool_changed, self.buttons.show_tool),
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
        self.destroyed.connect(partial(_let_go, self.tools, self.states, viewer))

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
        self._knowing.start()
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
        """Choose what was selected in the layer list, unless napari did it for a new layer."""
        active = self._viewer.layers.selection.active
        if active is not None and active not in self._known and self._is_at_work:
            self._say_what_is_corrected(active)
            return
        at = index_of(self._images, active)
        if at >= 0 and active is not self.image_layer:
            self.image.setCurrentIndex(at)
            self._choose_image()
        at, image = index_of(self._labels, active), self.image_layer
        if at >= 0 and image is not None and active is not self.labels_layer:
            self.nuclei.setCurrentIndex(at)
            self._choose()

    def _know(self) -> None:
        self._known.update(self._viewer.layers)

    @property
    def _is_at_work(self) -> bool:
        correcting = self._desk.correcting
        return correcting is not None and (correcting.is_touched or bool(self.tools.tool))

    def _say_what_is_corrected(self, new: Any) -> None:
        image, labels = self.image_layer, self.labels_layer
        if isinstance(new, Image) and new is not image:
            self.outcome.say(
                f"{new.name} was opened; {image.name} is corrected still. Choose the other one "
                "above when you are ready."
            )
        elif new in self._labels and new is not labels:
            self.outcome.say(f"{new.name} was added; {labels.name} is corrected still.")

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
        for made in self.history.values():
            made.setEnabled(correcting is not None)
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
        self._writing.start()

    def _on_chosen(self) -> None:
        self._show_about()
        if self.states.layer is None:  # somebody deleted it
            self._show_states()
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

    # --- small things ------------------------------------------------------------------------

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

    def _take_choices(self) -> None:
        self._desk.keeps_on_segmenting = self.keep.isChecked()
        self.actions.order = self.order.currentData()
        self.actions.skips_confirmed = self.skip.isChecked()

    def _remember(self) -> None:
        self._take_choices()
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


def _let_go(tools: CanvasTools, states: StatesLayer, viewer: Any, *_: Any) -> None:
    tools.close()
    if viewer is not None:
        states.remove()
