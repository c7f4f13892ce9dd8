"""What an old and a new model find on the same micrograph, and which nuclei differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .config import SegmentConfig
from .events import Event, Segmented
from .metrics._matching import Overlaps
from .micrograph import Micrograph
from .numbering import keep_numbers
from .segmentation import segment

LOST, NEW, MOVED = 1, 2, 3
# nuclei that overlap more than this look the same
_SAME = 0.85
_MATCHED = 0.5


@dataclass(frozen=True)
class BeforeAfter(Event):
    """Both results, with the same number for the same nucleus.

    Attributes
    ----------
    before, after : (H, W) int32 ndarray
    changed : (H, W) uint8 ndarray
        The nuclei that differ: `LOST`, `NEW`, `MOVED`; else 0.
    lost, new, moved : int
        How many only the old model found, only the new one, and both with different outlines.
    """

    before: np.ndarray
    after: np.ndarray
    changed: np.ndarray
    lost: int
    new: int
    moved: int

    def without_images(self) -> BeforeAfter:
        """The numbers alone."""
        nothing = np.zeros((0, 0), np.int32)
        return replace(self, before=nothing, after=nothing, changed=nothing)


def before_and_after(
    micrograph: Micrograph, config: SegmentConfig, old: str, new: str
) -> Iterator[Event]:
    """Segment a micrograph by two models.

    Parameters
    ----------
    micrograph : Micrograph
    config : SegmentConfig
        Settings of both.
    old, new : str
        Names or files of the models.

    Yields
    ------
    Event
        Those of `segment`, and last `BeforeAfter`.
    """
    found = []
    for model in (old, new):
        for event in segment(micrograph, config.model_copy(update={"model": model})):
            if isinstance(event, Segmented):
                found.append(event.labels)
            else:
                yield event
    before, after = found
    yield differ(before, keep_numbers(after, before))


def differ(before: np.ndarray, after: np.ndarray) -> BeforeAfter:
    """Tell which nuclei differ between two label images of the same field.

    Parameters
    ----------
    before, after : (H, W) int32 ndarray
    """
    table = Overlaps.between(before, after)
    iou = table.iou
    matched, same = iou > _MATCHED, iou > _SAME
    old, new = table.true_ids, table.found_ids
    lost = np.setdiff1d(old, old[table.rows[matched]])
    gained = np.setdiff1d(new, new[table.columns[matched]])
    moved = new[table.columns[matched & ~same]]
    changed = np.zeros(before.shape, np.uint8)
    changed[np.isin(before, lost)] = LOST
    changed[np.isin(after, moved)] = MOVED
    changed[np.isin(after, gained)] = NEW
    return BeforeAfter(before, after, changed, len(lost), len(gained), len(moved))
