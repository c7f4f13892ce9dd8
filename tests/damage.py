"""Errors planted into real label images by a seeded script, and what they have to be called."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

LEAST_AREA = 40


class Damaged(NamedTuple):
    """A damaged label image, and who was damaged how.

    ``deleted``, ``eroded``, ``split`` and ``merged`` are numbers in the whole image; ``invented``
    are numbers in the damaged one, and ``pieces`` and ``unions`` what became of the latter two.
    """

    labels: np.ndarray
    deleted: list[int]
    eroded: list[int]
    split: list[int]
    merged: list[int]
    invented: list[int]
    pieces: list[int]
    unions: list[int]


def damage(labels: np.ndarray, seed: int, each: int = 2) -> Damaged:
    """Plant so many errors of each kind into different nuclei."""
    rng = np.random.default_rng(seed)
    made = labels.astype(np.int32)
    areas = np.bincount(labels[labels > 0])
    free = [int(i) for i in rng.permutation(np.flatnonzero(areas >= LEAST_AREA))]
    middles = {i: np.array(ndimage.center_of_mass(labels == i)) for i in free}
    next_number = int(labels.max()) + 1

    merged, unions = [], []
    for one in list(free):
        if len(unions) == each:
            break
        if one not in free:
            continue
        # the nearest of about the same size: a speck beside a giant is no merge by definition
        alike = [i for i in free if i != one and 0.4 < areas[i] / areas[one] < 2.5]
        if not alike:
            continue
        other = min(alike, key=lambda i: np.linalg.norm(middles[i] - middles[one]))
        made[made == other] = one
        merged += [one, other]
        unions.append(one)
        free.remove(one)
        free.remove(other)

    split, pieces = [], []
    for number in free[:each]:
        y, x = np.nonzero(labels == number)
        along = np.linalg.svd(np.stack([y - y.mean(), x - x.mean()]), full_matrices=False)[0][:, 0]
        place = y * along[0] + x * along[1]
        beyond = place > np.quantile(place, 0.4)
        made[y[beyond], x[beyond]] = next_number
        split.append(number)
        pieces += [number, next_number]
        next_number += 1
    free = free[each:]

    eroded = free[:each]
    for number in eroded:
        depth = ndimage.distance_transform_edt(np.pad(labels == number, 1))[1:-1, 1:-1]
        inside = labels == number
        # a third of its pixels stay: the innermost ones
        made[inside & (depth <= np.quantile(depth[inside], 0.67))] = 0
    deleted = free[each : 2 * each]
    made[np.isin(made, deleted)] = 0

    invented = []
    for _ in range(each):
        room = ndimage.distance_transform_edt((made == 0) & (labels == 0))
        y, x = rng.choice(np.argwhere(room > min(6, room.max() - 1)))
        yy, xx = np.ogrid[: made.shape[0], : made.shape[1]]
        made[(yy - y) ** 2 + (xx - x) ** 2 < min(5.0, room[y, x] - 1) ** 2] = next_number
        invented.append(next_number)
        next_number += 1
    return Damaged(made, deleted, eroded, split, merged, invented, pieces, unions)
