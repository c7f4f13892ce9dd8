"""Many micrographs: which files are meant, what their results are called, and one after the other.

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

import glob
import hashlib
import json
import os
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path, PurePath

import numpy as np

from .channels import choose_pixels
from .config import JoinConfig, SegmentConfig
from .errors import FileError, NucleisegError, SettingError, reason
from .events import Event, Notice, Segmented, Streamed
from .files import write_text
from .io import (
    FORMATS,
    SUFFIXES,
    is_zarr,
    name_of,
    open_micrograph,
    series_names,
    with_colour,
    write_labels,
)
from .measure import measure
from .overlay import draw_outlines, write_picture
from .segmentation import segment
from .stack_segmentation import segment_stack
from .streaming import stream
from .tables import write_table

_NAME_BYTES = 255
STREAM_PIXELS = 100_000_000
"""Larger micrographs are segmented block by block, if nobody says otherwise."""
_PROGRAM = "napari-nucleiseg"


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
    """

    path: Path
    name: str
    notice: str = ""
    series: str | None = None

    @property
    def title(self) -> str:
        """Name of the file, and of the picture in it."""
        return f"{self.path.name} {self.series}" if self.series else self.path.name

    def result(self, out: Path, ending: str) -> Path:
        """Path of one of the results, for example with the ending ``_labels.tif``."""
        return out / f"{self.name}{ending}"


@dataclass(frozen=True)
class FileDone(Event):
    """A micrograph is segmented and its results are written.

    Attributes
    ----------
    item : Item
    labels, manifest : Path
        The label image and the record of how it was made.
    overlay, table : Path or None
        The picture with outlines and the table of measurements, where asked for.
    pixel_size_um : (float, float) or None
        Height and width of a pixel in µm.
    segmented : Segmented or Streamed
        The result itself.
    seconds : float
        Time for all of it, reading and writing included.
    """

    item: Item
    labels: Path
    manifest: Path
    overlay: Path | None
    table: Path | None
    pixel_size_um: tuple[float, float] | None
    segmented: Segmented | Streamed
    seconds: float


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
    owner = _nobody if out is None else partial(_owner, out)
    for item in _name(list(files.values()), owner):
        try:
            found.items += _pictures(item, series)
        except NucleisegError as error:
            found.errors.append((str(item.path), error))
    return found


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
        if _is_result(path) and os.path.isfile(path.with_name(f"{name_of(path)}.json")):
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
    members = [p for p in members if not (p.name.startswith(".") or _is_result(p))]
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


def _is_result(path: Path) -> bool:
    """Whether a file is called like a result of ours."""
    stem = path.stem.removesuffix(".ome").removesuffix(".part")
    return stem.endswith("_labels") or path.name.endswith("_overlay.png")


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


def _owner(out: Path, name: str) -> str | None:
    """Which micrograph the results of this name are of, where there are any of ours."""
    try:
        record = json.loads((out / f"{name}_labels.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("program") != _PROGRAM:
        return None
    source = record.get("input")
    path = source.get("path") if isinstance(source, dict) else None
    return path if isinstance(path, str) else ""


def _same(one: str, other: str) -> bool:
    """Whether two paths lead to one file, by whatever links."""
    if os.path.normcase(one) == os.path.normcase(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _nobody(_name: str) -> None:
    return None


def _name(
    files: list[tuple[Path, PurePath]], owner: Callable[[str], str | None] = _nobody
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
        return None if present is None or _same(present, own) else present

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


def prepare_folder(out: Path) -> None:
    """Make the output folder and see that files can be written there.

    Raises
    ------
    FileError
        If that is not so, before any work is done.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out, prefix=".part-"):
            pass
    except OSError as error:
        raise FileError(
            "The output folder cannot be written to",
            f"{out} ({error.strerror or error})",
            "Choose another folder",
        ) from error


def _refuse_to_replace(out: Path, name: str, source: str, files: Sequence[Path]) -> None:
    """See that files which are there already are earlier results of the same micrograph."""
    present = [path for path in files if path.exists()]
    owner = _owner(out, name)
    if not present or (owner is not None and _same(owner, source)):
        return
    whose = "Results of another micrograph" if owner is not None else "A file from elsewhere"
    raise FileError(
        f"{whose} would be overwritten",
        str(present[0]),
        "Choose another output folder, or move it away",
    )


def stamp_of(path: Path) -> dict[str, int]:
    """Size and time of a file, by which another one of the same name is told."""
    found = path.stat()
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns}


def segment_file(
    item: Item,
    out: Path,
    config: SegmentConfig,
    *,
    overlay: bool = False,
    by_blocks: bool | None = None,
    joining: JoinConfig | None = None,
    table: bool = False,
) -> Iterator[Event]:
    """Read a micrograph, segment it and write the results.

    Each file is written as a whole or not at all; earlier results of the same micrograph are
    replaced.

    Parameters
    ----------
    item : Item
    out : Path
    config : SegmentConfig
    overlay : bool
        Whether a picture of the outlines on the micrograph is written too.
    by_blocks : bool or None
        Whether the micrograph is segmented block by block into an OME-Zarr, in bounded memory, and
        a run that was stopped goes on where it was. None: if it has more than `STREAM_PIXELS`
        and Zarr is installed.
    joining : JoinConfig, optional
        Whether all focal planes or time points are segmented and their nuclei joined, and how.
    table : bool
        Whether the nuclei are measured too; see `napari_nucleiseg.measure.measure`.

    Yields
    ------
    Event
        Those of `napari_nucleiseg.segmentation.segment` or `napari_nucleiseg.streaming.stream`, and
        last `FileDone`.

    Raises
    ------
    NucleisegError
        If reading, segmenting or writing fails, or if the results would replace files of another
        micrograph or of another program.
    """
    started = time.monotonic()
    source = os.path.abspath(item.path)
    # before it is read: a file that changes meanwhile is another one
    stamp = stamp_of(item.path)
    manifest = item.result(out, "_labels.json")
    series = item.series if item.series is not None else config.series
    micrograph = open_micrograph(item.path, series=series)
    height, width = micrograph.shape
    join = "none" if joining is None else joining.join
    if join != "none" and by_blocks:
        raise SettingError("Planes are joined as a whole, not block by block", "--join, --stream")
    if by_blocks is None and join == "none":
        # without Zarr the label image is written as a whole, as long as the memory lasts
        by_blocks = height * width > STREAM_PIXELS and find_spec("zarr") is not None
    ending = "_labels.ome.zarr" if by_blocks else "_labels.tif"
    target = item.result(out, ending if join == "none" else "_labels.ome.tif")
    results = [target, manifest]
    if join == "t":
        results.append(item.result(out, "_tracks.csv"))
    measurements = item.result(out, "_nuclei.csv") if table else None
    if measurements is not None:
        results.append(measurements)
    _refuse_to_replace(out, item.name, source, results)
    if item.notice:
        yield Notice(item.notice)
    if not micrograph.is_lazy:
        micrograph = with_colour(micrograph, config.colour)
    work = segment(micrograph, config)
    if joining is not None and join != "none":
        work = segment_stack(micrograph, config, joining, target)
    elif by_blocks:
        work = stream(micrograph, config, target)
    result: Segmented | Streamed | None = None
    for event in work:
        yield event
        if isinstance(event, (Segmented, Streamed)):
            result = event
    if result is None:
        raise TypeError("segment ended without a result")
    picture = None
    if isinstance(result, Segmented):
        if overlay:
            picture = item.result(out, "_overlay.png")
            plane = micrograph.one_plane(config.z, config.t)
            chosen = choose_pixels(plane, config.channel, config.colour, config.merge)[0]
            write_picture(picture, draw_outlines(chosen.loaded(), result.labels))
        if measurements is not None:
            made = measure(result.labels, micrograph.one_plane(config.z, config.t).loaded())
            names = np.full(len(made["label"]), item.name, object)
            write_table(measurements, {"image": names, **made})
        write_labels(target, result.labels, micrograph.pixel_size_um)
    elif overlay or table:
        measurements = None
        yield Notice(
            "No picture of outlines was drawn and no nucleus measured, since the micrograph is "
            f"{'a stack' if join != 'none' else 'too large'}; open {target.name} in napari"
        )
    # the path as a whole: only so can a later run tell whether it has the same file
    record = {
        **result.manifest,
        "program": _PROGRAM,
        "input": {**result.manifest.get("input", {}), "path": source, **stamp},
        "labels": target.name,
        # what another run has left beside it is not of this one
        "written": [p.name for p in (target, picture, measurements) if p is not None],
    }
    text = json.dumps(record, indent=2, ensure_ascii=True, default=str)
    # last, so that where there is a record all else is complete
    write_text(manifest, text + "\n")
    yield FileDone(
        item,
        target,
        manifest,
        picture,
        measurements,
        micrograph.pixel_size_um,
        result,
        time.monotonic() - started,
    )
