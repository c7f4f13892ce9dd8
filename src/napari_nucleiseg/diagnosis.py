"""What can be wrong with one micrograph and its label image, and what safely helps."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import label as connected
from skimage.measure import regionprops

from .alignment import best_offset, moved
from .data.masks import why_no_instances
from .editing import split_at_waist, waist_depth
from .errors import SettingError
from .instances import DecodeConfig, decode, diameters
from .wording import nuclei, number

LEAST_WAIST = 0.4
MOST_SOLIDITY = 0.92
TINY_PX, TINY_SHARE = 10, 0.02
LEAST_HOLE_PX = 3
LEAST_CONTRAST = 0.08
SIZE_RATIO = 2.5


@dataclass(frozen=True)
class Finding:
    """Something about a pair that a person should look at before training.

    Attributes
    ----------
    kind : str
        In a word or two: "holes", "shifted", ...
    text : str
        What was found.
    remedy : str
        What to do about it.
    fix : str
        Name of the safe remedy in `FIXES`; empty where only a person can help.
    is_problem : bool
        Whether training suffers; else it is good to know.
    numbers : tuple of int
        Of the nuclei it is about; empty where it is about the whole pair.
    """

    kind: str
    text: str
    remedy: str
    fix: str = ""
    is_problem: bool = True
    numbers: tuple[int, ...] = ()

    @property
    def sentence(self) -> str:
        """All of it as a line."""
        return f"{self.text}. {self.remedy}."

    @property
    def sentence_in_window(self) -> str:
        """All of it, without the flag of the command line."""
        return f"{self.text}. {self.remedy.partition(': --fix')[0]}."


FIXES = {
    "split": "give each connected piece of a mask its own number",
    "pieces": "give each piece of a nucleus in several pieces its own number",
    "tiny": "remove tiny fragments",
    "holes": "fill holes in nuclei",
    "waist": "split merged nuclei at their waist",
    "shift": "move a shifted label image onto its nuclei",
    "duplicates": "leave out the second of two equal micrographs",
}
# the same in a word or two, for a button
VERBS = {
    "split": "Split",
    "pieces": "Number",
    "tiny": "Remove",
    "holes": "Fill",
    "waist": "Split",
    "shift": "Move",
    "duplicates": "Leave out",
}


def examine(
    image: np.ndarray, labels: np.ndarray, known_diameter_px: float | None = None
) -> list[Finding]:
    """Look for everything that can be told from the arrays.

    Parameters
    ----------
    image : (C, H, W) float ndarray
        Normalised intensities, as a network sees them.
    labels : (H, W) int32 ndarray
        0 background, -1 ignored.
    known_diameter_px : float, optional
        Median diameter of the nuclei that the model learned from.

    Returns
    -------
    list of Finding
    """
    grey = image.astype(np.float32).mean(axis=0)
    found = list(_contrast(grey, labels))
    if not (labels > 0).any():
        found.append(
            Finding("empty", "No nucleus is marked", "Leave it if there is none, else mark them")
        )
        return found
    why = why_no_instances(labels)
    if why:
        count = int(split_mask(labels).max())
        remedy = f"Split it into {nuclei(count)}: --fix split"
        return [*found, Finding("mask", why[0].upper() + why[1:], remedy, "split")]
    found += _shapes(labels)
    offset = best_offset(grey, labels)
    if offset.is_shifted:
        found.append(
            Finding(
                "shifted",
                "The labels lie beside the nuclei; they fit best when moved by "
                f"{offset.y:+d} px down and {offset.x:+d} px to the right",
                "Look at it, then move them: --fix shift",
                "shift",
            )
        )
    median = float(np.median(diameters(labels)))
    if known_diameter_px and not 1 / SIZE_RATIO <= median / known_diameter_px <= SIZE_RATIO:
        found.append(
            Finding(
                "size",
                f"Nuclei are {number(median)} px wide, the model knows {number(known_diameter_px)} "
                "px",
                "Scale the micrographs, or correct more nuclei than usual",
                is_problem=False,
            )
        )
    return found


def _connected_pieces(labels: np.ndarray) -> np.ndarray:
    """Number each connected piece of each number; ignored pixels stay."""
    pieces = connected(np.maximum(labels, 0), connectivity=2)
    return np.asarray(np.where(labels < 0, -1, pieces), np.int32)


def split_mask(labels: np.ndarray) -> np.ndarray:
    """Number the nuclei of a mask: its connected pieces, or by their shape if those are clumps.

    Returns
    -------
    (H, W) int32 ndarray
    """
    pieces = _connected_pieces(labels)
    if not why_no_instances(pieces):
        return pieces
    config = DecodeConfig(least_depth=0, certainty=0, min_area_px=0)
    found = decode(("probability",), (labels > 0).astype(np.float32)[None], config)
    return np.where(labels < 0, -1, found).astype(np.int32)


def _contrast(grey: np.ndarray, labels: np.ndarray) -> Iterator[Finding]:
    if np.ptp(grey) == 0:
        yield Finding("contrast", "All pixels of the micrograph are equal", "Leave it out")
        return
    inside = labels > 0
    near = (labels == 0) & ndimage.binary_dilation(inside, iterations=8)
    if not inside.any() or not near.any():
        return
    contrast = abs(float(np.median(grey[inside])) - float(np.median(grey[near])))
    if contrast < LEAST_CONTRAST:
        yield Finding(
            "contrast",
            f"Nuclei differ from what is around them by {100 * contrast:.0f} % of the "
            "micrograph's range alone",
            "Check that the labels belong to it and, if it has several, the channel",
        )


def _several(count: int, what: str) -> str:
    return f"{nuclei(count)} {what.split('|')[count != 1]}"


def tiny(labels: np.ndarray) -> np.ndarray:
    """Numbers of fragments far smaller than other nuclei, but for those at the image's border."""
    sizes = np.bincount(np.maximum(labels, 0).ravel())
    sizes[0] = 0
    present = sizes[sizes > 0]
    least = max(TINY_PX, TINY_SHARE * float(np.median(present))) if present.size else 0
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    found = np.flatnonzero((sizes > 0) & (sizes < least))
    return found[~np.isin(found, edge)]


def with_holes(labels: np.ndarray) -> list[int]:
    """Numbers of nuclei that enclose background."""
    found = []
    for n, box in enumerate(ndimage.find_objects(np.maximum(labels, 0)), start=1):
        if box is None:
            continue
        mask = labels[box] == n
        holes = ndimage.binary_fill_holes(mask) & (labels[box] == 0)
        if holes.sum() >= LEAST_HOLE_PX:
            found.append(n)
    return found


def in_pieces(labels: np.ndarray) -> list[int]:
    """Numbers of nuclei in several connected pieces."""
    pieces = connected(np.maximum(labels, 0), connectivity=2, background=0)
    pairs = np.unique(np.stack([labels[pieces > 0], pieces[pieces > 0]]), axis=1)
    numbers, counts = np.unique(pairs[0], return_counts=True)
    return [int(n) for n in numbers[counts > 1]]


def merged(labels: np.ndarray) -> list[int]:
    """Numbers of nuclei with a waist so narrow that they are rather two."""
    too_small = set(tiny(labels).tolist())
    return [
        int(p.label)
        for p in regionprops(np.maximum(labels, 0))
        if p.label not in too_small
        and p.solidity < MOST_SOLIDITY
        and waist_depth(p.image) > LEAST_WAIST
    ]


def _shapes(labels: np.ndarray) -> Iterator[Finding]:
    pieces, small, holes, waists = (
        in_pieces(labels),
        tiny(labels),
        with_holes(labels),
        merged(labels),
    )
    waists = [n for n in waists if n not in pieces]
    for kind, numbers, what, remedy, fix in (
        ("pieces", pieces, "lies in several pieces|lie in several pieces", "Number each", "pieces"),
        ("tiny", small, "is a tiny fragment|are tiny fragments", "Remove them", "tiny"),
        ("holes", holes, "has holes|have holes", "Fill them", "holes"),
        (
            "merged",
            waists,
            "has a waist and may be two that touch|have a waist and may be two that touch",
            "Look at them, then split them",
            "waist",
        ),
    ):
        if len(numbers):
            first = ", ".join(str(n) for n in list(numbers)[:5])
            more = ", ..." if len(numbers) > 5 else ""
            text = f"{_several(len(numbers), what)} (number {first}{more})"
            all_of_them = tuple(int(n) for n in numbers)
            yield Finding(kind, text, f"{remedy}: --fix {fix}", fix, numbers=all_of_them)


def check_fixes(names: Collection[str]) -> tuple[str, ...]:
    """Names of remedies, in the order they are applied; "all" stands for every one.

    Raises
    ------
    SettingError
        If there is no such remedy.
    """
    for name in names:
        if name not in FIXES and name != "all":
            raise SettingError("Unknown remedy", repr(name), f"Known: all, {', '.join(FIXES)}")
    return tuple(n for n in FIXES if n in names or "all" in names)


def fix(
    image: np.ndarray, labels: np.ndarray, findings: Collection[Finding], names: Collection[str]
) -> tuple[np.ndarray, list[str]]:
    """Apply safe remedies to what was found.

    Parameters
    ----------
    image : (C, H, W) float ndarray
        Normalised intensities.
    labels : (H, W) int32 ndarray
    findings : collection of Finding
    names : collection of str
        Of `FIXES`; only those that a finding asks for are applied.

    Returns
    -------
    (H, W) int32 ndarray
        A label image of its own.
    list of str
        What was done, one sentence each.
    """
    result, done = labels.copy(), []
    wanted = {f.fix for f in findings} & set(names)
    if "split" in wanted:
        result = split_mask(result)
        done.append(f"split into {nuclei(int(result.max()))}")
        # pieces of a mask may be fragments or clumps of nuclei, which was not to be told before
        wanted |= {"tiny", "waist"} & set(names)
    if "pieces" in wanted:
        before = len(np.unique(result))
        result = _connected_pieces(result)
        done.append(f"{len(np.unique(result)) - before} more nuclei from pieces")
    if "tiny" in wanted:
        small = tiny(result)
        result[np.isin(result, small)] = 0
        done.append(f"{len(small)} tiny fragments removed")
    if "holes" in wanted:
        numbers = with_holes(result)
        for n, box in enumerate(ndimage.find_objects(np.maximum(result, 0)), start=1):
            if n in numbers:
                part = result[box]
                part[ndimage.binary_fill_holes(part == n) & (part == 0)] = n
        done.append(f"holes of {nuclei(len(numbers))} filled")
    if "waist" in wanted:
        done.append(f"{_split_merged(result)} cuts at waists")
    if "shift" in wanted:
        offset = best_offset(image.astype(np.float32).mean(axis=0), result)
        result = moved(result, offset)
        done.append(f"moved by {offset.y:+d} px down and {offset.x:+d} px to the right")
    return result, done


def _split_merged(labels: np.ndarray) -> int:
    """Split until no nucleus has a waist; a clump of several takes several rounds."""
    cuts = 0
    waiting = merged(labels)
    while waiting:
        for n in waiting:
            split_at_waist(labels, n).apply(labels)
        cuts += len(waiting)
        waiting = merged(labels)
    return cuts
