"""``nucleiseg segment``: micrographs to label images."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .. import __version__, wording
from ..config import Config, JoinConfig, SegmentConfig
from ..errors import SettingError
from ..flags import parse_flags, with_settings
from .console import (
    EXPORT_NAMES,
    INTERRUPTED,
    SOME_FAILED,
    Out,
    in_words,
    progress_bar,
    say,
    say_error,
    say_problem,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..batch_config import BatchConfig
    from ..batch_events import FileFinished
    from ..events import Event
    from ..inputs import Found
    from ..result_names import Item

AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the summary as one JSON document to standard output, instead of the line.",
    ),
]


_Kind = TypeVar("_Kind", bound=Config)


class _Settings(JoinConfig, SegmentConfig):
    """All settings that have a flag."""


def _of(kind: type[_Kind], chosen: _Settings) -> _Kind:
    """Those of the settings that belong to one class."""
    return kind.model_validate(chosen.model_dump(include=set(kind.model_fields)))


@in_words
@with_settings(_Settings)
def segment(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            show_default=False,
            help="Micrographs: files, folders, or patterns in quotes.",
        ),
    ],
    out: Out,
    settings: dict[str, Any],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into folders inside folders as well.")
    ] = False,
    overlay: Annotated[
        bool,
        typer.Option("--overlay", help="Write a picture with the outlines of the nuclei, too."),
    ] = False,
    by_blocks: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Go block by block through large micrographs, in little memory, and write an "
            "OME-Zarr; a run that was stopped goes on where it was.",
            show_default="above 100 megapixels",
        ),
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Measure the nuclei, a table for each micrograph, too.")
    ] = False,
    export: Annotated[
        list[str] | None,
        typer.Option(
            show_default=False,
            metavar="NAME",
            help=f"Write the nuclei for another program, too: {EXPORT_NAMES}. May be repeated.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Leave out micrographs whose results are there, made with the same settings.",
        ),
    ] = False,
    summary: Annotated[
        bool | None,
        typer.Option(
            "--summary/--no-summary",
            help="Write summary.csv, a line for each micrograph, and gallery.html, all of them as "
            "small pictures with outlines.",
            show_default="for more than one micrograph",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that work together: on different micrographs, or on one slide."
        ),
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT", help="Use the workers of this dask scheduler instead."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List the micrographs and about how long they take."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Segment micrographs: every nucleus gets its own number.

    For each micrograph NAME.xyz two files are written: [bold]NAME_labels.tif[/bold], the label
    image, and [bold]NAME_labels.json[/bold], the record of how it was made (settings, model,
    versions), which is what it takes to make it again. Earlier results of the same micrograph are
    replaced, each as a whole; where there are some of another micrograph, those stay, and the new
    ones get a longer name.

    Of a plate or a series in OME-Zarr, all pictures are segmented, of other files with several the
    first, if --series chooses none. What is larger than 100 megapixels becomes
    [bold]NAME_labels.ome.zarr[/bold], joined planes become [bold]NAME_labels.ome.tif[/bold].

    Of a folder, files are taken that look like images; hidden files and results of earlier runs
    are not. A file that cannot be read is named and the others are done. If two micrographs would
    give results of the same name, the suffix is kept (NAME.png_labels.tif, NAME.tif_labels.tif),
    or, for files of one name from several folders, their folders are repeated in the output folder.

    [bold]Examples[/bold]

      nucleiseg segment cells.tif --out results
      nucleiseg segment "plate1/*_dapi.tif" --out results --overlay
      nucleiseg segment scans/ --recursive --out results --channel DAPI
      nucleiseg segment stack.tif --out results --z max --channel DAPI
      nucleiseg segment stack.czi --out results --join z --channel DAPI
      nucleiseg segment "movie/*.tif" --out results --stack t
      nucleiseg segment slide.svs --out results --stream
      nucleiseg segment scans/ --out results --export geojson --export imagej-roi
      nucleiseg segment scans/ --out results --resume
      nucleiseg segment scans/ --out results --workers 4
      nucleiseg segment cells.tif --out results --json > summary.json
    """
    from ..batch_config import BatchConfig
    from ..inputs import as_stack, find_items

    chosen = parse_flags(_Settings, settings)
    config, joining = _of(SegmentConfig, chosen), _of(JoinConfig, chosen)
    found = find_items(inputs, recursive=recursive, out=out, series=config.series)
    if not found.items:
        for _, error in found.errors[:-1]:
            say_error(error)
        if found.errors:
            raise found.errors[-1][1]
        raise SettingError(
            "Nothing to segment", ", ".join(inputs), "These are results of earlier runs"
        )
    if joining.stack != "none":
        if found.errors:
            # a stack with a hole is another stack
            raise found.errors[0][1]
        found.items = [as_stack(found.items, joining.stack, out)]
        if joining.join == "none" and getattr(config, joining.stack) is None:
            joining = joining.model_copy(update={"join": joining.stack})
    batch = BatchConfig(
        out=out,
        overlay=overlay,
        table=table,
        exports=tuple(export or ()),
        by_blocks=by_blocks,
        # a single file needs none, and would replace that of the folder it lies in
        summary=len(found.items) > 1 if summary is None else summary,
        workers=workers,
        scheduler=scheduler,
        resume=resume,
    )
    if dry_run:
        _list_files(found, batch, config, joining)
        return
    _segment_all(found, batch, config, joining, as_json=as_json)


def _list_files(
    found: Found, batch: BatchConfig, config: SegmentConfig, joining: JoinConfig
) -> None:
    """Say which micrographs would be segmented, and how long that may take."""
    from ..batch_plan import look_at

    for _, error in found.errors:
        say_error(error)
    files, seconds = look_at(found.items, batch, config, joining)
    for file in files:
        known = "size not known" if file.megapixels is None else wording.megapixels(file.megapixels)
        done = "  done already" if file.is_done else ""
        path = str(file.item.path).removesuffix(file.item.path.name) + file.item.title
        say(f"{_shown(path)}  {known}{done}", sys.stdout)
    done_count = sum(file.is_done for file in files)
    parts = [f"{len(files)} micrographs" if len(files) != 1 else "1 micrograph"]
    parts += [f"{done_count} done already"] if done_count else []
    if seconds:
        parts.append(wording.estimate(files, seconds))
    say(", ".join(parts), sys.stdout)


@dataclass
class _Told:
    """What became of the files."""

    done: list[dict[str, Any]] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    stopped: bool = False
    gallery: Path | None = None


def _segment_all(
    found: Found,
    batch: BatchConfig,
    config: SegmentConfig,
    joining: JoinConfig,
    *,
    as_json: bool,
) -> None:
    """Segment all, tell of each, and end with the summary and the exit code."""
    from ..batch_plan import look_at
    from ..batch_run import run_batch

    told = _Told()
    told.failed += [{"input": text, "error": say_error(error)} for text, error in found.errors]
    if found.skipped:
        names = _some_names(found.skipped)
        say(f"Left out, as they are no images of a known format: {names}")
    files, _ = look_at(found.items, batch, config, joining)
    try:
        with (
            progress_bar() as bar,
            closing(run_batch(files, batch, config, joining)) as events,  # type: ignore[type-var]
        ):
            _tell(events, found.items, told, bar)
    except KeyboardInterrupt:
        told.stopped = True
    total = sum(record["nuclei"] for record in told.done)
    if as_json:
        document = {
            "version": __version__,
            "config": config.model_dump(mode="json"),
            "out": str(batch.out),
            "nuclei": total,
            "results": told.done,
            "failed": told.failed,
            "done_before": told.before,
            "skipped": [str(path) for path in found.skipped],
            "gallery": None if told.gallery is None else str(told.gallery),
            "stopped": told.stopped,
        }
        say(json.dumps(document, indent=2), sys.stdout)
    else:
        images = f"{len(told.done)} of {len(found.items) + len(found.errors)} micrographs segmented"
        missed = f", {len(told.before)} done before" if told.before else ""
        missed += f", {len(told.failed)} failed" if told.failed else ""
        # of micrographs that nobody looked at, nothing is known
        result = (
            f": {wording.nuclei(total)}, results in {batch.out}"
            if told.done
            else f"; results are in {batch.out}"
            if told.before
            else "; there are no results"
        )
        say(f"{images}{missed}{result}", sys.stdout)
        if told.gallery is not None:
            say(f"All of them at a glance: {told.gallery}")
    if told.stopped:
        say("Stopped; the results named above are complete." if told.done else "Stopped.")
        raise typer.Exit(INTERRUPTED)
    if told.failed:
        raise typer.Exit(SOME_FAILED)


def _tell(
    events: Iterable[Event], items: Sequence[Item], told: _Told, bar: Progress | None
) -> None:
    """Say what happens, and note how the files went."""
    from ..batch_events import BatchEnded, FileBegun, FileFailed, FileFinished, FileNoticed
    from ..events import DeviceChosen, TileDone

    task = None if bar is None else bar.add_task("", total=len(items))
    said: set[str] = set()
    ended = 0
    for event in events:
        title = ""
        if isinstance(event, FileBegun | FileFinished | FileFailed | FileNoticed):
            title = _shown(items[event.number].title)
        if isinstance(event, FileBegun) and bar is not None and task is not None:
            bar.update(task, description=_shortened(items[event.number].title))
        elif isinstance(event, TileDone) and bar is not None and task is not None:
            bar.update(task, completed=ended + event.done / event.total)
        elif isinstance(event, FileNoticed):
            say(f"{title}: {event.text}")
        elif isinstance(event, DeviceChosen) and event.text not in said:
            said.add(event.text)
            say(f"Running on {event.text}")
        elif isinstance(event, FileFinished | FileFailed):
            ended += 1
            if bar is not None and task is not None:
                bar.update(task, completed=ended)
            path = str(items[event.number].path)
            if isinstance(event, FileFailed):
                about = (event.is_foreseen, event.traceback)
                sentence = say_problem(event.reason, path, *about)
                told.failed.append({"input": path, "error": sentence})
            elif event.was_done:
                told.before.append(path)
            else:
                told.done.append(_file_record(event, items[event.number]))
                say(f"{title}: {event.words} -> {_shown(str(event.labels))}")
        elif isinstance(event, BatchEnded):
            told.gallery = event.gallery


def _some_names(paths: list[Path], most: int = 5) -> str:
    """The first names, and how many more there are."""
    names = ", ".join(_shown(path.name) for path in paths[:most])
    return f"{names} and {len(paths) - most} more" if len(paths) > most else names


def _shown(name: str) -> str:
    """A name on one line, also where it holds several."""
    return name.replace("\n", "\\n").replace("\t", "\\t")


def _shortened(name: str, most: int = 32) -> str:
    """Beginning and end of a name that would leave no room for the bar."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def _file_record(event: FileFinished, item: Item) -> dict[str, Any]:
    """One micrograph in the JSON document."""
    return {
        "input": str(item.path),
        "series": item.series,
        "labels": str(event.labels),
        "manifest": str(event.manifest),
        "overlay": None if event.overlay is None else str(event.overlay),
        "table": None if event.table is None else str(event.table),
        "exports": [str(path) for path in event.exports],
        "nuclei": event.nuclei,
        "median_diameter_px": event.median_diameter_px,
        "pixel_size_um": event.pixel_size_um,
        "seconds": round(event.seconds, 3),
        "notices": list(event.notices),
    }
