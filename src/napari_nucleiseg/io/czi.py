"""Zeiss CZI, by bioio-czi (GPL 3): Carl Zeiss Microscopy."""

from __future__ import annotations

from pathlib import Path

from ..micrograph import Micrograph
from . import _bioio

NAME = "Zeiss CZI"
SUFFIXES = (".czi",)
MAGIC = (b"ZISRAWFILE",)

_PLUGIN = (NAME, "bioio_czi", "czi")


def series_names(path: Path) -> tuple[str, ...]:
    """Names of the scenes in a file."""
    return _bioio.series_names(path, *_PLUGIN)


def open_file(path: Path, *, series: str | int | None = None) -> Micrograph:
    """Open a scene; see `napari_nucleiseg.io.open_micrograph`."""
    return _bioio.open_file(path, series, *_PLUGIN)


def read(path: Path, *, numbers: bool = False) -> Micrograph:  # noqa: ARG001 (all are numbers)
    """Read the first scene; see `napari_nucleiseg.io.read_micrograph`."""
    return _bioio.read(path, *_PLUGIN)
