"""What a comparison of models has brought so far; outlives the dock that began it."""

from __future__ import annotations

import time
import weakref
from typing import Any

from ..comparing import Compared, Comparing, ComparisonDone, NotCompared, Row, Told
from ..events import Event
from ..keeping import KeptLabels
from ..session import COMPARING, Session
from .bridge import Bridge


class ComparedResults:
    """The last comparison of one viewer; use `compared_results`.

    Attributes
    ----------
    rows : list of Row
    kept : KeptLabels
        Label images by model and micrograph.
    manifests : dict
        How each was made.
    at : Comparing or None
    began : float
    said : list of str
    done : ComparisonDone or None
    failure : Exception or None
    places : tuple
        Where the micrographs are, see `AnnotatedChooser.places`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.begin(({}, {}))
        session.event.connect(self._hear)
        session.failed.connect(self._on_failed)

    def begin(self, places: tuple[dict[str, Any], dict[str, Any]]) -> None:
        """Forget the last one."""
        self.rows: list[Row] = []
        self.kept = KeptLabels()
        self.manifests: dict[tuple[str, str], dict[str, Any]] = {}
        self.at: Comparing | None = None
        self.began = time.monotonic()
        self.said: list[str] = []
        self.done: ComparisonDone | None = None
        self.failure: Exception | None = None
        self.places = places

    def _hear(self, event: Event) -> None:
        if isinstance(event, Comparing):
            self.at = event
        elif isinstance(event, Compared):
            self.rows.append(event.row)
            self.manifests[event.row.model, event.row.image] = event.manifest
        elif isinstance(event, NotCompared | Told):
            self.said.append(event.text)
        elif isinstance(event, ComparisonDone):
            self.done = event

    def _on_failed(self, error: Exception) -> None:
        if self._session.doing == COMPARING:
            self.failure = error


_RESULTS: weakref.WeakKeyDictionary[Any, ComparedResults] = weakref.WeakKeyDictionary()


def compared_results(bridge: Bridge) -> ComparedResults:
    """Give those of a viewer, the same to all its docks."""
    if bridge.viewer not in _RESULTS:
        _RESULTS[bridge.viewer] = ComparedResults(bridge.session)
    return _RESULTS[bridge.viewer]
