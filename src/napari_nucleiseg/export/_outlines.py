"""Outlines along the edges of pixels: exact polygons of nuclei, with holes and separate pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..parts import Part

Ring = list[tuple[int, int]]


@dataclass(frozen=True)
class Outline:
    """A nucleus as polygons.

    Attributes
    ----------
    label : int
        Its number in the label image.
    polygons : list of list of list of (int, int)
        One polygon for each piece of the nucleus whose pixels share edges. Of each, first the
        outer ring, then its holes. A ring lists its corners (x, y), without the first one again;
        pixel (x, y) reaches from (x, y) to (x + 1, y + 1). Outer rings have a positive area by the
        shoelace formula, holes a negative one. No ring touches itself; rings meet in corners alone.
    """

    label: int
    polygons: list[list[Ring]]


def outlines(part: Part) -> Iterator[Outline]:
    """Trace all nuclei, in the order of their numbers.

    Parameters
    ----------
    part : Part
        Numbers may have gaps; what is 0 or less is no nucleus.

    Yields
    ------
    Outline
        Placed in the whole label image.
    """
    from skimage.measure import label

    labels, top, left = part
    # a piece of its own is what pixels of one number make that share edges
    pieces = np.pad(label(np.maximum(labels, 0), connectivity=1), 1)
    numbers = np.zeros(int(pieces.max()) + 1, np.int64)
    numbers[pieces[1:-1, 1:-1]] = labels
    polygons: dict[int, list[list[Ring]]] = {}
    for piece, rings in _rings_of_pieces(pieces):
        if len(rings) > 1:
            # the one outer ring is the one that runs the other way round
            rings = sorted(rings, key=_doubled_area, reverse=True)
        rings = [[(x + left, y + top) for x, y in ring] for ring in rings]
        polygons.setdefault(int(numbers[piece]), []).append(rings)
    for number in sorted(polygons):
        yield Outline(number, polygons[number])


def _rings_of_pieces(pieces: np.ndarray) -> Iterator[tuple[int, list[Ring]]]:
    """Rings of each piece, as sides of pixels that follow each other with the piece on one hand.

    A side begins in the corner that its pixel has first on the way round it: 0 runs along the top
    to the right, 1 along the right side down, 2 along the bottom to the left, 3 up the left side.
    """
    width = pieces.shape[1]
    flat = pieces.ravel()
    ahead = (1, width, -1, -width)
    # from one pixel to that beyond its side
    beyond = (-width, 1, width, -1)
    sides, following, turns = [], [], []
    inner = np.flatnonzero(flat)
    for side in range(4):
        own = inner[flat[inner] != flat[inner + beyond[side]]]
        straight = own + ahead[side]
        round_it = straight + beyond[side]
        goes_on = flat[straight] == flat[own]
        turns_out = goes_on & (flat[round_it] == flat[own])
        at = np.where(turns_out, round_it, np.where(goes_on, straight, own))
        to = np.where(turns_out, (side - 1) % 4, np.where(goes_on, side, (side + 1) % 4))
        sides.append(own * 4 + side)
        following.append(at * 4 + to)
        turns.append(~(goes_on & ~turns_out))
    every = np.concatenate(sides)
    order = np.argsort(every)
    every = every[order]
    after = np.searchsorted(every, np.concatenate(following)[order]).tolist()
    is_corner = np.concatenate(turns)[order].tolist()
    pixel, turn = every // 4, every % 4
    # the corner in which a side ends; the padding is one pixel wide
    x = (pixel % width - 1 + np.isin(turn, (0, 1))).tolist()
    y = (pixel // width - 1 + np.isin(turn, (1, 2))).tolist()
    owner = flat[pixel].tolist()
    found: dict[int, list[Ring]] = {}
    seen = bytearray(len(after))
    for start, piece in enumerate(owner):
        if seen[start]:
            continue
        ring: Ring = []
        at_side = start
        while not seen[at_side]:
            seen[at_side] = 1
            if is_corner[at_side]:
                ring.append((x[at_side], y[at_side]))
            at_side = after[at_side]
        found.setdefault(piece, []).extend(_simple(ring))
    yield from found.items()


def _simple(ring: Ring) -> list[Ring]:
    """Cut a ring that comes to one corner twice into rings that do not."""
    if len(set(ring)) == len(ring):
        return [ring]
    cut: list[Ring] = []
    way: Ring = []
    places: dict[tuple[int, int], int] = {}
    for corner in ring:
        if corner in places:
            since = places[corner]
            cut.append(way[since:])
            for left in way[since + 1 :]:
                del places[left]
            del way[since + 1 :]
        else:
            places[corner] = len(way)
            way.append(corner)
    return [*cut, way]


def _doubled_area(ring: Ring) -> int:
    """Twice the area inside a ring, below 0 where it runs the other way round."""
    pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairs)
