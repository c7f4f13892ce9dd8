"""Label images that exist already as files for other programs."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from .errors import FileError, ShapeError
from .events import Event, Notice, NucleiWritten
from .export import ExportSaved, export_names, opened_exports, ready, write_exports
from .io import STACK_SUFFIXES, is_zarr, open_micrograph, read_labels
from .io._size import size_of
from .label_files import label_files
from .parts import Parts
from .result_names import owner_of

MOST_PIXELS = 100_000_000
"""Larger label images are not held in memory as a whole, but read part by part."""


@dataclass(frozen=True)
class Exported(Event):
    """A label image was written for all programs that were asked for.

    Attributes
    ----------
    name : str
    paths : tuple of Path
    done, total : int
        Label images exported so far, and in all.
    """

    name: str
    paths: tuple[Path, ...]
    done: int
    total: int


def export_files(inputs: Sequence[Path], out: Path, exports: Sequence[str]) -> Iterator[Event]:
    """Export label images, or all of folders.

    Parameters
    ----------
    inputs : sequence of Path
        Label images, and folders of them.
    out : Path
        Folder of the files.
    exports : sequence of str
        Names of `napari_nucleiseg.export.EXPORTERS`.

    Yields
    ------
    Event
        `Notice`, `NucleiWritten` after each part of a large image, and `Exported` after each image.

    Raises
    ------
    NucleisegError
        If a file cannot be read or written, is a stack, two have the same name, or an
        export is not known or not installed.
    """
    wanted = export_names(exports)
    ready(wanted)
    files: dict[str, Path] = {}
    for given in inputs:
        if not given.exists():
            raise FileError("There is no such file or folder", str(given), "Check the path")
        for name, path in label_files(given).items():
            if files.setdefault(name, path) != path:
                raise FileError(
                    "Two label images have the same name",
                    f"{files[name]} and {path}",
                    "Export them to different folders, one after the other",
                )
    for done, (name, path) in enumerate(files.items(), 1):
        image = _image_of(path, name)
        if _is_large_plane(path):
            paths = yield from _export_parts(path, out, name, wanted, image)
        else:
            labels, notices = read_labels(path)
            for text in notices:
                yield Notice(text)
            saved = write_exports(labels, out, name, wanted, image)
            paths = [event.path for event in saved if isinstance(event, ExportSaved)]
        yield Exported(name, tuple(paths), done, len(files))


def _export_parts(
    path: Path, out: Path, name: str, wanted: Sequence[str], image: str
) -> Generator[Event, None, list[Path]]:
    labels = open_micrograph(path).pixels
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ShapeError(
            "Only a single plane of whole numbers can be exported",
            f"{path.name} is {labels.dtype} with {labels.ndim} axes",
            "Save it as a label image",
        )
    parts = Parts(labels)
    with opened_exports(wanted, out, name, parts.shape, image) as (paths, add):
        for done, part in enumerate(parts.go(), 1):
            if part is not None:
                add(part)
            yield NucleiWritten(done, parts.steps)
    return paths


def _is_large_plane(path: Path) -> bool:
    """Whether a label image is read part by part; raises if it is a stack."""
    is_array = is_zarr(path)
    size = open_micrograph(path).shape if is_array else size_of(path) if path.is_file() else None
    if is_array or path.suffix.lower() in STACK_SUFFIXES:
        axes = open_micrograph(path).axes
        if "Z" in axes or "T" in axes:
            raise ShapeError(
                "Only a single plane can be exported",
                f"{path.name} is a stack of {'time points' if 'T' in axes else 'focal planes'}",
                "Save each plane as a label image of its own; time points go to TrackMate in Fiji "
                "by nucleiseg tracks",
            )
    return size is not None and size[0] * size[1] > MOST_PIXELS


def _image_of(path: Path, name: str) -> str:
    """File name of the micrograph by the record beside a label image; else that of the image."""
    return PurePath(owner_of(path.parent, name) or path.name).name
