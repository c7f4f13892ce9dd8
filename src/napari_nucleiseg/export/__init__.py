"""Nuclei as files for other programs; one format to a file.

``EXPORTERS.names()`` lists them. A module has ``ENDING``, what the name of the file ends with;
``TITLE``, the program or format in a few words; and ``build()``, which gives a context in which a
file is written part by part, see `_writing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ShapeError
from ..events import Saved
from ..parts import Part
from ..registry import Registry
from ._writing import Add

EXPORTERS = Registry(__name__, "export")


@dataclass(frozen=True)
class ExportSaved(Saved):
    """A file for another program was written."""


def export_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names as the registry has them, each once; ``imagej-roi`` is ``imagej_roi``.

    Raises
    ------
    SettingError
        If one is not known; the message lists the known ones.
    """
    wanted = tuple(dict.fromkeys(name.strip().replace("-", "_") for name in names))
    for name in wanted:
        EXPORTERS.module(name)
    return wanted


def ready(names: Iterable[str]) -> None:
    """See that what the exports need is installed, before hours of work.

    Raises
    ------
    DependencyError
        If a package is missing; with the command that installs it.
    """
    for name in export_names(names):
        EXPORTERS[name]()


def ending_of(name: str) -> str:
    """What the file of an export is called after the name of the micrograph."""
    text: str = EXPORTERS.module(name).ENDING
    return text


def endings() -> tuple[str, ...]:
    """The endings of all exports."""
    return tuple(ending_of(name) for name in EXPORTERS.names())


def write_exports(
    labels: np.ndarray, out: Path, name: str, exports: Iterable[str], image: str
) -> Iterator[ExportSaved]:
    """Write a label image for other programs, each file as a whole or not at all.

    Parameters
    ----------
    labels : (H, W) integer ndarray
        What is 0 or less is no nucleus.
    out : Path
        Folder of the files.
    name : str
        What their names begin with.
    exports : iterable of str
        Names of `EXPORTERS`.
    image : str
        File name of the micrograph.

    Yields
    ------
    ExportSaved
        For each file.

    Raises
    ------
    NucleisegError
        If an export is not known, what it needs is not installed, or a file cannot be written.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ShapeError(
            "Only a single plane of whole numbers can be exported",
            f"{name} is {labels.dtype} with {labels.ndim} axes",
            "Export each plane as a label image of its own",
        )
    for export in export_names(exports):
        with opened_exports((export,), out, name, labels.shape, image) as ([path], add):
            add(Part(labels))
        yield ExportSaved(path, f"for {EXPORTERS.module(export).TITLE}")


@contextmanager
def opened_exports(
    exports: Iterable[str], out: Path, name: str, shape: tuple[int, int], image: str
) -> Iterator[tuple[list[Path], Add]]:
    """Write a label image part by part for other programs; see `write_exports`.

    Yields
    ------
    list of Path
        The files, which are at their places when the context has ended without an error.
    callable
        Writes the nuclei of a `Part` to all of them.
    """
    wanted = export_names(exports)
    paths = [out / f"{name}{ending_of(export)}" for export in wanted]
    with ExitStack() as opened:
        writers = [
            opened.enter_context(EXPORTERS[export]()(path, shape, image))
            for export, path in zip(wanted, paths, strict=True)
        ]

        def add(part: Part) -> None:
            for write in writers:
                write(part)

        yield paths, add
