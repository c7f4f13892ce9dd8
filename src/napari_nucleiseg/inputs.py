"""Which micrographs are meant by files, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath

from .errors import FileError, NucleisegError, SettingError, reason
from .export import endings
from .io import (
    FORMATS,
    SUFFIXES,
    in_order,
    is_zarr,
    name_of,
    name_of_stack,
    series_names,
)
from .result_names import Item, is_same_file, name_items, nobody, owner_of


@dataclass
class Found:
    """Micrographs to segment, files left out, and what is wrong with inputs that gave none."""

    items: list[Item] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    errors: list[tuple[str, NucleisegError]] = field(default_factory=list)


def find_items(
    inputs: Sequence[str],
    *,
    recursive: bool = False,
    out: Path | None = None,
    series: str | None = None,
) -> Found:
    """Find the micrographs meant by files, folders and patterns.

    Parameters
    ----------
    inputs : sequence of str
        A file is taken whatever it is called, unless it is the result of an earlier run (a record
        of the same name lies beside it). Of a folder those files are taken that look like images
        by name or first bytes, except hidden ones and results (``*_labels.*``,
        ``*_overlay.png``). A pattern (``*``, ``?``, ``[...]``, ``**``) counts only where there is
        no file of this very name; what it finds is treated like the contents of a folder.
    recursive : bool
        Whether folders inside folders are looked into; their results go into folders of the same
        names.
    out : Path or None
        Where results will go: not looked into on the way down, and what is there of other
        micrographs keeps its name.
    series : str or None
        Which picture of each file is meant. None: of an OME-Zarr all (series, fields of a plate),
        of other files the first.

    Returns
    -------
    Found
    """
    found = Found()
    files: dict[str, tuple[Path, PurePath]] = {}
    for text in inputs:
        try:
            for path, below in _expand(text, recursive, out, found):
                files.setdefault(os.path.abspath(path), (path, below))
        except NucleisegError as error:
            found.errors.append((text, error))
    owner = nobody if out is None else partial(owner_of, out)
    for item in name_items(list(files.values()), owner):
        try:
            found.items += _pictures(item, series)
        except NucleisegError as error:
            found.errors.append((str(item.path), error))
    return found


def as_stack(items: Sequence[Item], axis: str, out: Path) -> Item:
    """Make one micrograph of several files.

    Parameters
    ----------
    items : sequence of Item
        The files; they are ordered as people count.
    axis : str
        What they differ in, T or Z.
    out : Path
        Where results will go; what is there of another micrograph keeps its name.

    Raises
    ------
    SettingError
        If a file holds several pictures, of which it is not said which one is meant.
    """
    several = [item for item in items if item.series is not None]
    if several:
        raise SettingError(
            "Of files with several pictures no stack can be made",
            several[0].title,
            "Leave out --stack and --series",
        )
    files = in_order(dict.fromkeys(item.path for item in items))
    name = name_of_stack([name_of(file) for file in files])
    [item] = name_items([(files[0].with_name(f"{name}{files[0].suffix}"), PurePath())])
    named = replace(item, path=files[0], files=tuple(files), axis=axis.upper())
    owner = owner_of(out, named.name)
    own = os.path.abspath(files[0])
    if owner is None or is_same_file(owner, own):
        return named
    return replace(named, name=f"{named.name}_{axis.lower()}-stack")


def _pictures(item: Item, series: str | None) -> list[Item]:
    """An item for each picture of an OME-Zarr, where none is chosen; else the item itself."""
    if series is not None or not is_zarr(item.path):
        return [replace(item, series=series)]
    names = series_names(item.path)
    if len(names) <= 1:
        return [item]
    return [replace(item, name=f"{item.name}_{n.replace('/', '-')}", series=n) for n in names]


def _expand(
    text: str, recursive: bool, out: Path | None, found: Found
) -> list[tuple[Path, PurePath]]:
    """Files an input stands for, each with its folder below the output folder."""
    if not text.strip():
        raise FileError("An input is empty", repr(text), "Name a file, a folder or a pattern")
    path = Path(os.path.expanduser(text))
    is_folder = os.path.isdir(path) and not is_zarr(path)
    if os.path.isfile(path) or is_zarr(path):
        if is_result(path) and os.path.isfile(path.with_name(f"{name_of(path)}.json")):
            return []
        return [(path, PurePath())]
    problems: list[tuple[str, NucleisegError]] = []
    if is_folder:
        folders = sorted(_folders(path, out, problems)) if recursive else [path]
        present = [p for folder in folders for p in _contents(folder, problems)]
    elif glob.has_magic(text):
        present = sorted(map(Path, glob.glob(str(path), recursive=True)))
    else:
        raise _not_found(path, text)
    found.errors += problems
    members = [p for p in present if os.path.isfile(p) or is_zarr(p)]
    members = [p for p in members if not (p.name.startswith(".") or is_result(p))]
    files = [p for p in members if _is_candidate(p)]
    left_out = set(members) - set(files)
    found.skipped += [p for p in members if p in left_out]
    if not files and is_folder and not problems:
        deeper = "" if recursive else ", or add --recursive to look into the folders inside"
        raise FileError("The folder holds no micrographs", text, f"Check the path{deeper}")
    if not files and not is_folder:
        raise FileError("No micrograph has a name like this", text, "Check the pattern")
    return [(p, p.parent.relative_to(path) if is_folder else PurePath()) for p in files]


def _contents(folder: Path, problems: list[tuple[str, NucleisegError]]) -> list[Path]:
    """What lies in a folder, by name; one that may not be looked into is a problem of its own."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        problems.append(_unreadable(folder, error))
        return []


def _unreadable(folder: Path | str, error: OSError) -> tuple[str, NucleisegError]:
    where = f"{folder} ({reason(error)})"
    return str(folder), FileError("The folder cannot be read", where, "Check who may read it")


def _not_found(path: Path, text: str) -> FileError:
    """Why there is nothing at a path: it does not exist, or is hidden from this user."""
    if os.path.islink(path):
        return FileError("The link leads nowhere", text, "Check where its file is now")
    try:
        path.stat()
    except FileNotFoundError:
        return FileError("There is no such file or folder", text, "Check the path")
    except OSError as error:
        return FileError("The file cannot be read", f"{text} ({reason(error)})", "Check the path")
    return FileError("This is no file and no folder", text, "Check the path")


def _folders(
    top: Path, out: Path | None, problems: list[tuple[str, NucleisegError]]
) -> Iterator[Path]:
    """A folder and all inside it, without hidden ones and the results' own."""
    results = None if out is None else os.path.abspath(out)

    def note(error: OSError) -> None:
        problems.append(_unreadable(error.filename, error))

    for folder, inner, _ in os.walk(top, onerror=note):
        yield Path(folder)
        inner[:] = [
            name
            for name in inner
            if name[0] != "."
            and os.path.abspath(os.path.join(folder, name)) != results
            and not is_zarr(Path(folder, name))
        ]


def is_result(path: Path) -> bool:
    """Whether a file is called like a result of ours."""
    stem = path.stem.removesuffix(".ome").removesuffix(".part")
    others = ("_overlay.png", "_nuclei.csv", "_tracks.csv", *endings())
    return (
        stem.endswith("_labels")
        or path.name.endswith(others)
        or path.name in ("summary.csv", "gallery.html")
    )


def _is_candidate(path: Path) -> bool:
    """Whether a file claims to be an image of a format that can be read."""
    if path.is_dir():
        return is_zarr(path)
    if path.suffix.lower() in SUFFIXES:
        return True
    beginnings = tuple(m for name in FORMATS.names() for m in FORMATS.module(name).MAGIC)
    try:
        with path.open("rb") as file:
            # two bytes ("BM") begin many a text
            return file.read(8).startswith(tuple(m for m in beginnings if len(m) > 2))
    except OSError:
        return False
