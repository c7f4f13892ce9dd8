"""All micrographs of a folder: what there is to do, and doing it, file by file.

A file whose results are there already, made with the same settings, is left as it is: so a run
that was stopped goes on where it was.
"""

from __future__ import annotations

import glob
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import Field

from . import __version__
from .batch import FileDone, prepare_folder, segment_file, stamp_of
from .config import Config, JoinConfig, SegmentConfig
from .engine import build_engine
from .errors import SettingError
from .events import DeviceChosen, Event, Notice, TileDone
from .inputs import find_items
from .io._size import size_of
from .result_names import Item
from .store import find_model
from .wording import sentence


class BatchConfig(Config):
    """Which files are segmented, and what is written of each."""

    folder: Path = Field(Path(), description="folder with the micrographs")
    pattern: str = Field("", description="which names count, such as *_dapi.tif; empty: all images")
    recursive: bool = Field(False, description="whether folders inside are looked into")
    out: Path = Field(Path(), description="folder for the results")
    overlay: bool = Field(False, description="whether a picture with outlines is written")
    table: bool = Field(False, description="whether nuclei are measured, into a table")
    resume: bool = Field(True, description="whether files that are done already are left out")


@dataclass(frozen=True)
class BatchFile:
    """A file to segment.

    Attributes
    ----------
    item : Item
    megapixels : float or None
        None where the file does not tell before it is read.
    is_done : bool
        Whether its results are there already, made with the same settings.
    """

    item: Item
    megapixels: float | None
    is_done: bool


@dataclass(frozen=True)
class BatchPlanned(Event):
    """What there is to do.

    Attributes
    ----------
    files : tuple of BatchFile
    seconds : float or None
        How long those that are not done will take, by the speed on the model's card.
    problems : tuple of str
        What cannot be looked into, in sentences.
    """

    files: tuple[BatchFile, ...]
    seconds: float | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class FileBegun(Event):
    """A file's turn has come; files count from 0."""

    number: int


@dataclass(frozen=True)
class FileFinished(Event):
    """Results of a file are there.

    Attributes
    ----------
    number : int
    labels, manifest : Path
    nuclei : int
    seconds : float
        0 if it was done already.
    was_done : bool
    notices : tuple of str
        What should be known about it, a sentence each.
    """

    number: int
    labels: Path
    manifest: Path
    nuclei: int
    seconds: float
    was_done: bool
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileFailed(Event):
    """A file could not be segmented; the others go on."""

    number: int
    reason: str


@dataclass(frozen=True)
class BatchEnded(Event):
    """All files had their turn.

    Attributes
    ----------
    total : int
        Number of files.
    segmented, were_done, failed : int
    nuclei : int
        In all files with results.
    seconds : float
    """

    total: int
    segmented: int
    were_done: int
    failed: int
    nuclei: int
    seconds: float


def plan_batch(config: BatchConfig, settings: SegmentConfig) -> Iterator[Event]:
    """Find the files to segment, and how long it will take.

    Parameters
    ----------
    config : BatchConfig
    settings : SegmentConfig

    Yields
    ------
    Event
        `BatchPlanned`.

    Raises
    ------
    NucleisegError
        If there are none, or the model is not there.
    """
    found = find_items([_input(config)], recursive=config.recursive, out=config.out)
    if not found.items:
        raise (
            found.errors[-1][1]
            if found.errors
            else SettingError("Nothing to segment", str(config.folder), "Check the folder")
        )
    files, seconds = look_at(found.items, config, settings)
    problems = [sentence(error) for _, error in found.errors]
    if found.skipped:
        names = ", ".join(path.name for path in found.skipped[:3])
        more = f" and {len(found.skipped) - 3} more" if len(found.skipped) > 3 else ""
        problems.append(f"Left out, as they are no images of a known format: {names}{more}")
    yield BatchPlanned(files, seconds, tuple(problems))


def look_at(
    items: Sequence[Item], config: BatchConfig, settings: SegmentConfig
) -> tuple[tuple[BatchFile, ...], float | None]:
    """Look how large files are, which are done, and how long the others will take.

    Parameters
    ----------
    items : sequence of Item
    config : BatchConfig
        Of it, only what concerns the results counts.
    settings : SegmentConfig

    Returns
    -------
    files : tuple of BatchFile
    seconds : float or None
        By the speed on the model's card, None where that or a size is not known.
    """
    model = find_model(settings.model)
    files = []
    for item in items:
        size = size_of(item.path)
        megapixels = None if size is None else size[0] * size[1] / 1e6
        files.append(BatchFile(item, megapixels, is_done(item, config, settings, model.sha256)))
    left = [file.megapixels for file in files if not (config.resume and file.is_done)]
    known = [megapixels for megapixels in left if megapixels is not None]
    is_known = bool(model.speed) and len(known) == len(left)
    return tuple(files), sum(known) / model.speed if is_known and model.speed else None


def run_batch(
    files: Sequence[BatchFile], config: BatchConfig, settings: SegmentConfig
) -> Iterator[Event]:
    """Segment files one after the other, as the command line does.

    Parameters
    ----------
    files : sequence of BatchFile
    config : BatchConfig
    settings : SegmentConfig

    Yields
    ------
    Event
        `DeviceChosen`; of each file `FileBegun`, `TileDone`, and `FileFinished` or `FileFailed`;
        last `BatchEnded`.

    Raises
    ------
    NucleisegError
        If model or device are not there, or the output folder cannot be written to.
    """
    started = time.monotonic()
    prepare_folder(config.out)
    model = find_model(settings.model)
    # a device that is not there is one error, not one for each file
    build_engine(model, settings)
    ended: list[FileFinished] = []
    failed = 0
    for number, file in enumerate(files):
        yield FileBegun(number)
        if config.resume and is_done(file.item, config, settings, model.sha256):
            record = _record(file.item, config.out)
            manifest = file.item.result(config.out, "_labels.json")
            labels = manifest.with_name(str(record["labels"]))
            ended.append(FileFinished(number, labels, manifest, int(record["nuclei"]), 0.0, True))
            yield ended[-1]
            continue
        try:
            for event in _one_file(number, file.item, config, settings):
                yield event
                if isinstance(event, FileFinished):
                    ended.append(event)
        except Exception as error:
            failed += 1
            yield FileFailed(number, sentence(error))
    were_done = sum(event.was_done for event in ended)
    nuclei = sum(event.nuclei for event in ended)
    seconds = time.monotonic() - started
    segmented = len(ended) - were_done
    yield BatchEnded(len(files), segmented, were_done, failed, nuclei, seconds)


def _one_file(
    number: int, item: Item, config: BatchConfig, settings: SegmentConfig
) -> Iterator[Event]:
    """Segment a file; pixels and labels stay here."""
    notices: list[str] = []
    work = segment_file(item, config.out, settings, overlay=config.overlay, table=config.table)
    with closing(cast("Any", work)) as events:
        for event in events:
            if isinstance(event, TileDone | DeviceChosen):
                yield event
            elif isinstance(event, Notice) and event.text not in notices:
                notices.append(event.text)
            elif isinstance(event, FileDone):
                yield FileFinished(
                    number,
                    event.labels,
                    event.manifest,
                    event.segmented.count,
                    event.seconds,
                    False,
                    tuple(notices),
                )


def is_done(
    item: Item,
    config: BatchConfig,
    settings: SegmentConfig,
    sha256: str,
    joining: JoinConfig | None = None,
) -> bool:
    """Whether all results of a file are there, of this file as it is now, by the same settings.

    Parameters
    ----------
    item : Item
    config : BatchConfig
    settings : SegmentConfig
    sha256 : str
        Of the model's weights.
    joining : JoinConfig, optional
        How planes are joined, where they are.
    """
    record = _record(item, config.out)
    expected = {
        "config": settings.model_dump(mode="json"),
        "model": {"name": record.get("model", {}).get("name"), "sha256": sha256},
        "join": joining.model_dump(mode="json") if joining and joining.join != "none" else None,
    }
    if any(record.get(name) != value for name, value in expected.items()):
        return False
    if record.get("versions", {}).get("napari-nucleiseg") != __version__:
        return False
    if record.get("input", {}).get("path") != os.path.abspath(item.path):
        return False
    manifest = item.result(config.out, "_labels.json")
    # blocks and stacks are written to other files, of which no picture or table is made
    labels = manifest.with_name(str(record.get("labels")))
    wanted = [labels]
    if labels.suffixes[-1:] == [".tif"] and ".ome" not in labels.suffixes:
        wanted += [item.result(config.out, "_overlay.png")] if config.overlay else []
        wanted += [item.result(config.out, "_nuclei.csv")] if config.table else []
    try:
        stamp = stamp_of(item.path)
    except OSError:
        return False
    is_same = all(record["input"].get(name) == value for name, value in stamp.items())
    written = record.get("written")
    is_listed = isinstance(written, list) and all(path.name in written for path in wanted)
    return is_same and is_listed and all(path.exists() and _size(path) for path in wanted)


def _size(path: Path) -> int:
    """Bytes of a file; a folder counts as one."""
    return 1 if path.is_dir() else path.stat().st_size


def _record(item: Item, out: Path) -> dict[str, Any]:
    """The record of an earlier run; empty where there is none."""
    try:
        record = json.loads(item.result(out, "_labels.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    parts = ("model", "versions", "input")
    is_ours = isinstance(record, dict) and all(isinstance(record.get(p), dict) for p in parts)
    return record if is_ours and isinstance(record.get("nuclei"), int) else {}


def _input(config: BatchConfig) -> str:
    """The folder, or a pattern in it, as the command line takes it."""
    folder = os.path.expanduser(config.folder)
    if not os.path.isdir(folder):
        raise SettingError("There is no such folder", str(config.folder), "Choose another one")
    if not config.pattern:
        return str(folder)
    inner = "**" if config.recursive else ""
    return os.path.join(glob.escape(str(folder)), inner, config.pattern)
