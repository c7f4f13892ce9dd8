"""What is written beside a label image: a picture, a table, files for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .channels import choose_pixels
from .config import SegmentConfig
from .events import Event, NucleiWritten
from .export import ending_of, opened_exports, write_exports
from .measure import PartsMeasured, measure
from .measure_stack import measure_tracks, measure_volumes
from .micrograph import Micrograph
from .overlay import draw_outlines, write_picture
from .parts import Part, Parts
from .result_names import Item
from .tables import write_table
from .thumbnails import draw, level_of

OVERLAY_PX = 4096
"""Longer side of the picture of a slide."""


@dataclass(frozen=True)
class Beside:
    """Which files are written beside the label image of a micrograph.

    Attributes
    ----------
    overlay, table : Path or None
    exports : tuple of Path
    names : tuple of str
        Of the exports, in their order.
    """

    overlay: Path | None = None
    table: Path | None = None
    exports: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        item: Item,
        out: Path,
        *,
        overlay: bool,
        table: bool,
        exports: Sequence[str],
        is_joined: bool = False,
    ) -> Beside:
        """Name the files; where planes were joined, there is a table alone."""
        if is_joined:
            overlay, exports = False, ()
        return cls(
            item.result(out, "_overlay.png") if overlay else None,
            item.result(out, "_nuclei.csv") if table else None,
            tuple(item.result(out, ending_of(name)) for name in exports),
            tuple(exports),
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(p for p in (self.overlay, self.table, *self.exports) if p is not None)


def write_beside(
    beside: Beside,
    item: Item,
    out: Path,
    micrograph: Micrograph,
    labels: Any,
    config: SegmentConfig,
) -> Iterator[Event]:
    """Write the files, each as a whole or not at all.

    Parameters
    ----------
    beside : Beside
    item : Item
    out : Path
    micrograph : Micrograph
        With all its planes and channels.
    labels : Micrograph or (H, W) integer ndarray
        As a micrograph, of one plane or of all that were joined, it is read from its file part by
        part, in bounded memory. Of a plane the picture of outlines is made smaller then, and
        measurements and exports are those of a label image in memory, in another order where
        they are features of a file.
    config : SegmentConfig
        Which plane and channel were looked at.

    Yields
    ------
    NucleiWritten
        After each part of a label image in a file.

    Raises
    ------
    NucleisegError
        If a file cannot be written, or a format cannot hold the nuclei.
    """
    if isinstance(labels, Micrograph) and labels.is_stack:
        if beside.table is not None:
            _write_stack_table(beside.table, item, micrograph, labels, config)
        return
    plane = micrograph.one_plane(config.z, config.t)
    chosen = choose_pixels(plane, config.channel, config.colour, config.merge)[0]
    if isinstance(labels, Micrograph):
        if beside.table is not None or beside.exports:
            yield from _by_parts(beside, item, out, plane, labels)
        if beside.overlay is not None:
            write_picture(beside.overlay, draw_slide(chosen, labels, OVERLAY_PX))
        return
    if beside.overlay is not None:
        write_picture(beside.overlay, draw_outlines(chosen.loaded(), labels))
    if beside.table is not None:
        _write_table(beside.table, item, measure(labels, plane.loaded()))
    yield from write_exports(labels, out, item.name, beside.names, item.path.name)


def _write_stack_table(
    path: Path, item: Item, micrograph: Micrograph, labels: Micrograph, config: SegmentConfig
) -> None:
    """Measure nuclei that were joined through planes, one plane in memory at a time.

    Parameters
    ----------
    path : Path
        The table to be: of focal planes a row for each nucleus, of a time series one for each
        nucleus and time point.
    item : Item
    micrograph, labels : Micrograph
        The stack, and the label image of all its planes.
    config : SegmentConfig
        Chooses from the other axis, where there is one.

    Raises
    ------
    NucleisegError
        If a plane cannot be read, or the file not be written.
    """
    axis = "z" if "Z" in labels.axes else "t"
    count = labels.pixels.shape[labels.axes.index(axis.upper())]

    def planes() -> Iterator[tuple[np.ndarray, Micrograph]]:
        for number in range(1, count + 1):
            plane = micrograph.plane(**{axis: number}).one_plane(config.z, config.t)
            yield np.asarray(labels.plane(**{axis: number}).pixels), plane.loaded()

    if axis == "t":
        table = measure_tracks(planes())
    else:
        table = measure_volumes(planes(), micrograph.pixel_size_um, micrograph.z_step_um)
    _write_table(path, item, table)


def _by_parts(
    beside: Beside, item: Item, out: Path, plane: Micrograph, labels: Micrograph
) -> Iterator[Event]:
    parts = Parts(labels.pixels)
    measured = PartsMeasured(plane) if beside.table is not None else None
    with ExitStack() as opened:
        _, add = opened.enter_context(
            opened_exports(beside.names, out, item.name, parts.shape, item.path.name)
        )
        for done, part in enumerate(parts.go(), 1):
            if isinstance(part, Part):
                add(part)
                if measured is not None:
                    measured.add(part)
            yield NucleiWritten(done, parts.steps)
    if beside.table is not None and measured is not None:
        _write_table(beside.table, item, measured.table())


def _write_table(path: Path, item: Item, table: dict[str, np.ndarray]) -> None:
    names = np.full(len(table["label"]), item.name, object)
    write_table(path, {"image": names, **table})


def draw_slide(chosen: Micrograph, labels: Micrograph, side_px: int) -> np.ndarray:
    """Draw outlines on a slide made small; see `thumbnails.draw`.

    Parameters
    ----------
    chosen, labels : Micrograph
        One channel or colour, and the label image; with levels, if their files have some.
    side_px : int
        The longer side of the picture has at most so many pixels.

    Returns
    -------
    (h, w, 3) uint8 ndarray
    """
    return draw(level_of(chosen, side_px), level_of(labels, side_px).pixels, side_px)
