"""The toggle *Live*: nuclei of what is visible, found anew as one pans and zooms."""

from __future__ import annotations

import time
import weakref
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.transforms import Affine
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from .. import wording
from ..child import Child
from ..errors import NucleisegError
from ..events import Event
from ..live import Live, Looked, Unseen
from .aids import LIVE, SHOWS
from .bridge import Bridge, run_in_child
from .closing import when_closed
from .image_chooser import ImageChooser
from .job import run_beside
from .layers import RESULT, pixel_size_um, placement, plane_of
from .live_source import live_source
from .view import camera_of, seen_of
from .widgets import button, listen, text

# a view that has stayed for so long is looked at
STILL_MS = 50

_MOVED = ("scale", "translate", "rotate", "shear", "affine")


class LiveView(QObject):
    """Keeps a layer with the nuclei of what is visible, while its button is pressed.

    Parameters
    ----------
    bridge : Bridge
    images : ImageChooser
        Which image, and what in it.
    owner : QWidget
        The dock.

    Attributes
    ----------
    button : QPushButton
    words : QLabel
        How many nuclei are in view, or why there are none.
    failed : Signal(Exception)
    """

    failed = Signal(object)

    def __init__(self, bridge: Bridge, images: ImageChooser, owner: QWidget) -> None:
        super().__init__(owner)
        self._viewer, self._session, self._images = bridge.viewer, bridge.session, images
        child = Child()
        self._live = Live(run_beside, partial(run_in_child, child))
        self._layer: Labels | None = None
        self._image: Image | None = None
        self._is_hidden = False
        # what tells that pixels are others: the layer's data, meaning, plane and size
        self._pixels: tuple[Any, ...] = ()
        self._source: Any = None
        self._number = 0
        self._moved_at = 0.0

        self.button = button(
            "Live",
            self._toggle,
            "Find the nuclei of what is visible whenever the view moves, at the resolution shown",
        )
        self.button.setCheckable(True)
        self.words = text()
        self.words.hide()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(STILL_MS)
        self._timer.timeout.connect(self._look)

        camera, dims = camera_of(self._viewer), self._viewer.dims
        heard = [
            camera.events.center,
            camera.events.zoom,
            dims.events.current_step,
            dims.events.ndisplay,
            dims.events.order,
            self._session.config_changed,
            self._session.state_changed,
        ]
        if hasattr(self._viewer, "canvas"):
            # napari before 0.9 does not tell of another size
            heard.append(self._viewer.canvas.events.size)
        listen(self, [(signal, self.look_soon) for signal in heard], bare=True)
        listen(
            self,
            [
                (self._viewer.layers.events.removed, self._on_removed),
                (self._live.event, self._on_event),
                (self._live.failed, self._on_failed),
            ],
        )
        images.changed.connect(self.look_soon)
        images.renewed.connect(self.look_soon)
        # the slot must not keep the dock alive
        reference = weakref.ref(self)
        when_closed(owner, lambda _: _switch_off(reference))
        owner.destroyed.connect(partial(_let_go, self._live, child))

    @property
    def is_on(self) -> bool:
        """Whether what is visible is segmented."""
        return self.button.isChecked()

    @property
    def layer(self) -> Labels | None:
        """The layer with the nuclei in view, once there is one."""
        return self._layer

    def switch_off(self) -> None:
        """Stop, and take the layer away."""
        self.button.setChecked(False)
        self._timer.stop()
        self._live.forget()
        self._pixels, self._source = (), None
        self._follow(None)
        self._take_away()
        self.words.hide()

    def look_soon(self) -> None:
        """Look at the view once it has stayed for a moment."""
        if self.is_on:
            # the answer to an earlier view is not wanted any more
            self._live.stop()
            self._moved_at = time.monotonic()
            self._timer.start()

    def paint(self, theme: Any) -> None:
        """Take the colours of napari's theme."""
        strong, words = theme.current.as_hex(), theme.text.as_hex()
        self.button.setStyleSheet(
            f"QPushButton:checked {{ background-color: {strong}; color: {words};"
            " font-weight: bold; }"
        )

    # --- what happens ------------------------------------------------------------------------

    def _toggle(self) -> None:
        if self.is_on:
            self._say("getting ready")
            self.look_soon()
        else:
            self.switch_off()

    def _look(self) -> None:
        """Ask for the nuclei of the view."""
        image = self._images.layer
        if not self.is_on:
            return
        if image is None:
            self.switch_off()
            return
        if image is not self._image:
            self._take_away()
            self._follow(image)
        if self._session.is_busy:
            self._say(f"waits for other work · {self._session.doing}")
            return
        if not image.visible:
            self._show_none(f"{image.name} is hidden")
            return
        view = seen_of(self._viewer, image)
        if view is None:
            self._show_none("needs the 2-D view of the image's rows and columns")
            return
        config = self._session.config.model_copy(update=self._images.settings)
        try:
            self._take_pixels(image)
        except NucleisegError as error:
            self._on_failed(error)
            return
        self._live.look(self._number, self._source, config, view)

    def _take_pixels(self, image: Image) -> None:
        """Copy the pixels, where they are others than at the last look."""
        kind = self._images.kind
        plane = plane_of(image, self._viewer.dims.current_step) if kind == "stack" else ()
        pixels = (image, image.data, kind, plane, pixel_size_um(image))
        before = self._pixels
        if (
            not before
            or any(a is not b for a, b in zip(pixels[:2], before[:2], strict=True))
            or (pixels[2:] != before[2:])
        ):
            self._source = live_source(image, kind, plane)
            self._pixels = pixels
            self._number += 1

    def _on_event(self, event: Event) -> None:
        image = self._image
        if not self.is_on or image is None or self._session.is_busy:
            return
        if isinstance(event, Looked):
            self._show(image, event)
            self._say(wording.live(event.count, time.monotonic() - self._moved_at))
        elif isinstance(event, Unseen):
            self._show_none(event.text)

    def _on_failed(self, error: Exception) -> None:
        self.switch_off()
        self.failed.emit(error)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer or event.value is self._image:
            if event.value is self._layer:
                self._layer = None
            self.switch_off()

    # --- what is shown -----------------------------------------------------------------------

    def _say(self, words: str) -> None:
        self.words.setText(f"Live · {words}")
        self.words.show()

    def _show(self, image: Image, found: Looked) -> None:
        """Show what was found in the place of what was found before."""
        place = _placement(image, found)
        layer, layers = self._layer, self._viewer.layers
        labels = found.labels
        if labels.max(initial=0) <= np.iinfo(np.uint16).max:
            # napari draws these in half the time
            labels = labels.astype(np.uint16)
        if layer is None:
            layer = self._layer = Labels(
                labels,
                name=_name_of(image),
                metadata={RESULT: {SHOWS: LIVE}},
                **place,
            )
            chosen = layers.selection.active
            layers.insert(layers.index(image) + 1, layer)
            # napari selects what is new; whoever paints goes on where he was
            layers.selection.active = chosen
        else:
            # napari lets edit new data, and draws at each change
            layer.data = labels
            for name, value in place.items():
                if not _is_same(getattr(layer, name), value):
                    setattr(layer, name, value)
        layer.editable = False
        if self._is_hidden:
            layer.visible, self._is_hidden = True, False

    def _show_none(self, words: str) -> None:
        """Say why there is nothing to show; what was found elsewhere must not stay."""
        self._live.stop()
        if self._layer is not None and self._layer.visible:
            self._layer.visible, self._is_hidden = False, True
        self._say(words)

    def _take_away(self) -> None:
        layer, self._layer, self._is_hidden = self._layer, None, False
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _follow(self, image: Image | None) -> None:
        """Hear when an image changes its pixels or its place."""
        before, self._image = self._image, image
        for layer, connects in ((before, False), (image, True)):
            if layer is None:
                continue
            heard = dict.fromkeys(("data", "visible", *_MOVED), self._on_changed)
            for name, slot in {**heard, "name": self._on_renamed}.items():
                signal = getattr(layer.events, name)
                (signal.connect if connects else signal.disconnect)(slot)

    def _on_changed(self, _: Any) -> None:
        self.look_soon()

    def _on_renamed(self, _: Any) -> None:
        if self._layer is not None and self._image is not None:
            self._layer.name = _name_of(self._image)


def _name_of(image: Image) -> str:
    return f"{image.name} · live"


def _placement(image: Image, found: Looked) -> dict[str, Any]:
    """Where the labels of a view lie, under the image's own transform."""
    place = placement(image)
    whole = Affine(
        scale=place["scale"],
        translate=place["translate"],
        rotate=place["rotate"],
        shear=place["shear"],
    )
    scale = np.asarray(place["scale"]) * found.step
    return {**place, "scale": scale, "translate": np.asarray(whole(np.asarray(found.origin)))}


def _is_same(now: Any, value: Any) -> bool:
    if hasattr(value, "affine_matrix"):
        return np.array_equal(now.affine_matrix, value.affine_matrix)
    return np.array_equal(np.asarray(now), np.asarray(value))


def _switch_off(reference: weakref.ref[LiveView]) -> None:
    live = reference()
    if live is not None:
        live.switch_off()


def _let_go(live: Live, child: Child, *_: Any) -> None:
    live.forget()
    child.close()
