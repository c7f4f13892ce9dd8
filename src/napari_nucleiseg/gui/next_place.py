"""Where to correct next: places where the model is least certain, and a key that jumps there."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from napari.layers import Image, Layer
from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QProgressBar, QVBoxLayout, QWidget

from .. import wording
from ..errors import NucleisegError, SettingError
from ..events import Event
from ..next_places import Open, Place, PlacesFound, Ranking, find_places
from .bridge import Bridge
from .keys import take_key
from .layers import kind_of, plane_of, read_layer
from .outcome import Outcome
from .pair_layers import look_at
from .widgets import button, listen, pixmap, row, text

LOOKING = "Looking where to correct next"
# napari 0.9 gives N to nothing; a dock that does may hand in another key
KEY = "N"
_ICON_PX = 52
_PLACES_SHOWN = 4


class NextPlace(QWidget):
    """Ranks places of the open images and leads from one to the next.

    Parameters
    ----------
    bridge : Bridge
    reviewed : callable, optional
        Gives for an image layer a (H, W) bool array of where a person has looked, or None.
    key : str
        Goes to the next place, in napari's words: "N", "Shift-N".
    """

    def __init__(
        self,
        bridge: Bridge,
        reviewed: Callable[[Layer], Any] | None = None,
        key: str = KEY,
    ) -> None:
        super().__init__()
        self.key = key
        self._session, self._viewer = bridge.session, bridge.viewer
        self._reviewed = reviewed or (lambda _: None)
        self._asked: list[tuple[weakref.ref[Layer], tuple[int, ...]]] = []
        self._places: tuple[Place, ...] = ()
        self._at: Ranking | None = None
        self._began = 0.0
        # whether this widget is about to ask, and whether it was the one that asked last
        self._asks = self._is_mine = False

        self.find_button = button(
            "Where to correct next",
            self.find,
            "Segment each open image turned and mirrored; where the results differ, a correction "
            "teaches most",
        )
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel_button = button("Cancel", self._session.cancel, "Stop after this tile")
        self._running = row(self.bar, self.cancel_button)
        self.outcome = Outcome()
        self.list = QListWidget()
        self.list.setAccessibleName("Places to correct, the least certain first")
        self.list.setIconSize(QSize(_ICON_PX, _ICON_PX))
        self.list.setWordWrap(True)
        self.list.setFixedHeight(_PLACES_SHOWN * (_ICON_PX + 6) + 6)
        self.list.itemClicked.connect(lambda item: self._go_to(self.list.row(item)))
        self.next_button = button(
            f"Next place ({key})", self.go_next, f"Move the view to the next place · key {key}"
        )
        self.where = text()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for part in (
            self.find_button,
            self._running,
            self.outcome,
            self.next_button,
            self.where,
            self.list,
        ):
            layout.addWidget(part)

        heard: list[tuple[Any, Callable[..., Any]]] = [
            (self._session.event, self._on_event),
            (self._session.failed, self._on_failed),
            (self._session.state_changed, self._show_state),
        ]
        listen(self, heard)
        listen(self, [(self._viewer.events.theme, self._paint)], bare=True)
        take_key(self._viewer, self, key, self.go_next, ready=self._has_places)
        self._show_places(())
        self._show_state(self._session.state)
        self._paint()

    # --- what can be asked of it ---------------------------------------------------------------

    @property
    def places(self) -> tuple[Place, ...]:
        """Places that were found, the least certain first."""
        return self._places

    def _has_places(self) -> bool:
        return bool(self._places)

    def find(self) -> None:
        """Rank the places of all open images that are visible."""
        if self._session.is_busy:
            return
        self.outcome.clear()
        try:
            items = self._open_images()
        except NucleisegError as error:
            self.outcome.fail(error)
            self.outcome.say_state("failed")
            return
        self._show_places(())
        self._at, self._began, self._asks = None, time.monotonic(), True
        self.bar.setValue(0)
        self._session.do(LOOKING, partial(find_places, items, self._session.config))

    def go_next(self) -> None:
        """Move the view to the next place; after the last comes the first."""
        if self._places:
            self._go_to((self.list.currentRow() + 1) % len(self._places))

    # --- what it shows -------------------------------------------------------------------------

    @property
    def _is_own(self) -> bool:
        return self._is_mine and self._session.doing == LOOKING

    def _show_state(self, state: str) -> None:
        is_busy = state in ("running", "stopping")
        if state == "running":
            self._is_mine, self._asks = self._asks, False
        self._running.setVisible(is_busy and self._is_own)
        self.cancel_button.setEnabled(state == "running")
        self.find_button.setEnabled(not is_busy)
        if not self._is_own:
            said = self.outcome.said.state
            self.outcome.say_state("running" if is_busy else said, self._session.doing * is_busy)
            return
        more, at = "", self._at
        if state == "running":
            more = "getting ready"
        elif state == "stopping":
            more = "after this tile"
        elif state == "cancelled" and at is not None:
            more = f"at image {at.number} of {at.images}"
        self.outcome.say_state(state, more)

    def _show_places(self, places: tuple[Place, ...]) -> None:
        self._places = places
        self.list.clear()
        for number, place in enumerate(places, 1):
            region = place.region
            words = (
                f"{number} · {place.image}\n{wording.nuclei(region.nuclei)} · views differ by "
                f"{100 * region.doubt:.0f} %"
            )
            item = QListWidgetItem(_icon(place), words)
            item.setToolTip(f"{region.height}×{region.width} px at y {region.y}, x {region.x}")
            self.list.addItem(item)
        self.list.setCurrentRow(-1)
        self.list.setVisible(bool(places))
        self.next_button.setVisible(bool(places))
        self.where.hide()

    def _paint(self) -> None:
        """Take the colours of napari's theme."""
        self.outcome.paint(get_theme(self._viewer.theme))

    # --- what happens --------------------------------------------------------------------------

    def _open_images(self) -> list[Open]:
        """Give the open images that are visible, and remember their layers."""
        point = self._viewer.dims.current_step
        self._asked, items = [], []
        for layer in reversed(self._viewer.layers):
            if not isinstance(layer, Image) or not layer.visible:
                continue
            kind = kind_of(layer)
            plane = plane_of(layer, point) if kind == "stack" else ()
            micrograph = read_layer(layer, kind, plane)
            items.append(Open(layer.name, micrograph, self._reviewed(layer)))
            self._asked.append((weakref.ref(layer), plane))
        if not items:
            raise SettingError("No image is shown", "", "Open an image, or make one visible")
        return items

    def _on_event(self, event: Event) -> None:
        if not self._is_own:
            return
        if isinstance(event, Ranking):
            self._at = event
            self.bar.setValue(round(1000 * event.share))
            said = wording.ranking(event, time.monotonic() - self._began)
            self.outcome.say_state("running", said)
        elif isinstance(event, PlacesFound):
            self._show_places(event.places)
            self.outcome.say_result(event.text)

    def _on_failed(self, error: Exception) -> None:
        if self._is_own and self._session.is_busy:
            self.outcome.fail(error)

    def _go_to(self, at: int) -> None:
        place = self._places[at]
        self.list.setCurrentRow(at)
        layer, plane = self._asked[place.item]
        image = layer()
        if image is None or image not in self._viewer.layers:
            self._say_where(f"{place.image} is not open any more.")
            return
        region = place.region
        image.visible = True
        look_at(self._viewer, image, (region.y, region.x, region.height, region.width), plane)
        self._say_where(f"Place {at + 1} of {len(self._places)}: {place.image}")

    def _say_where(self, words: str) -> None:
        self.where.setText(words)
        self.where.show()


def _icon(place: Place) -> QIcon:
    kept = Qt.AspectRatioMode.KeepAspectRatio
    smooth = Qt.TransformationMode.SmoothTransformation
    return QIcon(pixmap(place.picture).scaled(_ICON_PX, _ICON_PX, kept, smooth))
