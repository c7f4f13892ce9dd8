"""Corrections divided by place: blocks of a micrograph learn, other blocks judge.

Neighbouring pixels tell of each other, so a split by pixel, or with no gap, would flatter a model
that has only learned by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from .patches import TrainingImage

BLOCKS_PX = (256, 128, 64, 32)
LEAST_MARGIN_PX = 8
# what a network sees round the blocks that judge
CONTEXT_PX = 96
ENOUGH_NUCLEI = 12
ENOUGH_BLOCKS = 4
HELD_OUT = 0.25
LEAST_HELD_OUT = 3
FOLDS = 2


@dataclass(frozen=True)
class Fold:
    """Corrections of which one part learns and another judges.

    Attributes
    ----------
    training, held_out : tuple of TrainingImage
        Pixels that belong to the other part, or lie between, are -1.
    """

    training: tuple[TrainingImage, ...]
    held_out: tuple[TrainingImage, ...]


def count_nuclei(images: Sequence[TrainingImage]) -> int:
    """Nuclei of all label images."""
    return sum(len(np.unique(i.labels[i.labels > 0])) for i in images)


@dataclass(frozen=True)
class _Places:
    """Which block each nucleus of an image lies in, by its middle."""

    numbers: np.ndarray
    blocks: np.ndarray  # (N, 2) rows and columns of blocks

    @classmethod
    def of(cls, labels: np.ndarray, block: int) -> _Places:
        numbers = np.unique(labels[labels > 0])
        if not len(numbers):
            return cls(numbers, np.zeros((0, 2), int))
        centres = ndimage.center_of_mass(labels > 0, labels, numbers)
        return cls(numbers, (np.array(centres) // block).astype(int))


def divide(images: Sequence[TrainingImage], seed: int = 0) -> list[Fold]:
    """Divide corrections into parts that learn and parts that judge.

    Parameters
    ----------
    images : sequence of TrainingImage
    seed : int
        Which blocks judge.

    Returns
    -------
    list of Fold
        One where there is enough to hold some out; several, in which every block judges once, where
        there is too little; none where all nuclei lie in one place.
    """
    block, units = _blocks(images)
    if len(units) < FOLDS:
        return []
    rng = np.random.default_rng((seed, 3))
    names = [list(units)[n] for n in rng.permutation(len(units))]
    total = sum(units.values())
    groups: list[set[tuple[int, int, int]]]
    if total >= ENOUGH_NUCLEI and len(units) >= ENOUGH_BLOCKS:
        wanted, chosen, count = max(LEAST_HELD_OUT, round(HELD_OUT * total)), set(), 0
        for name in names:
            # a crowded block would leave too little to learn from
            if count < wanted and count + units[name] <= 2 * wanted:
                chosen.add(name)
                count += units[name]
        groups = [chosen]
    else:
        groups = [set() for _ in range(FOLDS)]
        for name in sorted(names, key=lambda n: -units[n]):
            min(groups, key=lambda g: sum(units[n] for n in g)).add(name)
    folds = [_fold(images, block, group, rng) for group in groups]
    return [f for f in folds if count_nuclei(f.training) and count_nuclei(f.held_out)]


def _blocks(images: Sequence[TrainingImage]) -> tuple[int, dict[tuple[int, int, int], int]]:
    """The largest size of blocks that gives several, and how many nuclei each of them has."""
    units: dict[tuple[int, int, int], int] = {}
    block = BLOCKS_PX[0]
    for block in BLOCKS_PX:
        units = {}
        for n, image in enumerate(images):
            for y, x in _Places.of(image.labels, block).blocks:
                units[n, int(y), int(x)] = units.get((n, int(y), int(x)), 0) + 1
        if len(units) >= ENOUGH_BLOCKS:
            break
    return block, units


def _fold(
    images: Sequence[TrainingImage],
    block: int,
    judging: set[tuple[int, int, int]],
    rng: np.random.Generator,
) -> Fold:
    training, held_out = [], []
    for n, image in enumerate(images):
        places = _Places.of(image.labels, block)
        height, width = image.labels.shape
        # blocks without a nucleus show whether one is found where there is none
        grid = rng.random((-(-height // block), -(-width // block))) < HELD_OUT
        for y, x in places.blocks:
            grid[y, x] = (n, int(y), int(x)) in judging
        region = grid.repeat(block, 0).repeat(block, 1)[:height, :width]
        inside = places.numbers[[(n, int(y), int(x)) in judging for y, x in places.blocks]]
        mine = np.isin(image.labels, inside)
        margin = _margin(image.labels)
        # background close to nuclei that learn lies between the parts, or too few would be left
        taken = mine | (region & ~_near((image.labels > 0) & ~mine, margin))
        judged = np.where(taken, image.labels, -1)
        learned = _without(image.labels, taken & (image.labels >= 0), margin)
        if (learned >= 0).any():
            training.append(replace(image, labels=learned))
        if (judged >= 0).any():
            held_out.append(_cropped(replace(image, labels=judged)))
    return Fold(tuple(training), tuple(held_out))


def _margin(labels: np.ndarray) -> float:
    """Pixels between parts: the radius of a nucleus."""
    _, areas = np.unique(labels[labels > 0], return_counts=True)
    return max(LEAST_MARGIN_PX, float(np.sqrt(np.median(areas) / np.pi)) if len(areas) else 0)


def _near(mask: np.ndarray, distance: float) -> np.ndarray:
    """Pixels of a mask, and those up to a distance from it."""
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask) <= distance)


def _without(labels: np.ndarray, taken: np.ndarray, margin: float) -> np.ndarray:
    """A label image that ignores a region, a margin round it, and every nucleus they cut."""
    near = _near(taken, margin)
    cut = np.isin(labels, np.unique(labels[near & (labels > 0)]))
    return np.where(near | cut, -1, labels)


def _cropped(image: TrainingImage) -> TrainingImage:
    """The part of an image that judges, with some context."""
    known = image.labels >= 0
    sides = []
    for axis in (1, 0):
        at = np.flatnonzero(known.any(axis))
        sides.append(slice(max(0, int(at[0]) - CONTEXT_PX), int(at[-1]) + 1 + CONTEXT_PX))
    y, x = sides
    return replace(image, image=image.image[:, y, x], labels=image.labels[y, x])
