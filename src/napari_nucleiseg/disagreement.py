"""Where a model is least certain: it looks at a micrograph turned and mirrored, and disagrees.

A nucleus has no right way up, so what a model says of one should not depend on how the micrograph
lies. Where it does, a correction teaches most (test-time augmentation as a measure of uncertainty:
Wang et al. 2019, doi:10.1016/j.neucom.2019.01.103).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from .channels import choose_pixels
from .config import SegmentConfig
from .events import Event, Segmented, TileDone
from .metrics._matching import Overlaps
from .micrograph import Micrograph
from .segmentation import segment

# quarter turns, and whether it is mirrored first
VIEWS = ((0, False), (1, True), (2, False), (3, True))
REGION_PX = 128
# a nucleus of another view that shares less than this with all of the first is a new one
SAME = 0.1
# mean doubt up to which views differ by little more than outlines
LITTLE = 0.1


@dataclass(frozen=True)
class Region:
    """A part of a micrograph, and how much views of it disagree.

    Attributes
    ----------
    y, x, height, width : int
        In pixels.
    doubt : float
        0 (all views agree) to 1; fewer nuclei count less.
    nuclei : int
        Found in it.
    """

    y: int
    x: int
    height: int
    width: int
    doubt: float
    nuclei: int


@dataclass(frozen=True)
class Ranked(Event):
    """Regions of a micrograph, the least certain first.

    Attributes
    ----------
    regions : tuple of Region
    labels : (H, W) int32 ndarray
        What the model finds, as seen the right way up.
    doubts : (N,) float64 ndarray
        Of nuclei 1..N: 1 minus the mean IoU with the same nucleus in other views.
    doubt : float
        Mean over nuclei, those found in other views alone included; 0 to 1.
    little_left : bool
        Whether views agree so well that more corrections here would teach little.
    """

    regions: tuple[Region, ...]
    labels: np.ndarray
    doubts: np.ndarray
    doubt: float
    little_left: bool

    @property
    def text(self) -> str:
        """One sentence for a status line."""
        if not self.regions:
            return "Nothing is found here in any view, so that views cannot differ"
        share = f"{100 * self.doubt:.0f} %"
        if self.little_left:
            return f"Little is left to gain here: views of the nuclei differ by {share}"
        return f"Views of the nuclei differ by {share}: corrections here will teach the model"


def rank_regions(
    micrograph: Micrograph, config: SegmentConfig, reviewed: np.ndarray | None = None
) -> Iterator[Event]:
    """Segment a micrograph in several positions and rank its regions by how much these differ.

    Parameters
    ----------
    micrograph : Micrograph
    config : SegmentConfig
    reviewed : (H, W) bool ndarray, optional
        Where a person has looked already; nuclei there do not count.

    Yields
    ------
    Event
        What `segment` tells of each view, with the tiles of all views counted together, and last
        `Ranked`.
    """
    chosen, _ = choose_pixels(micrograph, config.channel, config.colour)
    plain = config.model_copy(update={"channel": None, "colour": "colour"})
    views: list[np.ndarray] = []
    for number, (turns, mirrored) in enumerate(VIEWS):
        pixels = np.flip(chosen.pixels, 0) if mirrored else chosen.pixels
        turned = replace(chosen, pixels=np.ascontiguousarray(np.rot90(pixels, turns)), notices=())
        with closing(segment(turned, plain)) as events:  # type: ignore[type-var]
            for event in events:
                if isinstance(event, TileDone):
                    yield TileDone(number * event.total + event.done, len(VIEWS) * event.total)
                elif isinstance(event, Segmented):
                    labels = np.rot90(event.labels, -turns)
                    views.append(np.flip(labels, 0) if mirrored else labels)
                elif not number:
                    yield event
    yield _rank(views, reviewed)


def _rank(views: list[np.ndarray], reviewed: np.ndarray | None) -> Ranked:
    first, *others = views
    count = int(first.max())
    agreed = np.zeros(count)
    places, weights = [np.zeros((0, 2))], [np.zeros(0)]
    for other in others:
        table = Overlaps.between(first, other)
        same, known = np.zeros(count), np.zeros(len(table.found_areas))
        np.maximum.at(same, table.rows, table.iou)
        np.maximum.at(known, table.columns, table.iou)
        agreed += same / len(others)
        new = np.unique(other[other > 0])[known < SAME]
        places.append(_centres(other, new))
        weights.append(np.full(len(new), 1 / len(others)))
    doubts = 1 - agreed
    # a nucleus that half of the views see is half a doubt
    at = np.concatenate([_centres(first, np.arange(1, count + 1)), *places])
    doubt = np.concatenate([doubts, *weights])
    found = np.arange(len(at)) < count
    if reviewed is not None:
        open_ = ~reviewed[tuple(at.astype(int).T)]
        at, doubt, found = at[open_], doubt[open_], found[open_]
    total = float(found.sum() + doubt[~found].sum())
    mean = float(doubt.sum() / total) if total else 0.0
    regions = _regions(first.shape, at, doubt, found)
    return Ranked(regions, np.ascontiguousarray(first), doubts, mean, bool(total) and mean < LITTLE)


def _centres(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(N, 2) middles of nuclei in pixels."""
    if not len(numbers):
        return np.zeros((0, 2))
    return np.array(ndimage.center_of_mass(labels > 0, labels, numbers))


def _regions(
    shape: tuple[int, ...], at: np.ndarray, doubt: np.ndarray, found: np.ndarray
) -> tuple[Region, ...]:
    """Regions with anything in them, worst first."""
    blocks = (at // REGION_PX).astype(int)
    regions = []
    for row, column in np.unique(blocks, axis=0):
        here = (blocks == (row, column)).all(1)
        y, x, nuclei = int(row) * REGION_PX, int(column) * REGION_PX, int(found[here].sum())
        # a lone nucleus is not worth more of a person's time than a crowd of doubtful ones
        mean = float(doubt[here].sum() / (here.sum() + 1))
        height, width = min(REGION_PX, shape[0] - y), min(REGION_PX, shape[1] - x)
        regions.append(Region(y, x, height, width, mean, nuclei))
    return tuple(sorted(regions, key=lambda r: -r.doubt))
