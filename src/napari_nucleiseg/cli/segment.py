"""``nucleiseg segment``: micrographs to label images."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .. import __version__, wording
from ..config import Config, JoinConfig, SegmentConfig
from ..errors import SettingError
from ..flags import parse_flags, with_settings
from .console import INTERRUPTED, SOME_FAILED, Out, in_words, progress_bar, say, say_error

if TYPE_CHECKING:
    from ..batch import FileDone
    from ..batch_run import BatchConfig
    from ..inputs import Found

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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Leave out micrographs whose results are there, made with the same settings.",
        ),
    ] = False,
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
      nucleiseg segment slide.svs --out results --stream
      nucleiseg segment scans/ --out results --resume
      nucleiseg segment cells.tif --out results --json > summary.json
    """
    from ..batch import prepare_folder
    from ..batch_run import BatchConfig
    from ..engine import build_engine
    from ..inputs import find_items
    from ..store import find_model

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
    batch = BatchConfig(out=out, overlay=overlay, table=table, resume=resume)
    if dry_run:
        _list_files(found, batch, config)
        return
    prepare_folder(out)
    # a model or device that is not there is one error, not one for each file
    build_engine(find_model(config.model), config)
    options = {"overlay": overlay, "table": table, "by_blocks": by_blocks, "joining": joining}
    _segment_all(found, batch, config, options, as_json=as_json)


def _list_files(found: Found, batch: BatchConfig, config: SegmentConfig) -> None:
    """Say which micrographs would be segmented, and how long that may take."""
    from ..batch_run import look_at

    for _, error in found.errors:
        say_error(error)
    files, seconds = look_at(found.items, batch, config)
    for file in files:
        known = "" if file.megapixels is None else f"  {wording.number(file.megapixels)} MPix"
        done = "  done already" if file.is_done else ""
        say(f"{_shown(str(file.item.path))}{known}{done}", sys.stdout)
    done_count = sum(file.is_done for file in files)
    parts = [f"{len(files)} micrographs"]
    parts += [f"{done_count} done already"] if done_count else []
    if seconds:
        # the card's speed is that of one core of another computer
        parts.append(f"roughly {wording.duration(seconds).removeprefix('about ')}")
    say(", ".join(parts), sys.stdout)


def _segment_all(
    found: Found,
    batch: BatchConfig,
    config: SegmentConfig,
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Segment one after the other, tell of each, and end with the summary and the exit code."""
    from ..batch import FileDone, segment_file
    from ..batch_run import is_done
    from ..events import DeviceChosen, Notice, TileDone
    from ..store import find_model

    out = batch.out
    items, before, joining = found.items, [], options["joining"]
    if batch.resume:
        sha256 = find_model(config.model).sha256
        before = [item for item in items if is_done(item, batch, config, sha256, joining)]
        items = [item for item in items if item not in before]
    failed = [{"input": text, "error": say_error(error)} for text, error in found.errors]
    if found.skipped:
        names = _some_names(found.skipped)
        say(f"Left out, as they are no images of a known format: {names}")
    done: list[dict[str, Any]] = []
    said: set[str] = set()
    stopped = False

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    with progress_bar() as bar:
        task = None if bar is None else bar.add_task("", total=len(items))
        for number, item in enumerate(items):
            notices: list[str] = []
            if bar is not None and task is not None:
                bar.update(task, description=_shortened(item.title), completed=number)
            try:
                work = segment_file(item, out, config, **options)
                with closing(work) as events:  # type: ignore[type-var]
                    for event in events:
                        if isinstance(event, TileDone) and bar is not None and task is not None:
                            bar.update(task, completed=number + event.done / event.total)
                        elif isinstance(event, Notice) and event.text not in notices:
                            notices.append(event.text)
                            say(f"{_shown(item.title)}: {event.text}")
                        elif isinstance(event, DeviceChosen):
                            say_once(f"Running on {event.text}")
                        elif isinstance(event, FileDone):
                            done.append(_file_record(event, notices))
                            line = wording.result(event.segmented, event.pixel_size_um)
                            say(f"{_shown(item.title)}: {line} -> {_shown(str(event.labels))}")
            except KeyboardInterrupt:
                stopped = True
                break
            except Exception as error:
                failed.append({"input": str(item.path), "error": say_error(error, str(item.path))})
    total = sum(record["nuclei"] for record in done)
    if as_json:
        document = {
            "version": __version__,
            "config": config.model_dump(mode="json"),
            "out": str(out),
            "nuclei": total,
            "results": done,
            "failed": failed,
            "done_before": [str(item.path) for item in before],
            "skipped": [str(path) for path in found.skipped],
            "stopped": stopped,
        }
        say(json.dumps(document, indent=2), sys.stdout)
    else:
        images = f"{len(done)} of {len(found.items) + len(found.errors)} micrographs segmented"
        missed = f", {len(before)} done before" if before else ""
        missed += f", {len(failed)} failed" if failed else ""
        # of micrographs that nobody looked at, nothing is known
        result = (
            f": {wording.nuclei(total)}, results in {out}"
            if done
            else f"; results are in {out}"
            if before
            else "; there are no results"
        )
        say(f"{images}{missed}{result}", sys.stdout)
    if stopped:
        say("Stopped; the results named above are complete." if done else "Stopped.")
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(SOME_FAILED)


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


def _file_record(event: FileDone, notices: list[str]) -> dict[str, Any]:
    """One micrograph in the JSON document."""
    return {
        "input": str(event.item.path),
        "series": event.item.series,
        "labels": str(event.labels),
        "manifest": str(event.manifest),
        "overlay": None if event.overlay is None else str(event.overlay),
        "table": None if event.table is None else str(event.table),
        "nuclei": event.segmented.count,
        "median_diameter_px": event.segmented.median_diameter_px,
        "pixel_size_um": event.pixel_size_um,
        "seconds": round(event.seconds, 3),
        "notices": notices,
    }
