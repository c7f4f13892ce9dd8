"""The dock "Segment nuclei", which answers where the nuclei are."""

from __future__ import annotations

import time
import traceback
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from napari.layers import Image, Labels
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from .. import wording
from ..config import SegmentConfig
from ..errors import NucleisegError
from ..events import DeviceChosen, Event, Notice, Segmented, TileDone
from ..io import SUFFIXES
from ..session import ChannelProposed, Opened, Scored
from . import memory
from .bridge import (
    RESULT,
    Kind,
    bridge_of,
    component_count,
    component_names,
    is_guessed,
    kind_of,
    path_of,
    pixel_size_um,
    plane_of,
    read_layer,
)
from .forms import Fold, Form, shrink

MORE = (
    "probability",
    "seed_sensitivity",
    "min_area_px",
    "device",
    "engine",
    "tile_px",
    "overlap_px",
    "batch_size",
)
STATES = {
    "idle": "Ready",
    "running": "Running",
    "stopping": "Stopping",
    "done": "Done",
    "cancelled": "Cancelled",
    "failed": "Failed",
}


def _text(words: str = "") -> QLabel:
    """A label that wraps and can be copied from."""
    label = QLabel(words)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
    label.setMinimumWidth(150)
    return label


def _button(words: str, does: Callable[[], Any], tooltip: str) -> QPushButton:
    button = QPushButton(words)
    button.setToolTip(tooltip)
    button.clicked.connect(lambda: does())
    return button


def _small(button: QPushButton) -> QPushButton:
    """Make a button that goes beside a field."""
    button.setFixedWidth(28)
    button.setAccessibleName(button.toolTip())
    return button


def _row(*widgets: QWidget) -> QWidget:
    """Widgets side by side; the first takes the room that is left."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for i, widget in enumerate(widgets):
        layout.addWidget(widget, stretch=int(i == 0))
    return row


class TextWindow(QDialog):
    """A text to read and copy: the card of a model, a traceback."""

    def __init__(self, title: str, text: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = QPlainTextEdit(text)
        self.text.setReadOnly(True)
        copy = _button("Copy", partial(_copy, text), "Copy the text")
        close = _button("Close", self.close, "Close this window")
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(_row(copy, close))
        self.resize(560, 420)


def _copy(text: str) -> None:
    QGuiApplication.clipboard().setText(text)


class SegmentDock(QWidget):
    """Choose an image and a model, press *Segment*, see every nucleus as its own label.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands in a proxy of it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._bridge = bridge_of(napari_viewer)
        # the viewer behind the proxy: through a proxy, a layer is another object at every look
        self._viewer = self._bridge.viewer
        self._session = self._bridge.session
        self._images: list[Image] = []
        self._truths: list[Labels] = []
        self._asked: Callable[[], Image | None] = lambda: None
        self._followed: Callable[[], Image | None] = lambda: None
        self._last_tile: TileDone | None = None
        self._colours: dict[str, str] = {}
        self._proposal: ChannelProposed | None = None
        self._began = 0.0
        self._error: Exception | None = None
        self._size_um: tuple[float, float] | None = None

        self._welcome = self._build_welcome()
        self._body = QWidget()
        body = QVBoxLayout(self._body)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(6)
        body.addLayout(self._build_choices())
        body.addWidget(self._build_action())
        self._folds = self._build_folds()

        column = QWidget()
        layout = QVBoxLayout(column)
        layout.setContentsMargins(8, 6, 8, 6)
        for part in (self._welcome, self._body, self._build_outcome(), self._folds):
            layout.addWidget(part)
        layout.addStretch(1)
        # only for small screens with all folds open: without it the window would have to grow
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(column)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(area)
        self._column = column
        self.setMinimumWidth(260)

        self._listen()
        self._show_outcome()
        self._show_models()
        for problem in self._session.model_problems():
            self._say(problem)
        self._show_layers()
        self._show_config()
        self._show_state(self._session.state)
        self._paint()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Width that shows most names whole."""
        return QSize(300, self._column.sizeHint().height())

    # --- what is in it -----------------------------------------------------------------------

    def _build_welcome(self) -> QWidget:
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(_text("Open a micrograph to find its nuclei, or try it on a sample."))
        self.open_button = _button(
            "Open image...", self._ask_for_file, "Open a TIFF, PNG, JPEG or BMP file"
        )
        self.sample_button = _button(
            "Try a sample", self._open_sample, "Open a fluorescence micrograph with its true nuclei"
        )
        layout.addWidget(self.open_button)
        layout.addWidget(self.sample_button)
        return box

    def _build_choices(self) -> QFormLayout:
        form = self._form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)

        self.image = shrink(QComboBox())
        self.image.currentIndexChanged.connect(lambda _: self._show_image())
        self.browse = _small(_button("...", self._ask_for_file, "Open another image"))
        self._add_row("Image", self.image, "The layer whose nuclei are looked for", self.browse)

        self.first_axis = shrink(QComboBox())
        self.first_axis.addItem("channels", "channels")
        self.first_axis.addItem("planes of a stack", "stack")
        self.first_axis.activated.connect(lambda _: self._show_parts())
        self._add_row(
            "First axis",
            self.first_axis,
            "What the first axis of this layer counts: its file does not say",
        )
        self.colour = shrink(QComboBox())
        self.colour.activated.connect(lambda _: self._show_parts())
        self._add_row(
            "Colours",
            self.colour,
            "Whether three components are one colour picture or three channels",
        )
        self.channel = shrink(QComboBox())
        self.channel.activated.connect(lambda _: self._show_why())
        self._add_row("Channel", self.channel, "The channel that shows the nuclei")
        self.why = _text()
        form.addRow(self.why)

        self.model = shrink(QComboBox())
        self.model.activated.connect(lambda _: self._choose_model())
        self.details = _small(_button("i", self._show_card, "All that is known about this model"))
        self._add_row("Model", self.model, "The model that finds the nuclei", self.details)
        self.device = _text()
        self.device.setToolTip("Where the network runs, what runs it, and why; choose under More")
        form.addRow("Device", self.device)
        return form

    def _build_action(self) -> QWidget:
        self.segment_button = _button("Segment", self._segment, "Find the nuclei of this image")
        self.segment_button.setObjectName("segment")
        self.segment_button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel_button = _button(
            "Cancel", self._session.cancel, "Stop after the tile under way; nothing is changed"
        )
        self._running = _row(self.bar, self.cancel_button)
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.segment_button)
        layout.addWidget(self._running)
        return box

    def _build_outcome(self) -> QWidget:
        self.state = _text()
        self.result = _text()
        self.scores = _text()
        self.notices = _text()
        self.failure = QFrame()
        self.failure.setObjectName("failure")
        self.sentence = _text()
        layout = QVBoxLayout(self.failure)
        layout.addWidget(self.sentence)
        self.traceback_button = _button(
            "Details", self._show_traceback, "Where in the program it happened"
        )
        self.copy_error_button = _button(
            "Copy", self._copy_error, "Copy the sentence and the details, to send to somebody"
        )
        layout.addWidget(_row(self.traceback_button, self.copy_error_button))
        box = QWidget()
        outcome = QVBoxLayout(box)
        outcome.setContentsMargins(0, 0, 0, 0)
        outcome.setSpacing(3)
        for widget in (self.state, self.result, self.scores, self.notices, self.failure):
            outcome.addWidget(widget)
        return box

    def _build_folds(self) -> QWidget:
        self.form = Form(self._session.config, MORE)
        self.form.changed.connect(self._change)
        reset = self.reset_button = _button("Reset", self._reset, "Take back all settings")
        more = QWidget()
        layout = QVBoxLayout(more)
        layout.setContentsMargins(12, 0, 0, 4)
        layout.addWidget(self.form)
        layout.addWidget(reset)
        self.more = Fold("More", more, "Settings that most images do not need")

        self.truth = shrink(QComboBox())
        self.truth.setToolTip("A labels layer with the true nuclei, to compare the result with")
        self.truth.setAccessibleName("True nuclei")
        self.truth.activated.connect(lambda _: self._compare())
        true = QWidget()
        layout = QVBoxLayout(true)
        layout.setContentsMargins(12, 0, 0, 4)
        layout.addWidget(self.truth)
        self.truth_fold = Fold("Truth", true, "Compare the result with nuclei that are known")

        self.command_button = _button(
            "Copy as command", self._copy_command, "Copy the command that does the same in a shell"
        )
        self.command_button.setStyleSheet(
            "QPushButton { text-align: left; } QPushButton:!hover { background: transparent; }"
        )
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for widget in (self.more, self.truth_fold, self.command_button):
            layout.addWidget(widget)
        kept = memory.recall().get("open_folds", [])
        for name, fold in (("more", self.more), ("truth", self.truth_fold)):
            fold.open(name in kept)
            fold.toggled.connect(self._remember_folds)
        return box

    def _add_row(
        self, title: str, field: QWidget, tooltip: str, button: QWidget | None = None
    ) -> None:
        field.setToolTip(tooltip)
        field.setAccessibleName(title)
        field.setAccessibleDescription(tooltip)
        self._form.addRow(title, field if button is None else _row(field, button))

    def _listen(self) -> None:
        """Hear of the session and the viewer, until Qt deletes this widget."""
        session, layers = self._session, self._viewer.layers
        heard = [
            (session.event, _weakly(self._on_event)),
            (session.failed, _weakly(self._on_failed)),
            (session.state_changed, _weakly(self._show_state)),
            (session.config_changed, _weakly(self._show_config, bare=True)),
            (layers.selection.events.active, _weakly(self._follow, bare=True)),
            (self._viewer.dims.events.current_step, _weakly(self._show_why, bare=True)),
            (self._viewer.events.theme, _weakly(self._paint, bare=True)),
        ]
        for name in ("inserted", "removed", "reordered", "renamed"):
            heard.append((getattr(layers.events, name), _weakly(self._show_layers, bare=True)))
        for signal, slot in heard:
            signal.connect(slot)
        self.destroyed.connect(partial(_disconnect, heard))

    # --- what it shows -----------------------------------------------------------------------

    @property
    def layer(self) -> Image | None:
        """The chosen image."""
        at = self.image.currentIndex()
        return self._images[at] if 0 <= at < len(self._images) else None

    @property
    def kind(self) -> Kind:
        """What the chosen image is taken for."""
        layer = self.layer
        if layer is None:
            return "grey"
        return self.first_axis.currentData() if is_guessed(layer) else kind_of(layer)

    @property
    def truth_layer(self) -> Labels | None:
        """The chosen true nuclei."""
        at = self.truth.currentIndex() - 1
        return self._truths[at] if 0 <= at < len(self._truths) else None

    def _show_layers(self) -> None:
        """List the layers that can be chosen, and keep the choice."""
        layers = list(self._viewer.layers)
        image, truth = self.layer, self.truth_layer
        self._images = [x for x in reversed(layers) if isinstance(x, Image)]
        self._truths = [
            x for x in reversed(layers) if isinstance(x, Labels) and RESULT not in x.metadata
        ]
        _fill(self.image, [x.name for x in self._images], _index(self._images, image))
        chosen = _index(self._truths, truth)
        _fill(self.truth, ["none", *(x.name for x in self._truths)], chosen + 1)
        self._welcome.setVisible(not self._images)
        self._body.setVisible(bool(self._images))
        self._folds.setVisible(bool(self._images))
        if self.image.currentIndex() < 0 and self._images:
            self.image.setCurrentIndex(0)
        self._follow()
        if self.layer is not image:
            self._show_image()
        elif truth is None:
            self._find_truth()

    def _follow(self) -> None:
        """Choose the image that was selected in the layer list."""
        at = _index(self._images, self._viewer.layers.selection.active)
        # only once: afterwards the choice in this dock counts
        if at < 0 or self._followed() is self._images[at]:
            return
        self._followed = weakref.ref(self._images[at])
        if not self._session.is_busy:
            self.image.setCurrentIndex(at)

    def _show_image(self) -> None:
        """Show what can be chosen for another image."""
        layer = self.layer
        if layer is not None:
            _fill(self.first_axis, None, 0 if kind_of(layer) == "channels" else 1)
            self.colour.clear()
        self._show_parts()
        self._find_truth()

    def _find_truth(self) -> None:
        """Choose the true nuclei that came with the image."""
        if self.layer is not None:
            names = [x.name for x in self._truths]
            wanted = f"{self.layer.name} · truth"
            _fill(self.truth, None, names.index(wanted) + 1 if wanted in names else 0)

    def _show_parts(self) -> None:
        """Show the rows about axes, colours and channels that this image needs."""
        layer, kind = self.layer, self.kind
        count = 0 if layer is None else component_count(layer)
        self._proposal = None
        self._show_row(self.first_axis, layer is not None and is_guessed(layer) and count > 1)
        has_choice = count == 3 and kind in ("colour", "channels")
        wish = self.colour.currentData() or "auto"
        _fill_data(
            self.colour,
            [("one colour picture", "auto"), ("three channels", "channels")]
            if kind == "colour"
            else [("three channels", "auto"), ("one colour picture", "colour")],
            wish,
        )
        self._show_row(self.colour, has_choice)
        wish = self.colour.currentData() if has_choice else "auto"
        is_split = wish == "channels" or (kind == "channels" and wish == "auto")
        has_channels = layer is not None and is_split and count > 1
        if has_channels:
            names = component_names(layer)
            titles = [f"{i + 1} · {names[i]}" if names else f"{i + 1}" for i in range(count)]
            _fill_data(self.channel, [("proposed", None), *((t, t.split(" ")[0]) for t in titles)])
            self._asked = weakref.ref(layer)
            try:
                self._session.propose_channel(read_layer(layer, kind))
            except NucleisegError as error:
                self._on_failed(error)
        self._show_row(self.channel, has_channels)
        self._show_why()

    def _show_row(self, field: QWidget, shown: bool) -> None:
        field.setVisible(shown)
        self._form.labelForField(field).setVisible(shown)

    def _show_why(self) -> None:
        """Say why this channel, or what becomes of a stack; and what the button will do."""
        layer, text = self.layer, ""
        is_stack = layer is not None and self.kind == "stack"
        if is_stack:
            plane = plane_of(layer, self._viewer.dims.current_step)
            where = ", ".join(str(i + 1) for i in plane)
            text = f"Whole stacks come later. Plane {where}, the one shown, can be segmented now."
        elif not self.channel.isHidden() and self.channel.currentData() is None:
            found = self._proposal
            text = "Looking for the channel with the nuclei..." if found is None else found.why
        self.why.setText(text)
        self.why.setVisible(bool(text))
        self.segment_button.setText("Segment the plane shown" if is_stack else "Segment")

    def _show_models(self) -> None:
        try:
            self._models = self._session.models()
        except NucleisegError as error:
            self._models = []
            self._on_failed(error)
        titles = [wording.model_title(m.card, m.title) for m in self._models]
        _fill(self.model, titles, -1)
        for i, model in enumerate(self._models):
            about = f"{model.title}\n{model.card.get('description') or ''}".strip()
            if isinstance(model.card.get("scores"), dict):
                about += (
                    "\nAP: share of nuclei with the right outline, mean over IoU 0.5 to 0.95, "
                    f"measured on {model.card['scores'].get('split', 'its own test images')}"
                )
            self.model.setItemData(i, about, Qt.ItemDataRole.ToolTipRole)

    def _show_config(self) -> None:
        """Show the settings of the session."""
        config = self._session.config
        self.form.show_config(config)
        names = [m.name for m in self._models]
        if config.model not in names and names:
            self._session.model = names[0]
            return
        _fill(self.model, None, _index(names, config.model))
        about = self.model.itemData(self.model.currentIndex(), Qt.ItemDataRole.ToolTipRole)
        self.model.setToolTip(
            f"{about or 'No model is installed'}\nPress i for all that is known about it."
        )
        asked = "" if config.device == "auto" else f"{wording.device_name(config.device)}, "
        self.device.setText(f"{asked}shown with the first run")

    def _show_state(self, state: str) -> None:
        is_busy = state in ("running", "stopping")
        self._running.setVisible(is_busy)
        self.cancel_button.setEnabled(state == "running")
        for widget in (self.segment_button, self.image.parentWidget(), self.channel, self.colour):
            widget.setEnabled(not is_busy)
        for widget in (self.first_axis, self.model, self.form, self.reset_button):
            widget.setEnabled(not is_busy)
        if state == "running":
            self._began = time.monotonic()
            self._last_tile = None
            self.bar.setRange(0, 0)
            self._show_outcome()
            self._show_progress("getting ready")
        elif state == "stopping":
            self._say_state("stopping", "after this tile")
        elif state == "cancelled":
            tile = self._last_tile
            after = "" if tile is None else f"after tile {tile.done} of {tile.total}"
            self._say_state("cancelled", after)
        elif state == "done":
            self._say_state("done" if self.result.text() else "idle")
        else:
            self._say_state(state)

    def _show_progress(self, text: str) -> None:
        self._say_state("running", text)

    def _say_state(self, state: str, more: str = "") -> None:
        self.state.setProperty("state", state)
        self.state.setText(f"{STATES[state]} · {more}" if more else STATES[state])
        self.state.setStyleSheet(self._colours.get(state, ""))

    def _show_outcome(self, result: str = "", scores: str = "") -> None:
        """Show the lines of a result, or none."""
        self.result.setText(result)
        self.scores.setText(scores)
        self.notices.setText("")
        for label in (self.result, self.scores):
            label.setVisible(bool(label.text()))
        self.notices.hide()
        self.failure.hide()

    def _paint(self) -> None:
        """Take the colours of napari's theme."""
        theme = get_theme(self._viewer.theme)
        error, text, strong = (c.as_hex() for c in (theme.error, theme.text, theme.current))
        self._colours = {
            state: f"QLabel {{ {style} }}"
            for state, style in {
                "running": f"border-left: 3px solid {strong}; padding-left: 4px;",
                "stopping": f"border-left: 3px solid {theme.warning.as_hex()}; padding-left: 4px;",
                "cancelled": f"border-left: 3px solid {theme.warning.as_hex()}; padding-left: 4px;",
                "done": f"border-left: 3px solid {strong}; padding-left: 4px; font-weight: bold;",
                "failed": f"border-left: 3px solid {error}; padding-left: 4px; font-weight: bold;",
            }.items()
        }
        self.failure.setStyleSheet(
            f"QFrame#failure {{ border: 2px solid {error}; border-radius: 3px; }}"
        )
        self.segment_button.setStyleSheet(
            f"QPushButton#segment:enabled {{ background-color: {strong}; color: {text};"
            " font-weight: bold; }"
            f"QPushButton#segment:hover {{ background-color: {theme.highlight.as_hex()}; }}"
            f"QPushButton#segment:focus {{ border: 1px solid {text}; }}"
        )
        self._say_state(
            self.state.property("state") or "idle", self.state.text().partition(" · ")[2]
        )

    # --- what happens ------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TileDone):
            self._last_tile = event
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            self._show_progress(wording.progress(event, time.monotonic() - self._began))
        elif isinstance(event, DeviceChosen):
            self._began = time.monotonic()
            self.device.setText(
                f"{wording.device_name(event.device)} · {event.engine} · {event.reason}"
            )
        elif isinstance(event, Segmented):
            self.result.setText(wording.result(event, self._size_um))
            self.result.show()
        elif isinstance(event, Scored):
            self.scores.setText(wording.scores(event.dice, event.iou, event.ap50, event.true_count))
            self.scores.show()
        elif isinstance(event, Notice):
            self._say(event.text)
        elif isinstance(event, ChannelProposed) and self._asked() is self.layer:
            self._proposal = event
            self.channel.setItemText(0, f"{self.channel.itemText(event.number)} (proposed)")
            self._show_why()
        elif isinstance(event, Opened):
            for text in event.micrograph.notices:
                self._say(text)

    def _say(self, sentence: str) -> None:
        """Add a sentence to the notices."""
        before = self.notices.text()
        if sentence not in before.split("\n"):
            self.notices.setText(f"{before}\n{sentence}".strip())
        self.notices.show()

    def _on_failed(self, error: Exception) -> None:
        self._error = error
        self.sentence.setText(wording.sentence(error))
        self.failure.show()

    def _segment(self) -> None:
        layer = self.layer
        if layer is None or self._session.is_busy:
            return
        memory.remember_config(self._session.config)
        self._size_um = pixel_size_um(layer)
        try:
            self._bridge.segment(layer, self.kind, self.truth_layer, **self._image_settings())
        except NucleisegError as error:
            self._show_outcome()
            self._on_failed(error)
            self._say_state("failed")

    def _image_settings(self) -> dict[str, Any]:
        """Settings that belong to this image, not to the session."""
        colour = "auto" if self.colour.isHidden() else self.colour.currentData()
        channel = None if self.channel.isHidden() else self.channel.currentData()
        return {"colour": colour, "channel": channel}

    def _compare(self) -> None:
        """Compare the result that is there with the true nuclei just chosen."""
        self.scores.hide()
        if self.truth_layer is not None and self.layer is not None:
            self._bridge.compare(self.layer, self.kind, self.truth_layer)

    def _change(self, name: str, value: object) -> None:
        self._session.config = self._session.config.model_copy(update={name: value})

    def _choose_model(self) -> None:
        self._session.model = self._models[self.model.currentIndex()].name

    def _reset(self) -> None:
        self._session.config = SegmentConfig()
        memory.remember_config(self._session.config)

    def _remember_folds(self, _: bool) -> None:
        folds = {"more": self.more, "truth": self.truth_fold}
        memory.remember(open_folds=[name for name, fold in folds.items() if fold.is_open])

    def _ask_for_file(self) -> None:
        endings = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        path, _ = QFileDialog.getOpenFileName(
            self, "Open a micrograph", "", f"Micrographs ({endings});;All files (*)"
        )
        if path:
            self._session.open(Path(path))

    def _open_sample(self) -> None:
        self._viewer.open_sample("napari-nucleiseg", "fluorescence")

    def _copy_command(self) -> None:
        layer = self.layer
        if layer is None:
            return
        path = path_of(layer)
        config = self._session.config.model_copy(update=self._image_settings())
        _copy(wording.command(path, config))
        if path is None:
            self._say("Copied. This image has no file yet: put its name in the place of IMAGE.")
        elif self.kind == "stack":
            self._say(
                "Copied. In the shell, too, stacks come later: save the plane as a file first."
            )
        else:
            self._say("Copied: on the file as it is on disk, the command gives this label image.")

    def _show_card(self) -> None:
        try:
            model = self._session.card()
        except NucleisegError as error:
            self._on_failed(error)
            return
        text = yaml.safe_dump(dict(model.card), sort_keys=False, allow_unicode=True)
        TextWindow(model.title, f"file: {model.path}\n{text}", self).show()

    def _error_text(self) -> str:
        return "" if self._error is None else "".join(traceback.format_exception(self._error))

    def _show_traceback(self) -> None:
        TextWindow("What happened", self._error_text(), self).show()

    def _copy_error(self) -> None:
        _copy(f"{self.sentence.text()}\n\n{self._error_text()}")


def _weakly(method: Callable[..., Any], bare: bool = False) -> Callable[..., None]:
    """Call a method as long as its widget lives; ``bare`` drops the arguments."""
    reference = weakref.WeakMethod(method)

    def call(*args: Any) -> None:
        alive = reference()
        if alive is not None:
            alive(*(() if bare else args))

    return call


def _disconnect(heard: list[tuple[Any, Callable[..., None]]], *_: Any) -> None:
    for signal, slot in heard:
        signal.disconnect(slot)


def _index(things: list[Any], wanted: Any) -> int:
    """Where something is in a list by identity or, for text, by equality; -1 where it is not."""
    for i, thing in enumerate(things):
        if thing is wanted or (isinstance(thing, str) and thing == wanted):
            return i
    return -1


def _fill(field: QComboBox, titles: list[str] | None, chosen: int) -> None:
    """List choices (None: those there are) and choose one, without telling anybody."""
    field.blockSignals(True)
    if titles is not None:
        field.clear()
        field.addItems(titles)
    field.setCurrentIndex(chosen)
    field.blockSignals(False)


def _fill_data(field: QComboBox, choices: list[tuple[str, Any]], chosen: Any = None) -> None:
    """List choices with a value each and choose one, without telling anybody."""
    field.blockSignals(True)
    field.clear()
    for title, value in choices:
        field.addItem(title, value)
    values = [value for _, value in choices]
    field.setCurrentIndex(values.index(chosen) if chosen in values else 0)
    field.blockSignals(False)
