"""One micrograph of many: read, segmented, its results written, each as a whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .beside import Beside, write_beside
from .config import JoinConfig, SegmentConfig
from .errors import FileError, SettingError
from .events import Event, Notice, Segmented, Streamed
from .files import write_text
from .io import open_micrograph, open_stack, read_labels, with_colour, write_labels
from .micrograph import Micrograph
from .result_names import PROGRAM, Item, is_same_file, owner_of
from .segmentation import segment
from .stack_segmentation import segment_stack
from .streaming import stream
from .thumbnails import keep_thumbnail

if TYPE_CHECKING:
    from .slide_workers import SlideWorkers

STREAM_PIXELS = 100_000_000
"""Larger micrographs are segmented block by block, if nobody says otherwise."""


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
    exports : tuple of Path
        The files for other programs that were asked for.
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
    exports: tuple[Path, ...]
    pixel_size_um: tuple[float, float] | None
    segmented: Segmented | Streamed
    seconds: float


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
    owner = owner_of(out, name)
    if not present or (owner is not None and is_same_file(owner, source)):
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


def stamps_of(item: Item) -> dict[str, Any]:
    """The same of all files of a micrograph."""
    others = [[os.path.abspath(file), *stamp_of(file).values()] for file in item.files]
    return {**stamp_of(item.path), **({"files": others} if others else {})}


@dataclass(frozen=True)
class ReadFile:
    """A micrograph, and the size and time of its files before it was read."""

    micrograph: Micrograph
    stamp: dict[str, Any]


def open_item(item: Item, config: SegmentConfig) -> Micrograph:
    """Open the micrograph of an item, with what the settings say of its axes and pixel size.

    Raises
    ------
    NucleisegError
        If it cannot be read, or has other axes.
    """
    if item.files:
        micrograph = open_stack(item.files, "T" if item.axis == "T" else "Z")
    else:
        series = item.series if item.series is not None else config.series
        micrograph = open_micrograph(item.path, series=series)
    if config.axes is not None:
        micrograph = micrograph.with_axes(config.axes)
    if config.pixel_size_um is not None:
        micrograph = micrograph.with_pixel_size(config.pixel_size_um)
    return micrograph


def read_file(item: Item, config: SegmentConfig) -> ReadFile:
    """Read a micrograph, or open it where it is too large for that.

    Raises
    ------
    NucleisegError
        If it cannot be read.
    OSError
        If it is not there.
    """
    # before it is read: a file that changes meanwhile is another one
    stamp = stamps_of(item)
    micrograph = open_item(item, config)
    if not micrograph.is_lazy:
        micrograph = with_colour(micrograph, config.colour)
    return ReadFile(micrograph, stamp)


def goes_by_blocks(pixels: float, asked: bool | None, joining: JoinConfig | None) -> bool:
    """Whether a micrograph of so many pixels goes block by block.

    Raises
    ------
    SettingError
        If that is asked for while planes are joined.
    """
    if joining is not None and joining.join != "none":
        if asked:
            raise SettingError(
                "Planes are joined as a whole, not block by block", "--join, --stream"
            )
        return False
    if asked is not None:
        return asked
    # without Zarr the label image is written as a whole, as long as the memory lasts
    return pixels > STREAM_PIXELS and find_spec("zarr") is not None


def segment_file(
    item: Item,
    out: Path,
    config: SegmentConfig,
    *,
    overlay: bool = False,
    by_blocks: bool | None = None,
    joining: JoinConfig | None = None,
    table: bool = False,
    exports: Sequence[str] = (),
    thumbnail: bool = False,
    read: Callable[[Item], ReadFile] | None = None,
    workers: SlideWorkers | None = None,
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
    exports : sequence of str
        For which other programs the nuclei are written; see `napari_nucleiseg.export`.
    thumbnail : bool
        Whether a small picture for the gallery is kept; see `napari_nucleiseg.thumbnails`.
    read : callable, optional
        Gives the micrograph where it is read already; else `read_file` reads it.
    workers : SlideWorkers, optional
        Processes for a micrograph that goes block by block.

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
    found = read_file(item, config) if read is None else read(item)
    micrograph, stamp = found.micrograph, found.stamp
    manifest = item.result(out, "_labels.json")
    height, width = micrograph.shape
    join = "none" if joining is None else joining.join
    by_blocks = goes_by_blocks(height * width, by_blocks, joining)
    ending = "_labels.ome.zarr" if by_blocks else "_labels.tif"
    target = item.result(out, ending if join == "none" else "_labels.ome.tif")
    results = [target, manifest]
    if join == "t":
        results.append(item.result(out, "_tracks.csv"))
    is_joined = join != "none"
    beside = Beside.of(
        item, out, overlay=overlay, table=table, exports=exports, is_joined=is_joined
    )
    results += beside.paths
    _refuse_to_replace(out, item.name, source, results)
    if item.notice:
        yield Notice(item.notice)
    work = segment(micrograph, config)
    if joining is not None and join != "none":
        work = segment_stack(micrograph, config, joining, target)
    elif by_blocks:
        work = stream(micrograph, config, target, workers=workers, stamp=stamp)
    result: Segmented | Streamed | None = None
    notices = [item.notice] if item.notice else []
    for event in work:
        yield event
        if isinstance(event, Notice):
            notices.append(event.text)
        if isinstance(event, (Segmented, Streamed)):
            result = event
    if result is None:
        raise TypeError("segment ended without a result")
    # the path as a whole: only so can a later run tell whether it has the same file
    record = {
        **result.manifest,
        "program": PROGRAM,
        "input": {**result.manifest.get("input", {}), "path": source, **stamp},
        "labels": target.name,
        "median_diameter_px": result.median_diameter_px,
        "notices": list(dict.fromkeys(notices)),
    }
    # before the first file: if this ends before the last one, they are known to be ours, and are
    # replaced; what lies beside labels that are there already can be made later
    there = [target.name] if isinstance(result, Streamed) else []
    write_record(manifest, {**record, "written": there})
    labels = result.labels if isinstance(result, Segmented) else open_micrograph(result.path)
    yield from write_beside(beside, item, out, micrograph, labels, config)
    if isinstance(result, Segmented):
        write_labels(target, result.labels, micrograph.pixel_size_um)
    if is_joined and (overlay or exports):
        text = (
            "No picture of outlines was drawn and nothing exported, since planes were joined; "
            f"open {target.name} in napari"
        )
        record["notices"].append(text)
        yield Notice(text)
    if thumbnail:
        keep_thumbnail(item, out, micrograph, config, result)
    # last, and of what another run has left beside it none is of this one
    written = [path.name for path in (target, *beside.paths)]
    write_record(manifest, {**record, "written": written})
    yield FileDone(
        item,
        target,
        manifest,
        beside.overlay,
        beside.table,
        beside.exports,
        micrograph.pixel_size_um,
        result,
        time.monotonic() - started,
    )


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write the record of how results were made."""
    text = json.dumps(record, indent=2, ensure_ascii=True, default=str)
    write_text(path, text + "\n")


def complete_file(
    item: Item,
    out: Path,
    config: SegmentConfig,
    record: Mapping[str, Any],
    *,
    overlay: bool = False,
    table: bool = False,
    exports: Sequence[str] = (),
    read: Callable[[Item], ReadFile] | None = None,
) -> Iterator[Event]:
    """Write what is wanted beside a label image that is there, without segmenting again.

    Parameters
    ----------
    item : Item
    out : Path
    config : SegmentConfig
        By which it was segmented.
    record : mapping
        The record beside the label image.
    overlay, table, exports, read
        See `segment_file`.

    Yields
    ------
    Event
        Those of `beside.write_beside`, and last `FileDone`.

    Raises
    ------
    NucleisegError
        If reading or writing fails.
    """
    started = time.monotonic()
    micrograph = (read_file(item, config) if read is None else read(item)).micrograph
    manifest = item.result(out, "_labels.json")
    target = manifest.with_name(str(record["labels"]))
    is_joined = record.get("join") is not None
    beside = Beside.of(
        item, out, overlay=overlay, table=table, exports=exports, is_joined=is_joined
    )
    written = list(record["written"])
    own = [path for path in beside.paths if path.name not in written]
    _refuse_to_replace(out, item.name, os.path.abspath(item.path), own)
    is_plane_in_memory = not is_joined and not target.is_dir()
    labels = read_labels(target).image if is_plane_in_memory else open_micrograph(target)
    yield from write_beside(beside, item, out, micrograph, labels, config)
    record = {**record, "written": [*written, *(path.name for path in own)]}
    write_record(manifest, record)
    seconds = time.monotonic() - started
    median = float(record.get("median_diameter_px") or 0.0)
    yield FileDone(
        item,
        target,
        manifest,
        beside.overlay,
        beside.table,
        beside.exports,
        micrograph.pixel_size_um,
        Streamed(target, int(record["nuclei"]), median, seconds, dict(record)),
        seconds,
    )
