"""Which image, and what in it: layer, meaning of its axes, colours, channel."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QWidget

from ..errors import NucleisegError
from ..events import Event
from ..session_work import ChannelProposed, Opened
from . import memory
from .axes import (
    axes_choices,
    axes_of,
    choices_of,
    chosen_planes,
    is_size_open,
    say_axes,
    say_pixel_size,
)
from .bridge import Bridge
from .forms import ElidedComboBox, shrink
from .joined import PLANES
from .layers import (
    AXES,
    Kind,
    component_count,
    component_names,
    has_opacity_axis,
    is_guessed,
    kind_of,
    path_of,
    pixel_size_um,
    plane_of,
    read_layer,
)
from .picture_chooser import PictureChooser
from .planes import PLACES, plane_in_words
from .widgets import (
    add_row,
    button,
    fill,
    fill_data,
    index_of,
    layer_list_signals,
    listen,
    show_row,
    small,
    text,
)

# ways to put channels together, as the settings call them
TOGETHER = {"max": "all, the brightest counts", "mean": "all, their mean"}


class ImageChooser(QObject):
    """Rows of a dock in which an image layer is chosen; they follow the layer list.

    Parameters
    ----------
    bridge : Bridge
    form : QFormLayout
        Where to add the rows.
    browse : callable
        What the button beside the images does.
    owner : QWidget
        The dock.

    Attributes
    ----------
    changed : Signal()
        Another image was chosen, or none is left.
    renewed : Signal()
        What is said about the image changed: its axes, its plane, the channel proposed.
    failed : Signal(Exception)
        The image cannot be read.
    """

    changed = Signal()
    renewed = Signal()
    failed = Signal(object)

    def __init__(
        self, bridge: Bridge, form: QFormLayout, browse: Callable[[], Any], owner: QWidget
    ) -> None:
        super().__init__(owner)
        # the viewer behind the proxy: through a proxy, a layer is another object at every look
        self._viewer, self._session, self._form = bridge.viewer, bridge.session, form
        self._bridge = bridge
        # letter of the axis along which all planes are segmented; empty: the plane shown alone
        self._joined = ""
        self._images: list[Image] = []
        self._asked: Callable[[], Image | None] = lambda: None
        self._followed: Callable[[], Image | None] = lambda: None
        self._proposal: ChannelProposed | None = None

        self.image = shrink(ElidedComboBox())
        self.image.currentIndexChanged.connect(lambda _: self._show_image())
        self.browse = small(button("...", browse, "Open another image"))
        self._add("Image", self.image, "The layer whose nuclei are looked for", self.browse)
        self.pictures = PictureChooser(bridge, form, owner)
        self.pictures.failed.connect(self.failed)
        self.axes = shrink(ElidedComboBox())
        self.axes.activated.connect(lambda _: self._say_axes())
        meaning = "What the sliders of this layer count: its file does not say"
        self._add("Axes", self.axes, meaning)
        self.pixel_size = QDoubleSpinBox()
        self.pixel_size.setRange(0, 1000)
        self.pixel_size.setDecimals(4)
        self.pixel_size.setSingleStep(0.05)
        self.pixel_size.setSuffix(" µm")
        self.pixel_size.setSpecialValueText("not known")
        self.pixel_size.setKeyboardTracking(False)
        self.pixel_size.valueChanged.connect(self._say_pixel_size)
        meaning = "Height and width of a pixel in µm: the file does not state it"
        self._add("Pixel size", self.pixel_size, meaning)
        self.colour = shrink(ElidedComboBox())
        self.colour.activated.connect(lambda _: self._show_parts())
        meaning = "Whether three components are one colour picture or three channels"
        self._add("Colours", self.colour, meaning)
        self.channel = shrink(ElidedComboBox())
        self.channel.activated.connect(lambda _: self._show_why())
        self._add("Channel", self.channel, "The channel that shows the nuclei, or all put together")
        self.why = text()
        form.addRow(self.why)

        listen(self, [(self._session.event, self._on_event)])
        layers, dims = self._viewer.layers, self._viewer.dims
        heard = [(signal, self.show_layers) for signal in layer_list_signals(self._viewer)]
        heard.append((layers.selection.events.active, self._follow))
        heard.append((dims.events.current_step, self._show_why))
        listen(self, heard, bare=True)

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
        return kind_of(layer)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that belong to this image, not to the session."""
        colour = "auto" if self.colour.isHidden() else self.colour.currentData()
        chosen = None if self.channel.isHidden() else self.channel.currentData()
        if chosen in TOGETHER:
            return {"colour": colour, "channel": None, "merge": chosen}
        return {"colour": colour, "channel": chosen, "merge": "none"}

    def set_enabled(self, enabled: bool) -> None:
        """Let the user choose, or not."""
        for widget in (
            self.image.parentWidget(),
            self.axes,
            self.pixel_size,
            self.colour,
            self.channel,
        ):
            widget.setEnabled(enabled)

    def show_layers(self) -> None:
        """List the images that there are, and keep the choice."""
        before = self.layer
        self._images = [x for x in reversed(self._viewer.layers) if isinstance(x, Image)]
        kept = index_of(self._images, before)
        wanted = self._newly_selected()
        at = wanted if wanted >= 0 else max(kept, 0)
        fill(self.image, [x.name for x in self._images], at if self._images else -1)
        if self.layer is not before or before is None:
            self._show_image()

    def _add(self, title: str, field: QWidget, tooltip: str, beside: QWidget | None = None) -> None:
        add_row(self._form, title, field, tooltip, beside)

    def _follow(self) -> None:
        """Choose the image that was selected in the layer list."""
        at = self._newly_selected()
        if at >= 0:
            self.image.setCurrentIndex(at)

    def _newly_selected(self) -> int:
        """Where the image is that was selected in the layer list since the last look, or -1."""
        at = index_of(self._images, self._viewer.layers.selection.active)
        # only once: afterwards the choice in this dock counts
        if at < 0 or self._followed() is self._images[at]:
            return -1
        self._followed = weakref.ref(self._images[at])
        return -1 if self._session.is_busy else at

    def _show_image(self) -> None:
        """Show what can be chosen for another image."""
        layer = self.layer
        self.pictures.show_layer(layer)
        if layer is not None:
            path = path_of(layer)
            said = "" if path is None else memory.recall_axes(path)
            if is_guessed(layer) and AXES not in layer.metadata and said in choices_of(layer):
                say_axes(layer, said)
            self.colour.clear()
        self._show_parts()
        self.changed.emit()

    def _say_axes(self) -> None:
        """Take what the user says that the axes count, here and when this file is opened again."""
        layer = self.layer
        if layer is None:
            return
        say_axes(layer, self.axes.currentData())
        path = path_of(layer)
        if path is not None:
            memory.remember_axes(path, self.axes.currentData())
        self._show_parts()

    def _say_pixel_size(self, size_um: float) -> None:
        """Take what the user says of the size of a pixel; results lie on their image again."""
        layer = self.layer
        if layer is not None:
            say_pixel_size(layer, size_um)
            self._bridge.move_results(layer)
            # what was in view lies elsewhere now
            self._viewer.reset_view()
            self.renewed.emit()

    def _show_parts(self) -> None:
        """Show the rows about axes, colours and channels that this image needs."""
        layer, kind = self.layer, self.kind
        count = 0 if layer is None else component_count(layer)
        self._proposal = None
        choices = [] if layer is None or not is_guessed(layer) else axes_choices(layer)
        if layer is not None and choices:
            fill_data(self.axes, choices, axes_of(layer)[: layer.ndim - 2])
        show_row(self._form, self.axes, bool(choices))
        self._show_pixel_size()
        has_choice = count == 3 and kind in ("colour", "channels")
        as_colour = [("one colour picture", "auto"), ("three channels", "channels")]
        as_channels = [("three channels", "auto"), ("one colour picture", "colour")]
        wish = self.colour.currentData() or "auto"
        fill_data(self.colour, as_colour if kind == "colour" else as_channels, wish)
        show_row(self._form, self.colour, has_choice)
        wish = self.colour.currentData() if has_choice else "auto"
        is_split = wish == "channels" or (kind == "channels" and wish == "auto")
        has_channels = layer is not None and is_split and count > 1
        show_row(self._form, self.channel, has_channels)
        if has_channels:
            names = component_names(layer)
            titles = [f"{i + 1} · {names[i]}" if names else f"{i + 1}" for i in range(count)]
            single = [(title, title.split(" ")[0]) for title in titles]
            together = [(words, way) for way, words in TOGETHER.items()]
            fill_data(self.channel, [("proposed", None), *single, *together])
            self._ask(layer, kind)
        self._show_why()

    def _show_pixel_size(self) -> None:
        """Show the size of a pixel where it is not from the file."""
        layer = self.layer
        is_open = layer is not None and is_size_open(layer)
        size = pixel_size_um(layer) if layer is not None and is_open else None
        self.pixel_size.blockSignals(True)
        self.pixel_size.setValue(0 if size is None else size[0])
        self.pixel_size.blockSignals(False)
        show_row(self._form, self.pixel_size, is_open)

    def _ask(self, layer: Image, kind: Kind) -> None:
        """Ask in which channel nuclei would be looked for."""
        self._asked = weakref.ref(layer)
        try:
            self._session.propose_channel(read_layer(layer, kind, thinned=True))
        except NucleisegError as error:
            self.failed.emit(error)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Opened):
            # the layer is there already, but nothing is followed while a job runs
            at = index_of(self._images, self._viewer.layers.selection.active)
            if at >= 0:
                self.image.setCurrentIndex(at)
        elif isinstance(event, ChannelProposed) and self._asked() is self.layer:
            self._proposal = event
            self.channel.setItemText(0, f"{self.channel.itemText(event.number)} (proposed)")
            self._show_why()

    def show_joined(self, letter: str) -> None:
        """Say of a stack that all planes along an axis are segmented; empty: the one shown."""
        self._joined = letter
        self._show_why()

    def _what_of(self, layer: Image, plane: tuple[int, ...]) -> str:
        """Say what of a stack is segmented."""
        axes = axes_of(layer)
        if not self._joined or self._joined not in axes:
            where = plane_in_words(layer, plane)
            return f"What the sliders show is segmented: {where} (counted from 1)."
        others = chosen_planes(axes, plane, self._joined)
        where = ", ".join(f"{PLACES[name]} {number}" for name, number in others.items())
        return f"All {PLANES[self._joined]} are segmented, the one shown first" + (
            f"; of the other sliders {where} counts." if where else "."
        )

    def _show_why(self) -> None:
        """Say why this channel, or what becomes of a stack."""
        layer, said = self.layer, ""
        if layer is not None and self.kind == "stack":
            plane = plane_of(layer, self._viewer.dims.current_step)
            said = self._what_of(layer, plane)
        elif layer is not None and has_opacity_axis(layer):
            said = (
                "napari took the opacity of this picture for an axis. It is segmented as grey; "
                "to see it whole, open the file with the button above."
            )
        elif not self.channel.isHidden() and self.channel.currentData() is None:
            found = self._proposal
            said = "Looking for the channel with the nuclei..." if found is None else found.why
        self.why.setText(said)
        self.why.setVisible(bool(said))
        self.renewed.emit()
