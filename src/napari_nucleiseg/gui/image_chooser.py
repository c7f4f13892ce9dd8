"""Which image, and what in it: layer, meaning of its axes, colours, channel."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from ..errors import NucleisegError
from ..events import Event
from ..session import ChannelProposed, Opened
from .bridge import Bridge
from .forms import ElidedComboBox, shrink
from .layers import (
    Kind,
    component_count,
    component_names,
    has_opacity_axis,
    is_guessed,
    kind_of,
    plane_of,
    read_layer,
)
from .planes import plane_in_words
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
        self._images: list[Image] = []
        self._asked: Callable[[], Image | None] = lambda: None
        self._followed: Callable[[], Image | None] = lambda: None
        self._proposal: ChannelProposed | None = None

        self.image = shrink(ElidedComboBox())
        self.image.currentIndexChanged.connect(lambda _: self._show_image())
        self.browse = small(button("...", browse, "Open another image"))
        self._add("Image", self.image, "The layer whose nuclei are looked for", self.browse)
        self.first_axis = shrink(ElidedComboBox())
        self.first_axis.addItem("channels", "channels")
        self.first_axis.addItem("planes of a stack", "stack")
        self.first_axis.activated.connect(lambda _: self._show_parts())
        meaning = "What the first axis of this layer counts: its file does not say"
        self._add("First axis", self.first_axis, meaning)
        self.colour = shrink(ElidedComboBox())
        self.colour.activated.connect(lambda _: self._show_parts())
        meaning = "Whether three components are one colour picture or three channels"
        self._add("Colours", self.colour, meaning)
        self.channel = shrink(ElidedComboBox())
        self.channel.activated.connect(lambda _: self._show_why())
        self._add("Channel", self.channel, "The channel that shows the nuclei")
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
        return self.first_axis.currentData() if is_guessed(layer) else kind_of(layer)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that belong to this image, not to the session."""
        colour = "auto" if self.colour.isHidden() else self.colour.currentData()
        channel = None if self.channel.isHidden() else self.channel.currentData()
        return {"colour": colour, "channel": channel}

    def set_enabled(self, enabled: bool) -> None:
        """Let the user choose, or not."""
        for widget in (self.image.parentWidget(), self.first_axis, self.colour, self.channel):
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
        if layer is not None:
            fill(self.first_axis, None, 0 if kind_of(layer) == "channels" else 1)
            self.colour.clear()
        self._show_parts()
        self.changed.emit()

    def _show_parts(self) -> None:
        """Show the rows about axes, colours and channels that this image needs."""
        layer, kind = self.layer, self.kind
        count = 0 if layer is None else component_count(layer)
        self._proposal = None
        is_open = layer is not None and is_guessed(layer) and count > 1
        show_row(self._form, self.first_axis, is_open)
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
            fill_data(self.channel, [("proposed", None), *((t, t.split(" ")[0]) for t in titles)])
            self._ask(layer, kind)
        self._show_why()

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

    def _show_why(self) -> None:
        """Say why this channel, or what becomes of a stack."""
        layer, said = self.layer, ""
        if layer is not None and self.kind == "stack":
            plane = plane_of(layer, self._viewer.dims.current_step)
            where = plane_in_words(layer, plane)
            said = f"What the sliders show is segmented: {where} (counted from 1)."
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
