"""Where to correct next: places of several micrographs, the least certain first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from .channels import choose_pixels
from .config import SegmentConfig
from .disagreement import Ranked, Region, rank_regions
from .events import Event, TileDone
from .intensity import NormaliseConfig, intensity_range, rescale
from .micrograph import Micrograph
from .overlay import OUTLINE_RGB, outlines

if TYPE_CHECKING:
    from collections.abc import Generator

MOST_PLACES = 24
# below this a place is not worth the way
LEAST_DOUBT = 0.02


@dataclass(frozen=True)
class Open:
    """A micrograph to look for places in.

    Attributes
    ----------
    name : str
    micrograph : Micrograph or callable
        A callable is asked for it in the work.
    reviewed : (H, W) bool ndarray, optional
        Where a person has looked already.
    """

    name: str
    micrograph: Micrograph | Callable[[], Micrograph]
    reviewed: np.ndarray | None = None


@dataclass(frozen=True)
class Ranking(Event):
    """How far the looking is: which micrograph, of how many, and what share of all is done."""

    image: str
    number: int
    images: int
    share: float


@dataclass(frozen=True)
class Place:
    """A region that is worth a correction.

    Attributes
    ----------
    item : int
        Which of the micrographs, from 0.
    image : str
    region : Region
    picture : (h, w, 3) uint8 ndarray
        The region with the outlines of what the model finds in it.
    """

    item: int
    image: str
    region: Region
    picture: np.ndarray


@dataclass(frozen=True)
class ImageRanked(Event):
    """One micrograph was looked at.

    Attributes
    ----------
    image : str
    doubt : float
        How much views of its nuclei differ; 0 to 1.
    little_left : bool
        See `Ranked`.
    places : tuple of Place
        The least certain first.
    """

    image: str
    doubt: float
    little_left: bool
    places: tuple[Place, ...]


@dataclass(frozen=True)
class PlacesFound(Event):
    """All micrographs were looked at.

    Attributes
    ----------
    places : tuple of Place
        Of all micrographs, the least certain first.
    images : tuple of ImageRanked
    """

    places: tuple[Place, ...]
    images: tuple[ImageRanked, ...]

    @property
    def little_left(self) -> bool:
        """Whether more corrections would teach little in every micrograph."""
        found = [i for i in self.images if i.places or i.little_left]
        return bool(found) and all(i.little_left for i in found)

    @property
    def text(self) -> str:
        """What it comes to, in a sentence or two."""
        found = [i for i in self.images if i.places or i.little_left]
        if not found:
            return "No nuclei were found in any view, so that views cannot differ."
        worst = max(found, key=lambda i: i.doubt)
        share = f"{100 * worst.doubt:.0f} %"
        where = "" if len(self.images) == 1 else f" in {worst.image}"
        if self.little_left:
            return (
                f"Little is left to gain: views of the nuclei differ by {share} at most{where}. "
                "Stop correcting here; other micrographs may teach more."
            )
        return f"Views of the nuclei differ by {share}{where}: corrections will teach the model."


def find_places(
    items: Sequence[Open],
    config: SegmentConfig,
    work_in: Callable[..., Iterator[Event]] | None = None,
) -> Iterator[Event]:
    """Look for the places of several micrographs where the model is least certain.

    Parameters
    ----------
    items : sequence of Open
    config : SegmentConfig
    work_in : callable, optional
        Called with a generator function and its arguments, where each micrograph is to be worked
        on elsewhere.

    Yields
    ------
    Event
        `Ranking`, `ImageRanked` for each micrograph, and last `PlacesFound`.
    """
    ranked: list[ImageRanked] = []
    for number, item in enumerate(items):
        loaded = item.micrograph() if callable(item.micrograph) else item.micrograph
        yield Ranking(item.name, number + 1, len(items), number / len(items))
        arguments = (number, item.name, loaded, config, item.reviewed)
        events: Any = (
            rank_places(*arguments) if work_in is None else work_in(rank_places, *arguments)
        )
        with closing(events):
            for event in events:
                if isinstance(event, TileDone):
                    share = (number + event.done / event.total) / len(items)
                    yield Ranking(item.name, number + 1, len(items), share)
                elif isinstance(event, ImageRanked):
                    ranked.append(event)
                    yield event
    places = sorted((p for i in ranked for p in i.places), key=lambda p: -p.region.doubt)
    yield PlacesFound(tuple(places[:MOST_PLACES]), tuple(ranked))


def rank_places(
    number: int,
    name: str,
    micrograph: Micrograph,
    config: SegmentConfig,
    reviewed: np.ndarray | None = None,
) -> Generator[Event, None, None]:
    """Look for the places of one micrograph.

    Parameters
    ----------
    number : int
        Which one it is, from 0.
    name : str
    micrograph : Micrograph
    config : SegmentConfig
    reviewed : (H, W) bool ndarray, optional

    Yields
    ------
    Event
        `TileDone`, and last `ImageRanked`.
    """
    with closing(rank_regions(micrograph, config, reviewed)) as events:  # type: ignore[type-var]
        for event in events:
            if isinstance(event, TileDone):
                yield event
            elif isinstance(event, Ranked):
                regions = [r for r in event.regions if r.doubt >= LEAST_DOUBT][:MOST_PLACES]
                chosen, _ = choose_pixels(micrograph, config.channel, config.colour)
                limits = intensity_range(chosen.pixels, NormaliseConfig())
                places = tuple(
                    Place(number, name, r, _picture(chosen.pixels, event.labels, r, limits))
                    for r in regions
                )
                yield ImageRanked(name, event.doubt, event.little_left, places)


def _picture(
    pixels: np.ndarray, labels: np.ndarray, region: Region, limits: tuple[float, float]
) -> np.ndarray:
    """Draw the part of a micrograph, its contrast that of the whole."""
    rows = slice(region.y, region.y + region.height)
    columns = slice(region.x, region.x + region.width)
    part = rescale(pixels[rows, columns], *limits, 1.0)
    picture = np.moveaxis(part * 255 + 0.5, 0, -1).astype(np.uint8)
    # wide enough to be seen in a picture the size of a thumb
    picture[ndimage.binary_dilation(outlines(labels[rows, columns]))] = OUTLINE_RGB
    return picture
