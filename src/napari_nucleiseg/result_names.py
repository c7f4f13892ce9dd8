"""What the results of many micrographs are called.

A result is named after its micrograph: ``nuclei.tif`` gives ``nuclei_labels.tif`` and
``nuclei_labels.json``. Where two micrographs would give the same name, all of those get a longer
one, which depends on nothing but the files given:

1. the file's suffix is kept: ``nuclei.png_labels.tif``, ``nuclei.tif_labels.tif``;
2. if that is not enough, their folders are repeated below the output folder, from the first one in
   which they differ: ``day1/nuclei_labels.tif``, ``day2/nuclei_labels.tif``;
3. if that is not enough, both; and last a number (``~2``) is added.

The same holds where the output folder has results of another micrograph under this name, from an
earlier run: those stay, and the new ones get the longer name. Results of the very same file are
replaced. Which file results are of is in their record.

Names count as the same if they differ in letter case or in how accents are coded only, as on many
disks they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from .io import name_of

PROGRAM = "napari-nucleiseg"
_NAME_BYTES = 255


@dataclass(frozen=True)
class Item:
    """A micrograph's file, and what its results are called.

    Attributes
    ----------
    path : Path
    name : str
        Name of the results below the output folder, without ``_labels.tif``; may hold folders.
    notice : str
        Why the name is longer than expected, if an earlier run is the reason.
    series : str or None
        Which picture of a file with several, for example a field of a plate.
    files : tuple of Path
        All files of a stack of several, ``path`` first; empty where the micrograph is one file.
    axis : str
        Letter of what those files differ in.
    """

    path: Path
    name: str
    notice: str = ""
    series: str | None = None
    files: tuple[Path, ...] = ()
    axis: str = ""

    @property
    def title(self) -> str:
        """Name of the file, and of the picture in it."""
        if self.files:
            return f"{self.path.name} and {len(self.files) - 1} more"
        return f"{self.path.name} {self.series}" if self.series else self.path.name

    def result(self, out: Path, ending: str) -> Path:
        """Path of one of the results, for example with the ending ``_labels.tif``."""
        return out / f"{self.name}{ending}"


def owner_of(out: Path, name: str) -> str | None:
    """Which micrograph the results of this name are of, where there are any of ours."""
    try:
        record = json.loads((out / f"{name}_labels.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("program") != PROGRAM:
        return None
    source = record.get("input")
    path = source.get("path") if isinstance(source, dict) else None
    return path if isinstance(path, str) else ""


def is_same_file(one: str, other: str) -> bool:
    """Whether two paths lead to one file, by whatever links."""
    if os.path.normcase(one) == os.path.normcase(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def nobody(_name: str) -> None:
    """Say that no results of this name are there."""
    return None


def name_items(
    files: list[tuple[Path, PurePath]], owner: Callable[[str], str | None] = nobody
) -> list[Item]:
    """Name the results, no two alike and none like those of another file; see the top."""
    folders = [os.path.dirname(os.path.abspath(path)) for path, _ in files]
    names = [str(below / _short(name_of(path))) for path, below in files]
    for group in _alike(names):
        for choose in (_with_suffix, _with_folders, _with_both):
            longer = choose([files[i] for i in group], [folders[i] for i in group])
            if not _alike(longer):
                break
        for i, name in zip(group, longer, strict=True):
            names[i] = name
    taken: dict[str, str] = {}

    def other(name: str, own: str) -> str | None:
        """The other input, of this run or an earlier one, that has the name."""
        if _key(name) in taken:
            return taken[_key(name)]
        present = owner(name)
        return None if present is None or is_same_file(present, own) else present

    items = []
    for name, file in zip(names, files, strict=True):
        own = os.path.abspath(file[0])
        first = other(name, own)
        for candidate in _longer_and_longer(name, file, first):
            if other(candidate, own) is None:
                break
        notice = ""
        if first is not None and _key(name) not in taken:
            whose = first or "another micrograph"
            notice = f"Its results are called {candidate}, since {name} are those of {whose}."
        taken[_key(candidate)] = own
        items.append(Item(file[0], candidate, notice))
    return items


def _longer_and_longer(name: str, file: tuple[Path, PurePath], first: str | None) -> Iterator[str]:
    """A name, and what to take instead where it is not free, without end.

    What is taken instead depends on the file and on the ``first`` one, which has the name already.
    """
    yield name
    if first:
        pair = [file, (Path(first), PurePath())]
        folders = [os.path.dirname(os.path.abspath(path)) for path, _ in pair]
        for choose in (_with_suffix, _with_folders, _with_both):
            longer = choose(pair, folders)
            if not _alike(longer):
                yield longer[0]
    number = 2
    while True:
        yield f"{name}~{number}"
        number += 1


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _alike(names: Sequence[str]) -> list[list[int]]:
    """Groups of two or more indices whose names count as the same."""
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(_key(name), []).append(i)
    return [group for group in groups.values() if len(group) > 1]


def _with_suffix(files: Sequence[tuple[Path, PurePath]], _folders: Sequence[str]) -> list[str]:
    return [str(below / _short(path.name)) for path, below in files]


def _with_folders(files: Sequence[tuple[Path, PurePath]], folders: Sequence[str]) -> list[str]:
    inner = _below_common(folders)
    return [str(i / _short(name_of(path))) for i, (path, _) in zip(inner, files, strict=True)]


def _with_both(files: Sequence[tuple[Path, PurePath]], folders: Sequence[str]) -> list[str]:
    inner = _below_common(folders)
    return [str(i / _short(path.name)) for i, (path, _) in zip(inner, files, strict=True)]


def _below_common(folders: Sequence[str]) -> list[PurePath]:
    """Folders without the part they share."""
    try:
        common = os.path.commonpath(folders)
    except ValueError:  # on different drives nothing is shared
        return [PurePath(*PurePath(folder).parts[1:]) for folder in folders]
    return [PurePath(os.path.relpath(folder, common)) for folder in folders]


def _short(stem: str) -> str:
    """Shorten a name whose results would have names longer than disks allow."""
    room = _NAME_BYTES - len("~00_overlay.png") - len(".part-12345678")
    if len(os.fsencode(stem)) <= room:
        return stem
    mark = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    kept = stem
    while len(os.fsencode(kept)) > room - 9:
        kept = kept[:-1]
    return f"{kept}~{mark}"
