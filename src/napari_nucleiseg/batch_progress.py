"""How a folder run stands: what was found, what is done, how long it took so far."""

from __future__ import annotations

import time

from .batch_config import BatchConfig
from .batch_events import BatchEnded, FileBegun, FileFailed, FileFinished
from .batch_plan import BatchFile, BatchPlanned
from .events import Event, TileDone


class BatchProgress:
    """A plan, and what has become of it.

    Parameters
    ----------
    plan : BatchPlanned

    Attributes
    ----------
    number : int
        The file under way, from 0.
    tiles : (int, int)
        Tiles of it that are done, and how many there are.
    finished, failed : dict
        The last event of each file that had its turn.
    ended : BatchEnded or None
        Once all had their turn.
    """

    def __init__(self, plan: BatchPlanned) -> None:
        self.plan = plan
        self.begin()

    @property
    def config(self) -> BatchConfig:
        """What is done with the files."""
        return self.plan.config

    @property
    def files(self) -> tuple[BatchFile, ...]:
        """What there is to do."""
        return self.plan.files

    def begin(self) -> None:
        """Start the clock of a run."""
        self.number, self.tiles = 0, (0, 1)
        self.finished: dict[int, FileFinished] = {}
        self.failed: dict[int, FileFailed] = {}
        self.ended: BatchEnded | None = None
        self._began, self._waited = time.monotonic(), 0.0
        self._paused_at: float | None = None

    def pause(self) -> None:
        """Stop the clock."""
        self._paused_at = time.monotonic()

    def go_on(self) -> None:
        """Let the clock go on."""
        if self._paused_at is not None:
            self._waited += time.monotonic() - self._paused_at
            self._paused_at = None

    def take(self, event: Event) -> None:
        """Note what a run tells."""
        if isinstance(event, FileBegun):
            self.number, self.tiles = event.number, (0, 1)
        elif isinstance(event, TileDone):
            self.tiles = event.done, event.total
        elif isinstance(event, FileFinished):
            self.finished[event.number] = event
        elif isinstance(event, FileFailed):
            self.failed[event.number] = event
        elif isinstance(event, BatchEnded):
            self.ended = event

    @property
    def share(self) -> float:
        """Share of the pixels that are done, from 0 to 1; files done in an earlier run left out."""
        weights = [file.megapixels or 1.0 for file in self.files]
        for number, event in self.finished.items():
            if event.was_done:
                weights[number] = 0.0
        at = min(self.number, len(weights))
        here = weights[at] * self.tiles[0] / self.tiles[1] if at < len(weights) else 0.0
        return min((sum(weights[:at]) + here) / (sum(weights) or 1.0), 1.0)

    @property
    def seconds(self) -> float:
        """Time since the start, without pauses."""
        return time.monotonic() - self._began - self._waited
