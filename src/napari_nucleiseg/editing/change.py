"""What an operation changes in a label image: pixels, their old and their new numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError


@dataclass(frozen=True)
class Change:
    """Pixels of a label image with their old and their new numbers.

    Attributes
    ----------
    indices : (N,) int64 ndarray
        Flat indices of the changed pixels, ascending.
    before, after : (N,) int32 ndarray
        Their numbers; they differ everywhere.
    shape : tuple of int
        Of the label image.
    """

    indices: np.ndarray
    before: np.ndarray
    after: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def between(cls, before: np.ndarray, after: np.ndarray) -> Change:
        """Give the change from one label image to another of the same shape."""
        if before.shape != after.shape:
            raise ShapeError(
                "A change keeps the size of the label image", f"{before.shape} and {after.shape}"
            )
        indices = np.flatnonzero(before != after)
        return cls(
            indices,
            before.ravel()[indices].astype(np.int32),
            after.ravel()[indices].astype(np.int32),
            before.shape,
        )

    @classmethod
    def in_box(cls, labels: np.ndarray, box: tuple[slice, ...], after: np.ndarray) -> Change:
        """Give the change of a part of a label image.

        Parameters
        ----------
        labels : integer ndarray
        box : tuple of slice
            Where the part lies, one slice with start and stop for each axis.
        after : integer ndarray
            New numbers of the part.
        """
        part = cls.between(labels[box], after)
        within = np.unravel_index(part.indices, after.shape)
        places = tuple(p + s.start for p, s in zip(within, box, strict=True))
        indices = np.ravel_multi_index(places, labels.shape).astype(np.int64)
        return cls(indices, part.before, part.after, labels.shape)

    @classmethod
    def from_painting(
        cls,
        atoms: Iterable[tuple[tuple[np.ndarray, ...], np.ndarray, Any]],
        shape: tuple[int, ...],
    ) -> Change:
        """Give the change of a brush stroke.

        Parameters
        ----------
        atoms : iterable of (places, before, after)
            In the order of painting: an index, the old numbers, and the new ones or one for all. A
            pixel can be painted several times.
        shape : tuple of int
            Of the label image.
        """
        parts = [
            (np.ravel_multi_index(places, shape), before, np.broadcast_to(after, np.shape(before)))
            for places, before, after in atoms
        ]
        if not parts:
            none = np.zeros(0, np.int32)
            return cls(np.zeros(0, np.int64), none, none, shape)
        flat, old, new = (np.concatenate([np.ravel(part[n]) for part in parts]) for n in range(3))
        indices, first = np.unique(flat, return_index=True)
        last = len(flat) - 1 - np.unique(flat[::-1], return_index=True)[1]
        before, after = old[first].astype(np.int32), new[last].astype(np.int32)
        differ = before != after
        return cls(indices[differ].astype(np.int64), before[differ], after[differ], shape)

    def reverse(self) -> Change:
        """Give the way back, as an undo takes it."""
        return Change(self.indices, self.after, self.before, self.shape)

    def __len__(self) -> int:
        """Count the changed pixels."""
        return len(self.indices)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Nuclei that lose or gain a pixel, by their numbers."""
        touched = np.unique(np.concatenate([self.before, self.after]))
        return tuple(int(n) for n in touched if n > 0)

    def places(self) -> tuple[np.ndarray, ...]:
        """Changed pixels as an index, one array for each axis."""
        return tuple(np.unravel_index(self.indices, self.shape))

    def apply(self, labels: np.ndarray) -> None:
        """Write the new numbers into a label image."""
        self._check(labels)
        labels[self.places()] = self.after

    def revert(self, labels: np.ndarray) -> None:
        """Write the old numbers back."""
        self._check(labels)
        labels[self.places()] = self.before

    def _check(self, labels: np.ndarray) -> None:
        if labels.shape != self.shape:
            raise ShapeError(
                "The change belongs to a label image of another size",
                f"{self.shape} and {labels.shape}",
            )

    def in_stack(self, plane: tuple[int, ...], shape: tuple[int, ...]) -> Change:
        """Give the same change for a stack that this plane is part of.

        Parameters
        ----------
        plane : tuple of int
            Position of the plane on the leading axes.
        shape : tuple of int
            Of the whole stack.
        """
        if len(plane) + len(self.shape) != len(shape) or shape[len(plane) :] != self.shape:
            raise ShapeError(
                "The plane is no part of this stack", f"{self.shape} at {plane} in {shape}"
            )
        size = int(np.prod(self.shape))
        offset = int(np.ravel_multi_index(plane, shape[: len(plane)])) * size if plane else 0
        return Change(self.indices + offset, self.before, self.after, shape)
