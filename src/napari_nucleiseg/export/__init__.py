"""Nuclei as files for other programs; one format to a file.

``EXPORTERS.names()`` lists them. A module has ``ENDING``, what the name of the file ends with;
``TITLE``, the program or format in a few words; and ``build()``, which gives a function of the path
to be, the label image and the file name of the micrograph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ShapeError
from ..events import Saved
from ..registry import Registry

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
        path = out / f"{name}{ending_of(export)}"
        EXPORTERS[export]()(path, labels, image)
        yield ExportSaved(path, f"for {EXPORTERS.module(export).TITLE}")
