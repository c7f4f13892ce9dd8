"""Measurements of nuclei from files: a label image, or a folder of them, with micrographs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .errors import FileError
from .events import Event, Notice
from .io import pixel_size_of, read_labels, read_micrograph
from .label_files import find_micrographs, in_short, is_one, label_files
from .measure import MeasureConfig, measure


@dataclass(frozen=True)
class Measured(Event):
    """The nuclei of one image are measured.

    Attributes
    ----------
    name : str
        Of the image.
    table : dict of (N,) ndarray
        That of `measure`.
    done, total : int
        Images measured so far, and in all.
    """

    name: str
    table: dict[str, np.ndarray] = field(repr=False)
    done: int
    total: int


def measure_files(
    labels: Path,
    images: Path | None = None,
    *,
    pixel_size_um: float | None = None,
    config: MeasureConfig | None = None,
) -> Iterator[Event]:
    """Measure the nuclei of a label image, or of all in a folder.

    Parameters
    ----------
    labels : Path
        A label image or a folder of them.
    images : Path or None
        The micrograph, or a folder of them with the same names, for intensities.
    pixel_size_um : float or None
        Side of a pixel in µm; by itself that of the micrograph or of the label image.
    config : MeasureConfig, optional

    Yields
    ------
    Event
        `Notice`, and `Measured` after each image.

    Raises
    ------
    FileError
        If a file cannot be read or a micrograph is missing.
    ShapeError
        If a micrograph and its label image differ in size.
    """
    if not labels.exists():
        raise FileError("There is no such file or folder", str(labels), "Check the path")
    files = label_files(labels)
    micrographs = {} if images is None else find_micrographs(images)
    if images is not None and is_one(images) and len(files) == 1:
        micrographs = dict.fromkeys(files, images)
    if images is not None and (missing := [name for name in files if name not in micrographs]):
        raise FileError(
            f"{len(missing)} of {len(files)} label images have no micrograph",
            f"{in_short(missing)} (looked for in {images})",
            "Files belong together whose names are equal without suffix and without _labels",
        )
    for done, (name, path) in enumerate(files.items(), 1):
        image, notices = read_labels(path)
        micrograph = read_micrograph(micrographs[name]) if name in micrographs else None
        for text in (*notices, *(() if micrograph is None else micrograph.notices)):
            yield Notice(text)
        size = None if pixel_size_um is None else (pixel_size_um, pixel_size_um)
        if size is None and micrograph is not None:
            size = micrograph.pixel_size_um
        if size is None and is_one(path):
            size = pixel_size_of(path)
        table = measure(image, micrograph, pixel_size_um=size, config=config)
        yield Measured(name, table, done, len(files))
