"""A whole stack or time series: plane after plane, nuclei joined through all of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .channels import propose_channel
from .config import JoinConfig, SegmentConfig
from .engine import build_engine
from .errors import SettingError, ShapeError
from .events import Event, Joined, Notice, PlaneDone, Segmented, Streamed, TileDone
from .files import write_bytes
from .io import write_label_stack
from .joining import Joiner, Seen, fill_gaps, numbers_by_plane, tracks_table
from .micrograph import Micrograph
from .segmentation import segment
from .store import find_model
from .tables import as_csv


def segment_stack(
    micrograph: Micrograph, config: SegmentConfig, joining: JoinConfig, out: Path
) -> Iterator[Event]:
    """Find the nuclei of every plane, join them, and write one label image of all planes.

    Parameters
    ----------
    micrograph : Micrograph
        With this axis; another one is chosen from by ``config``.
    config : SegmentConfig
    joining : JoinConfig
        ``join`` is the axis: focal planes become 3-D labels, time points tracks.
    out : Path
        The OME-TIFF to be. Of a time series, ``NAME_tracks.csv`` is written beside
        ``NAME_labels.ome.tif``, too.

    Yields
    ------
    Event
        Those of `find_in_planes`, and last `Streamed` in the place of `Joined`.

    Raises
    ------
    NucleisegError
        If there are no such planes, or a plane cannot be segmented.
    """
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".planes") as folder:
        for event in find_in_planes(micrograph, config, joining, Path(folder)):
            if not isinstance(event, Joined):
                yield event
                continue
            joined = np.load(event.labels, mmap_mode="r")
            size, step = micrograph.pixel_size_um, micrograph.z_step_um
            write_label_stack(out, joined, joining.join.upper(), size, step)
            # Windows does not remove a file that is mapped
            del joined
            if event.tracks:
                stem = out.name.removesuffix("_labels.ome.tif")
                write_bytes(out.with_name(f"{stem}_tracks.csv"), as_csv(event.tracks))
            yield Streamed(
                out, event.count, event.median_diameter_px, event.seconds, event.manifest
            )


def find_in_planes(
    micrograph: Micrograph,
    config: SegmentConfig,
    joining: JoinConfig,
    folder: Path,
    first: int = 0,
) -> Iterator[Event]:
    """Find the nuclei of every plane and join them, in a file that holds all planes.

    Parameters
    ----------
    micrograph : Micrograph
    config : SegmentConfig
    joining : JoinConfig
        See `segment_stack`.
    folder : Path
        Where to lay ``planes.npy``: the memory holds a few planes, whatever their number.
    first : int
        Which plane is segmented first, from 0: the one somebody looks at. The result is the same.

    Yields
    ------
    Event
        Those of `napari_nucleiseg.segmentation.segment` for each plane, but `TileDone` counts the
        tiles of all; `PlaneDone` after each, and last `Joined`.

    Raises
    ------
    NucleisegError
        If there are no such planes, or a plane cannot be segmented.
    """
    started = time.monotonic()
    axis = joining.join
    letter = axis.upper()
    what = {"z": "focal planes", "t": "time points"}[axis]
    if letter not in micrograph.axes:
        raise ShapeError(
            f"There are no {what} to join",
            f"{micrograph.name} has the axes {micrograph.axes}",
            "Leave out --join",
        )
    if getattr(config, axis) is not None:
        raise SettingError(
            f"Either {what} are joined or one is chosen",
            f"--join {axis} and --{axis} {getattr(config, axis)}",
            "Leave out one of them",
        )
    count = micrograph.pixels.shape[micrograph.axes.index(letter)]
    if config.channel is None and config.merge == "none" and "C" in micrograph.axes:
        # once for all planes: of each by itself it could be another one
        middle = micrograph.plane(**{axis: "middle"}).one_plane(config.z, config.t)
        index, why = propose_channel(middle)
        yield Notice(f"Nuclei are looked for in channel {index + 1} of all planes: {why}")
        config = config.model_copy(update={"channel": str(index + 1)})
    engine = build_engine(find_model(config.model), config)
    manifests: dict[int, dict[str, Any]] = {}
    file = folder / "planes.npy"
    shape = (count, *micrograph.shape)
    joined = np.lib.format.open_memmap(file, "w+", np.int32, shape)
    order = [first, *(n for n in range(count) if n != first)]
    for done, number in enumerate(order):
        plane = micrograph.plane(**{axis: number + 1})
        for event in segment(plane, config, engine):
            if isinstance(event, TileDone):
                yield TileDone(done * event.total + event.done, count * event.total)
            elif isinstance(event, Segmented):
                joined[number] = event.labels
                manifests[number] = event.manifest
            else:
                yield event
        # also of planes that have no tiles, since nothing is in them
        yield TileDone(done + 1, count)
        yield PlaneDone(file, number, done + 1, count)
    joiner = Joiner(joining)
    for plane_labels in joined:
        joiner.add(plane_labels)
    paths = joiner.lasting()
    largest = [int(labels.max(initial=0)) for labels in joined]
    for labels, table in zip(joined, numbers_by_plane(paths, largest), strict=True):
        labels[:] = table[labels]
    if axis == "z":
        fill_gaps(joined, paths)
    joined.flush()
    # Windows does not remove a file that is mapped
    del joined, labels, plane_labels
    manifest = {
        **manifests[0],
        "join": joining.model_dump(mode="json"),
        "intensity_range": [manifests[n]["intensity_range"] for n in range(count)],
        "nuclei": len(paths),
    }
    tracks = tracks_table(paths) if axis == "t" else {}
    seconds = time.monotonic() - started
    yield Joined(file, len(paths), _diameter(paths), seconds, tracks, manifest)


def _diameter(paths: list[list[Seen]]) -> float:
    """Median equivalent-circle diameter of the largest section of each nucleus, in pixels."""
    areas = [max(seen.area for seen in path) for path in paths]
    return float(np.median(np.sqrt(4 * np.array(areas) / np.pi))) if areas else 0.0
