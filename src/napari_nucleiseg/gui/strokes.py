"""What a person did in a Labels layer, as a `Change` for the journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..editing import Change


def change_of(item: Iterable[Any], shape: tuple[int, ...]) -> Change:
    """Give the change that a Labels layer tells of.

    Parameters
    ----------
    item : iterable
        Value of the layer's event ``paint``: pieces of one step of its history. Up to napari 0.8 a
        piece is (places, before, after); since 0.9 painting has a box, a mask in it (or None for
        all of it), the numbers before and the number after.
    shape : tuple of int
        Of the layer's data.
    """
    return Change.from_painting((_triple(piece, shape) for piece in item), shape)


def _triple(piece: Any, shape: tuple[int, ...]) -> tuple[tuple[np.ndarray, ...], np.ndarray, Any]:
    if not hasattr(piece, "mask"):
        places, before, after = piece
        return places, np.asarray(before), after
    bounds = [s.indices(n)[:2] for s, n in zip(piece.slice_key, shape, strict=True)]
    size = tuple(stop - start for start, stop in bounds)
    mask = np.ones(size, bool) if piece.mask is None else np.reshape(piece.mask, size)
    places = tuple(p + start for p, (start, _) in zip(np.nonzero(mask), bounds, strict=True))
    return places, np.ravel(piece.old_values), piece.new_value
