"""A button that writes tracks for other programs; seen where there are some."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QPushButton

from ..events import Event, Joined
from ..trackers import TracksSaved, write_tracks
from .bridge import Bridge
from .widgets import layer_list_signals, listen


class TracksButton(QPushButton):
    """Writes nuclei and tracks of the chosen image into a folder.

    Parameters
    ----------
    bridge : Bridge
    chosen : callable
        Gives the image.
    say : callable
        Called with a sentence for each file that was written.
    """

    def __init__(
        self, bridge: Bridge, chosen: Callable[[], Image | None], say: Callable[[str], None]
    ) -> None:
        super().__init__("Export tracks...")
        self.setToolTip("Write nuclei and tracks for btrack, TrackMate (Fiji) and Ultrack")
        self._bridge, self._chosen, self._say = bridge, chosen, say
        self.clicked.connect(lambda: self._export())
        listen(self, [(bridge.session.event, self._on_event)])
        heard = [(change, self.look) for change in layer_list_signals(bridge.viewer)]
        listen(self, heard, bare=True)
        self.hide()

    def look(self) -> None:
        """See whether there are tracks."""
        layer = self._chosen()
        self.setVisible(layer is not None and self._bridge.stacks.movie_of(layer) is not None)

    def _export(self) -> None:
        layer = self._chosen()
        found = None if layer is None else self._bridge.stacks.movie_of(layer)
        folder = QFileDialog.getExistingDirectory(self, "Folder of the tracks") if found else ""
        if found and folder:
            name, movie = found
            session = self._bridge.session
            session.ask("tracks", "Exporting tracks", write_tracks, movie, Path(folder), name)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Joined):
            self.look()
        elif isinstance(event, TracksSaved):
            self._say(f"Saved {event.what}: {event.path}")
