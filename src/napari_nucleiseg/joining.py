"""Nuclei of successive planes as one: focal planes to 3-D labels, time points to tracks.

Each plane is segmented by itself. A nucleus goes on in the next plane where it overlaps enough;
pairs are taken one to one, the best first. One that is missed in a plane or two is found again
behind the gap. What becomes of a nucleus that divides is left to a tracker: one daughter keeps the
number, the other gets a new one.

The overlap of masks as the sign that two sections show one nucleus is used by Cellpose
(Stringer, C. et al., 2021, https://doi.org/10.1038/s41592-020-01018-x), too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.ndimage import center_of_mass

from .config import JoinConfig
from .metrics._matching import Overlaps


class Seen(NamedTuple):
    """A nucleus in one plane.

    Attributes
    ----------
    plane : int
        From 0.
    number : int
        Its own in the label image of this plane.
    area : int
        In pixels.
    y, x : float
        Its centre in pixels.
    """

    plane: int
    number: int
    area: int
    y: float
    x: float


class Joiner:
    """Gives the nuclei of successive planes numbers that stay; sees each plane once.

    Only the last planes are kept, as many as a gap may be long.

    Parameters
    ----------
    config : JoinConfig

    Attributes
    ----------
    paths : list of list of Seen
        Where each nucleus was seen, in the order of planes; all of them, also short ones.
    """

    def __init__(self, config: JoinConfig) -> None:
        self.config = config
        self.paths: list[list[Seen]] = []
        self._recent: list[np.ndarray] = []
        self._planes = 0

    def add(self, labels: np.ndarray) -> None:
        """Take the next plane.

        Parameters
        ----------
        labels : (H, W) integer ndarray
            0 is background, each other number one nucleus.

        Raises
        ------
        ShapeError
            If its size differs from that of the planes before.
        """
        found = _in_order(labels)
        # numbers in this plane to indices of paths, -1 where there is none yet
        path_of = np.full(int(labels.max(initial=0)) + 1, -1, np.int64)
        for earlier in reversed(self._recent):
            self._go_on(earlier, labels, found, path_of)
        for number in found:
            if path_of[number] < 0:
                path_of[number] = len(self.paths)
                self.paths.append([])
        areas = np.bincount(labels.ravel().clip(0), minlength=len(path_of))
        for number, (y, x) in zip(found.tolist(), _centres(labels, found), strict=True):
            seen = Seen(self._planes, number, int(areas[number]), y, x)
            self.paths[path_of[number]].append(seen)
        path_of[0] = -1
        # as paths, from 1, so that the next plane can be compared with it
        lasting = (path_of + 1)[labels.clip(0)]
        self._recent = [*self._recent, lasting][-(self.config.join_gap + 1) :]
        self._planes += 1

    def _go_on(
        self, earlier: np.ndarray, labels: np.ndarray, found: np.ndarray, path_of: np.ndarray
    ) -> None:
        """Let paths that were seen in an earlier plane last go on in this one."""
        pairs = Overlaps.between(earlier, labels.clip(0))
        rank = np.zeros(len(path_of), np.int64)
        rank[found] = np.arange(len(found))
        paths, numbers = pairs.true_ids[pairs.rows] - 1, pairs.found_ids[pairs.columns]
        # the best first; equal ones in the order of their first pixels, whatever their numbers
        taken = {int(p) for p in path_of[found] if p >= 0}
        for at in np.lexsort((rank[numbers], paths, -pairs.iou)):
            path, number = int(paths[at]), int(numbers[at])
            if pairs.iou[at] < self.config.join_overlap:
                break
            if path not in taken and path_of[number] < 0:
                path_of[number] = path
                taken.add(path)

    def lasting(self) -> list[list[Seen]]:
        """The paths that are long enough; the first has the number 1."""
        least = min(self.config.join_length, self._planes)
        return [path for path in self.paths if len(path) >= least]


def join(planes: Sequence[np.ndarray], config: JoinConfig | None = None) -> np.ndarray:
    """Join the label images of successive planes.

    Parameters
    ----------
    planes : sequence of (H, W) integer ndarray
        One label image for each focal plane or time point, numbered each by itself.
    config : JoinConfig, optional

    Returns
    -------
    (N, H, W) int32 ndarray
        One number for each nucleus through all planes, 1..N in the order in which they appear.

    Raises
    ------
    ShapeError
        If the planes differ in size.
    """
    joiner = Joiner(config or JoinConfig())
    for plane in planes:
        joiner.add(np.asarray(plane))
    paths = joiner.lasting()
    tables = numbers_by_plane(paths, [int(np.max(plane, initial=0)) for plane in planes])
    if not tables:
        return np.zeros((0, 0, 0), np.int32)
    joined = np.stack([t[np.asarray(p).clip(0)] for t, p in zip(tables, planes, strict=True)])
    return joined


def numbers_by_plane(paths: Sequence[Sequence[Seen]], largest: Iterable[int]) -> list[np.ndarray]:
    """Tables from the numbers of each plane to lasting ones, 0 for what is left out.

    Parameters
    ----------
    paths : sequence of sequence of Seen
        As `Joiner.lasting` gives them.
    largest : iterable of int
        The largest number of each plane.
    """
    tables = [np.zeros(n + 1, np.int32) for n in largest]
    for number, path in enumerate(paths, 1):
        for seen in path:
            tables[seen.plane][seen.number] = number
    return tables


def fill_gaps(joined: np.ndarray, paths: Sequence[Sequence[Seen]]) -> None:
    """Give a nucleus that is missed in a focal plane what the planes around the gap share.

    Parameters
    ----------
    joined : (N, H, W) int32 ndarray
        Lasting numbers, changed in place; only background is filled.
    paths : sequence of sequence of Seen
        As `Joiner.lasting` gives them.
    """
    for number, path in enumerate(paths, 1):
        for before, after in pairwise(path):
            for plane in range(before.plane + 1, after.plane):
                both = (joined[before.plane] == number) & (joined[after.plane] == number)
                joined[plane][both & (joined[plane] == 0)] = number


def tracks_table(paths: Sequence[Sequence[Seen]]) -> dict[str, np.ndarray]:
    """Where each nucleus was when: columns that trackers and napari's Tracks layer take.

    Returns
    -------
    dict of (N,) ndarray
        ``track_id`` from 1, as in the labels; ``t`` from 0; ``y`` and ``x`` of the centre and
        ``area`` in pixels.
    """
    rows = [(number, *seen) for number, path in enumerate(paths, 1) for seen in path]
    columns = list(zip(*rows, strict=True)) or [()] * 6
    return {
        "track_id": np.array(columns[0], np.int64),
        "t": np.array(columns[1], np.int64),
        "y": np.array(columns[4], np.float64),
        "x": np.array(columns[5], np.float64),
        "area": np.array(columns[3], np.int64),
    }


def _in_order(labels: np.ndarray) -> np.ndarray:
    """Numbers in the order of their first pixels: so nothing depends on the numbers themselves."""
    numbers, first = np.unique(labels.ravel(), return_index=True)
    numbers = numbers[np.argsort(first)]
    return np.asarray(numbers[numbers > 0])


def _centres(labels: np.ndarray, numbers: np.ndarray) -> list[tuple[float, float]]:
    """Centre of each nucleus, (y, x)."""
    if not numbers.size:
        return []
    return [(float(y), float(x)) for y, x in center_of_mass(labels > 0, labels, numbers)]
