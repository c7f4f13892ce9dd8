"""Several files that are the planes of one stack: their order, and what the stack is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from ..micrograph import Assumed


class TimesAssumed(Assumed):
    """A notice that files were taken as time points."""

    __slots__ = ()
    letter = "T"


def in_order(paths: Iterable[Path | str]) -> list[Path]:
    """Order files as people count: ``a2.tif`` before ``a10.tif``."""

    def key(path: Path) -> tuple[str, list[tuple[int, int, str]]]:
        parts = re.split(r"(\d+)", path.name.casefold())
        pieces = [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts if p]
        return str(path.parent), pieces

    return sorted((Path(path) for path in paths), key=key)


def name_of_stack(names: Sequence[str]) -> str:
    """What the names of all files begin with, without counters; else the first name."""
    if len(names) == 1:
        return names[0]
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = "".join(letters[0] for letters in alike)
    return common.rstrip("0123456789").rstrip(" _-.") or names[0]


def files_assumed(count: int, axes: str) -> Assumed | None:
    """Say what the files of a stack are taken for where nobody says it.

    Parameters
    ----------
    count : int
        How many there are.
    axes : str
        Of each file.

    Returns
    -------
    Assumed or None
        None where each file has focal planes and time points already.
    """
    said = "Nothing says in what the {} files differ; they were taken as {}."
    if "Z" not in axes:
        return Assumed(said.format(count, "focal planes"))
    return TimesAssumed(said.format(count, "time points")) if "T" not in axes else None
