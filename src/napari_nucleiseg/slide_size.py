"""How large the nuclei of a slide are, seen at a few places; the rule is that of `nucleus_size`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .config import SegmentConfig
from .engine import Engine
from .events import Event, Notice
from .finding import Found, factor_given, find, without_resampling
from .flatness import is_flat, structure
from .instances import diameters
from .intensity import rescale
from .micrograph import Micrograph
from .nucleus_size import is_surer, proposed_magnification, words_of
from .store import ModelCard
from .windows import Window, blocks_of

PLACE_PX = 1024
"""Side of a place."""

PLACES = 4
"""Places at which nuclei are looked for."""

# squares that are read to find places, and how many that show something are enough to choose from
_MOST_READ, _ENOUGH = 64, 16


def slide_factor(
    chosen: Micrograph,
    pixel_size_um: tuple[float, float] | None,
    ends: tuple[float, float],
    model: ModelCard,
    config: SegmentConfig,
    engine: Engine,
) -> Generator[Event, None, tuple[float, list[Window]]]:
    """How much to enlarge a slide for the network: as asked for, or by what is seen of it.

    Parameters
    ----------
    chosen : Micrograph
        Its pixels may be in the file; at most 64 squares of 1024 px are read.
    pixel_size_um : (float, float) or None
    ends : (float, float)
        Dark and bright end of the slide.
    model : ModelCard
    config : SegmentConfig
    engine : Engine

    Yields
    ------
    Notice
        Where the slide is resampled.

    Returns
    -------
    float
    list of Window
        The places looked at, none if the factor was asked for.
    """
    factor = factor_given(pixel_size_um, model, config)
    known = model.median_diameter_px
    yield from without_resampling(pixel_size_um, model, config)
    if config.nucleus_diameter != "auto" or known is None:
        return factor, []
    places = informative_places(chosen, ends, model)
    found = yield from _find_at(places, chosen, ends, model, config, engine, 1.0)
    sizes = [diameters(f.labels) for f in found]
    factor, diameter = proposed_magnification(np.concatenate([np.zeros(0), *sizes]), known)
    if factor == 1:
        return 1.0, places
    seen, resampled = words_of(diameter, known, model.name, factor)
    where = f"at {len(places)} places" if len(places) > 1 else "at one place"
    yield Notice(f"{seen}: looking again {where} of the slide, {resampled}")
    again = yield from _find_at(places, chosen, ends, model, config, engine, factor)
    if not is_surer(_sureness(again), _sureness(found), factor):
        yield Notice("That was no better: the slide is segmented as it is")
        return 1.0, places
    yield Notice(f"The whole slide is {resampled} for the network")
    return factor, places


def informative_places(
    chosen: Micrograph, ends: tuple[float, float], model: ModelCard
) -> list[Window]:
    """Squares of a slide that show much, from among some that lie anywhere; always the same."""
    squares = blocks_of(chosen.shape, PLACE_PX)
    order = np.random.default_rng(0).permutation(len(squares))[:_MOST_READ]
    shown: list[tuple[float, int]] = []
    for number in order.tolist():
        part = np.asarray(chosen.pixels[squares[number]])
        tile = rescale(part, *ends, model.normalise.clip)
        if not is_flat(tile):
            shown.append((-structure(tile), number))
        if len(shown) == _ENOUGH:
            break
    return [squares[number] for _, number in sorted(shown)[:PLACES]]


def _find_at(
    places: list[Window],
    chosen: Micrograph,
    ends: tuple[float, float],
    model: ModelCard,
    config: SegmentConfig,
    engine: Engine,
    factor: float,
) -> Generator[Event, None, list[Found]]:
    """Find the nuclei at each place; progress is told of the whole slide alone."""
    results = []
    for place in places:
        part = replace(chosen, pixels=np.asarray(chosen.pixels[place]), levels=())
        finding = _Kept(find(part, ends, model, config, engine, factor))
        for event in finding:
            if isinstance(event, Notice):
                yield event
        results.append(finding.value)
    return results


class _Kept:
    """A generator of events that keeps what it returns."""

    def __init__(self, events: Generator[Event, None, Any]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[Event]:
        self.value = yield from self._events


def _sureness(found: list[Found]) -> float:
    """Mean probability of the nuclei of all places."""
    areas = [np.count_nonzero(f.labels) for f in found]
    if not sum(areas):
        return 0.0
    return float(np.average([f.sureness for f in found], weights=areas))
