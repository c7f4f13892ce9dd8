"""Segment several open images, one after the other."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer

from ..errors import NucleisegError
from .bridge import Bridge
from .desk import is_corrected
from .layers import kind_of, plane_of
from .widgets import listen


class Again:
    """A queue of images; it ends where one is cancelled.

    Parameters
    ----------
    bridge : Bridge
    owner : QObject
        The dock, which keeps it.
    failed : callable
        Called with an error when an image cannot be segmented; the others are.
    """

    def __init__(self, bridge: Bridge, owner: QObject, failed: Callable[[Exception], None]) -> None:
        self._bridge, self._failed = bridge, failed
        self._left: list[weakref.ref[Image]] = []
        listen(owner, [(bridge.session.state_changed, self._on_state)])

    def images(self) -> list[Image]:
        """Give the open images that were segmented or corrected already."""
        layers = self._bridge.viewer.layers
        return [x for x in layers if isinstance(x, Image) and self._has_nuclei(x)]

    def _has_nuclei(self, layer: Image) -> bool:
        bridge = self._bridge
        is_stack = kind_of(layer) == "stack"
        plane = plane_of(layer, bridge.viewer.dims.current_step) if is_stack else ()
        return bridge.result_of(layer, plane) is not None or is_corrected(bridge.viewer, layer)

    def start(self) -> None:
        """Segment them all."""
        self._left = [weakref.ref(layer) for layer in self.images()]
        self._next()

    def _next(self) -> None:
        while self._left and not self._bridge.session.is_busy:
            layer = self._left.pop(0)()
            if layer is None or layer not in self._bridge.viewer.layers:
                continue
            try:
                self._bridge.segment(layer, kind_of(layer))
            except NucleisegError as error:
                self._failed(error)

    def _on_state(self, state: str) -> None:
        if state == "cancelled":
            self._left.clear()
        elif state in ("done", "failed") and self._left:
            # all others hear first that this one is done
            QTimer.singleShot(0, self._next)
