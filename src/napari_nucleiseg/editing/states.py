"""Which nuclei a person has looked at, and how a new prediction leaves those alone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from scipy import ndimage

from ..errors import ShapeError
from ..numbering import keep_numbers
from .change import Change


class State(IntEnum):
    """What became of a nucleus; one that is not listed is predicted."""

    PREDICTED = 0
    EDITED = 1
    CONFIRMED = 2


def keep_states(
    states: Mapping[int, State], change: Change, labels: np.ndarray
) -> dict[int, State]:
    """States after a change: what it touched is edited, what it removed is forgotten.

    Parameters
    ----------
    states : mapping of int to State
    change : Change
    labels : integer ndarray
        After the change.
    """
    result = {n: State(s) for n, s in states.items()}
    present = set(np.unique(labels[np.isin(labels, change.numbers)]).tolist())
    for number in change.numbers:
        if number in present:
            result[number] = State.EDITED
        else:
            result.pop(number, None)
    return result


def state_image(labels: np.ndarray, states: Mapping[int, State]) -> np.ndarray:
    """State of each pixel: 0 background, 1 predicted, 2 edited, 3 confirmed.

    Returns
    -------
    uint8 ndarray of the shape of ``labels``
    """
    table = np.ones(max(int(labels.max(initial=0)), 0) + 1, np.uint8)
    table[0] = 0
    for number, state in states.items():
        if 0 < number < len(table):
            table[number] = 1 + state
    result: np.ndarray = table[np.maximum(labels, 0)]
    return result


def merge_prediction(
    prediction: np.ndarray,
    labels: np.ndarray,
    states: Mapping[int, State],
    reviewed: np.ndarray | None = None,
    emptied: np.ndarray | None = None,
    taken: int = 0,
) -> tuple[np.ndarray, dict[int, State]]:
    """Put a new prediction around the nuclei that a person has edited or confirmed.

    Those keep every pixel and their numbers. A predicted nucleus takes what they leave free of it,
    if that is more than half of it and in one piece; else it is dropped. So is one that lies for
    the most part where a person emptied a place; its outline may reach into such a place
    otherwise. Predicted nuclei that were there before keep their numbers, too.

    Parameters
    ----------
    prediction : (H, W) or (Z, H, W) int32 ndarray
        What the model finds now.
    labels : integer ndarray of the same shape
        What is there.
    states : mapping of int to State
        Of the nuclei in ``labels``.
    reviewed : bool ndarray of the same shape, optional
        Where a person has decided on everything, background too: what is there stays, and nothing
        is added.
    emptied : (N,) int64 ndarray, optional
        Flat indices of the places that a person emptied; see `Emptying`.
    taken : int
        Highest number in other planes: a nucleus that was not here before gets a higher one.

    Returns
    -------
    int32 ndarray of the same shape
    dict of int to State
        Of those that stayed.
    """
    if prediction.shape != labels.shape:
        raise ShapeError(
            "Prediction and corrections differ in size", f"{prediction.shape} and {labels.shape}"
        )
    kept = {n for n, s in states.items() if s != State.PREDICTED}
    if reviewed is not None:
        inside, count = np.unique(labels[reviewed & (labels > 0)], return_counts=True)
        sizes = np.bincount(labels[labels > 0]) if inside.size else np.zeros(1)
        kept |= {int(n) for n, c in zip(inside, count, strict=True) if 2 * c > sizes[n]}
    stays = np.isin(labels, list(kept)) & (labels > 0)
    closed = stays | (labels < 0) if reviewed is None else stays | (labels < 0) | reviewed
    decided = closed.copy()
    if emptied is not None:
        decided.ravel()[emptied] = True
    composite = np.where(stays, labels, 0).astype(np.int32)
    first = max(0, int(labels.max(initial=0)))
    for number, box in enumerate(ndimage.find_objects(np.maximum(prediction, 0)), start=1):
        if box is None:
            continue
        mask = prediction[box] == number
        free = mask & ~closed[box]
        if 2 * (mask & ~decided[box]).sum() <= mask.sum():
            continue
        if (mask & closed[box]).any():
            # what a person's nucleus cuts off is no nucleus of its own
            pieces = ndimage.label(free, np.ones((3,) * free.ndim))[0]
            free = pieces == 1 + int(np.argmax(np.bincount(pieces[pieces > 0])[1:]))
        if 2 * free.sum() > mask.sum():
            composite[box][free] = first + number
    result = keep_numbers(composite, labels)
    if taken:
        # a number that is free in this plane may be another nucleus's in the next
        new = np.setdiff1d(result[result > 0], result[result == labels])
        table = np.arange(int(result.max(initial=0)) + 1, dtype=np.int32)
        table[new] = max(taken, first) + 1 + np.arange(len(new))
        result = table[result]
    result = np.where((labels < 0) & (result == 0), -1, result).astype(np.int32)
    present = set(np.unique(result).tolist())
    return result, {n: State(s) for n, s in states.items() if n in kept and n in present}
