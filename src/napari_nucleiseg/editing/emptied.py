"""Places that a person emptied: pixels of nuclei that became background by hand.

A new prediction leaves them empty, so that a deleted nucleus does not come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import FileError
from .change import Change


def nowhere() -> np.ndarray:
    """No place at all."""
    return np.zeros(0, np.int64)


def in_plane(emptied: np.ndarray, at: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Flat indices in a plane of those in its stack.

    Parameters
    ----------
    emptied : (N,) int64 ndarray
    at : tuple of int
        The plane; empty where the whole is one.
    shape : tuple of int
        Of the whole.
    """
    size = int(np.prod(shape[len(at) :]))
    first = int(np.ravel_multi_index(at, shape[: len(at)])) * size if at else 0
    inside = (emptied >= first) & (emptied < first + size)
    result: np.ndarray = emptied[inside] - first
    return result


@dataclass(frozen=True)
class Emptying:
    """What one step does to the emptied places.

    Attributes
    ----------
    gained, lost : (N,) int64 ndarray
        Flat indices, ascending: emptied by this step, and filled by it.
    """

    gained: np.ndarray = field(default_factory=nowhere)
    lost: np.ndarray = field(default_factory=nowhere)

    @classmethod
    def by(cls, change: Change, emptied: np.ndarray) -> Emptying:
        """Give what a person's change does to the places that were emptied before."""
        left = change.indices[(change.before > 0) & (change.after == 0)]
        gained = np.setdiff1d(left, emptied, assume_unique=True)
        return cls(gained, cls.filled(change, emptied).lost)

    @classmethod
    def filled(cls, change: Change, emptied: np.ndarray) -> Emptying:
        """Give what a change fills of the places that were emptied before."""
        new = change.indices[change.after > 0]
        return cls(nowhere(), np.intersect1d(new, emptied, assume_unique=True))

    def reverse(self) -> Emptying:
        """Give the way back."""
        return Emptying(self.lost, self.gained)

    def apply(self, emptied: np.ndarray) -> np.ndarray:
        """Give the emptied places after this step."""
        if not self:
            return emptied
        left = np.setdiff1d(emptied, self.lost, assume_unique=True)
        result: np.ndarray = np.union1d(left, self.gained)
        return result

    def __bool__(self) -> bool:
        """Whether it does anything."""
        return bool(self.gained.size or self.lost.size)


def as_runs(indices: np.ndarray) -> list[int]:
    """Ascending flat indices as plain numbers: start, length, start, length, ..."""
    if not indices.size:
        return []
    breaks = np.flatnonzero(np.diff(indices) > 1) + 1
    starts = indices[np.concatenate([[0], breaks])]
    lengths = np.diff(np.concatenate([[0], breaks, [indices.size]]))
    found: list[int] = np.stack([starts, lengths], axis=1).ravel().tolist()
    return found


def from_runs(runs: Sequence[int], size: int, source: str) -> np.ndarray:
    """Flat indices from `as_runs`; ``source`` names the file if they are none.

    Raises
    ------
    FileError
        If they do not fit a label image of this many pixels.
    """
    if not runs:
        return nowhere()
    try:
        starts, lengths = np.array(runs, np.int64).reshape(-1, 2).T
        ends = starts + lengths
        fit = (starts >= 0) & (lengths > 0) & (ends <= size)
        is_fine = bool(fit.all() and (starts[1:] > ends[:-1]).all())
    except (ValueError, TypeError, OverflowError):
        is_fine = False
    if not is_fine:
        raise FileError("Its emptied places do not fit the label image", source, "Restore a copy")
    first = np.cumsum(lengths) - lengths
    indices: np.ndarray = np.arange(lengths.sum()) + np.repeat(starts - first, lengths)
    return indices
