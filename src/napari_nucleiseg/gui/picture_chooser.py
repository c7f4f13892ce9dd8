"""Which picture of a file with several: series, scenes, fields of a plate."""

from __future__ import annotations

from napari.layers import Image
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from ..events import Event
from ..session_work import Opened, ResultNotOpened
from .bridge import Bridge
from .forms import ElidedComboBox, shrink
from .layers import path_of, pictures_of, series_of
from .widgets import add_row, fill_data, listen, show_row


class PictureChooser(QObject):
    """A row of a dock that shows another picture of the same file, as a layer of its own.

    Parameters
    ----------
    bridge : Bridge
    form : QFormLayout
        Where to add the row.
    owner : QWidget
        The dock.

    Attributes
    ----------
    failed : Signal(Exception)
        A picture cannot be read.
    """

    failed = Signal(object)

    def __init__(self, bridge: Bridge, form: QFormLayout, owner: QWidget) -> None:
        super().__init__(owner)
        self._bridge, self._form = bridge, form
        self._layer: Image | None = None
        self._is_asked = False
        self.picture = shrink(ElidedComboBox())
        self.picture.activated.connect(lambda _: self._open())
        meaning = "Series or scene of the file; another one is opened as a layer of its own"
        add_row(form, "Picture", self.picture, meaning)
        self.show_layer(None)
        listen(self, [(bridge.session.event, self._on_event)])

    def show_layer(self, layer: Image | None) -> None:
        """Offer the pictures of an image's file, if there are several."""
        self._layer = layer
        names = () if layer is None else pictures_of(layer)
        wanted = None if layer is None else series_of(layer)
        fill_data(self.picture, [(name, name) for name in names], wanted)
        show_row(self._form, self.picture, len(names) > 1)

    def _open(self) -> None:
        """Go to the layer of a picture; where there is none, read it beside all other work."""
        layer, name = self._layer, self.picture.currentData()
        path = None if layer is None else path_of(layer)
        if path is None or layer is None:
            return
        layers = self._bridge.viewer.layers
        for other in layers:
            if isinstance(other, Image) and (path_of(other), series_of(other)) == (path, name):
                other.visible = True
                layers.selection.active = other
                break
        else:
            self._is_asked = True
            self._bridge.session.open_beside(path, name)
            # until it is there, this is still the picture that is shown
            self.show_layer(layer)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ResultNotOpened) and self._is_asked:
            self.failed.emit(event.error)
        if isinstance(event, Opened | ResultNotOpened):
            self._is_asked = False
