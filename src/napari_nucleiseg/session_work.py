"""The work that a session lets run, and what it tells of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .channels import propose_channel
from .config import SegmentConfig
from .errors import FileError, NucleisegError, ShapeError
from .events import Event, Notice, Segmented
from .io import Colour, open_micrograph, read_labels, read_micrograph, series_names, with_colour
from .metrics.average_precision import average_precision
from .metrics.dice import dice
from .metrics.iou import iou
from .micrograph import Micrograph
from .numbering import keep_numbers
from .segmentation import segment


@dataclass(frozen=True)
class Scored(Event):
    """A label image was compared with the true one.

    Attributes
    ----------
    dice, iou : float
        Of the foreground.
    ap50 : float
        Average precision at IoU 0.5.
    true_count : int
        Number of true nuclei.
    """

    dice: float
    iou: float
    ap50: float
    true_count: int


@dataclass(frozen=True)
class ChannelProposed(Event):
    """The channel in which nuclei would be looked for (counted from 1), its name, and why."""

    number: int
    name: str
    why: str


@dataclass(frozen=True)
class Opened(Event):
    """A file was read.

    Attributes
    ----------
    micrograph : Micrograph
    pictures : tuple of str
        Names of all pictures in the file, where there are several.
    """

    micrograph: Micrograph
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResultOpened(Event):
    """A file was read together with its label image and the record of how that was made."""

    micrograph: Micrograph
    labels: np.ndarray = field(repr=False)
    manifest: dict[str, Any]


@dataclass(frozen=True)
class NotPlanned(Event):
    """Why nothing of a folder can be segmented."""

    error: NucleisegError


@dataclass(frozen=True)
class ResultNotOpened(Event):
    """Why a file cannot be shown with its result."""

    error: NucleisegError


@dataclass(frozen=True)
class Loaded(Event):
    """The pixels to segment are in memory: a cancel is heard before the network starts."""


def score(labels: np.ndarray, truth: np.ndarray) -> Iterator[Event]:
    """Compare a label image with the true one.

    Parameters
    ----------
    labels, truth : (H, W) integer ndarray

    Yields
    ------
    Event
        `Scored`.

    Raises
    ------
    ShapeError
        If they differ in size.
    """
    if labels.shape != truth.shape:
        raise ShapeError(
            "The true labels have another size than the image",
            "{}×{} px, not {}×{} px".format(*truth.shape, *labels.shape),
            "Choose the labels of this image",
        )
    at_half = float(average_precision(truth, labels, (0.5,))[0])
    true_count = int(np.count_nonzero(np.unique(truth) > 0))
    yield Scored(dice(truth, labels), iou(truth, labels), at_half, true_count)


def segment_and_score(
    micrograph: Micrograph,
    config: SegmentConfig,
    truth: np.ndarray | None = None,
    earlier: np.ndarray | None = None,
) -> Iterator[Event]:
    """Segment a micrograph, number the nuclei as before, compare them with the true ones.

    Parameters
    ----------
    micrograph : Micrograph
    config : SegmentConfig
    truth : (H, W) integer ndarray or None
        True label image.
    earlier : (H, W) integer ndarray or None
        Result of an earlier run; see `keep_numbers`.

    Yields
    ------
    Event
        Those of `segment`, and last `Scored` where there is a truth.
    """
    for event in segment(micrograph, config):
        if isinstance(event, Segmented) and earlier is not None:
            event = replace(event, labels=keep_numbers(event.labels, earlier))
        yield event
        if isinstance(event, Segmented) and truth is not None:
            try:
                yield from score(event.labels, truth)
            except ShapeError as error:
                yield Notice(str(error))


def propose(micrograph: Micrograph) -> Iterator[Event]:
    """Say which channel nuclei would be looked for in, as `ChannelProposed`."""
    if micrograph.is_colour:
        pixels, names = np.moveaxis(micrograph.pixels, -1, 0), ("red", "green", "blue")
        micrograph = replace(micrograph, pixels=pixels, axes="CYX", channel_names=names)
    index, why = propose_channel(micrograph)
    yield ChannelProposed(index + 1, micrograph.channels[index], why)


def open_result(
    path: Path, labels: Path, manifest: Path, series: str | None, colour: Colour
) -> Iterator[Event]:
    """Read a micrograph, its label image and their record; gives `ResultOpened`.

    Raises
    ------
    FileError
        If one of them cannot be read.
    """
    micrograph = read_micrograph(path, colour=colour, series=series)
    try:
        record = json.loads(manifest.read_text("utf-8"))
    except (OSError, ValueError) as error:
        what = "The record of these nuclei cannot be read"
        raise FileError(what, str(manifest), "Segment the file again") from error
    yield ResultOpened(micrograph, read_labels(labels).image, record)


def open_file(path: Path, series: str | None = None) -> Iterator[Event]:
    """Open a picture of a file, by default its first; gives `Opened`."""
    names = series_names(path)
    pictures = names if len(names) > 1 else ()
    if pictures and series is None:
        series = pictures[0]
    micrograph = open_micrograph(path, series=series)
    if not micrograph.is_lazy:
        micrograph = with_colour(micrograph, "auto")
    yield Opened(micrograph, pictures)
