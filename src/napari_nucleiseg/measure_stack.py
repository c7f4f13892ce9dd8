"""Measurements of nuclei that were joined through depth or time, plane by plane."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .measure import channels_of, measure
from .micrograph import Micrograph
from .tables import stacked


def measure_tracks(planes: Iterator[tuple[np.ndarray, Micrograph]]) -> dict[str, np.ndarray]:
    """Measure each nucleus at each time.

    Parameters
    ----------
    planes : iterator of ((H, W) integer ndarray, Micrograph)
        Labels and picture of each time point.

    Returns
    -------
    dict of (N,) ndarray
        ``t``, the time point from 1, and the columns of `measure`; ``label`` is the track.
    """
    tables = []
    for number, (labels, micrograph) in enumerate(planes, 1):
        table = measure(labels, micrograph)
        tables.append({"t": np.full(len(table["label"]), number), **table})
    return stacked(tables)


def measure_volumes(
    planes: Iterator[tuple[np.ndarray, Micrograph]],
    pixel_size_um: tuple[float, float] | None = None,
    z_step_um: float | None = None,
) -> dict[str, np.ndarray]:
    """Measure each nucleus of a stack of focal planes.

    Parameters
    ----------
    planes : iterator of ((H, W) integer ndarray, Micrograph)
        Labels and picture of each plane; one is in memory at a time.
    pixel_size_um : (float, float), optional
        Height and width of a pixel in µm.
    z_step_um : float, optional
        Distance of planes in µm.

    Returns
    -------
    dict of (N,) ndarray
        A row for each nucleus in the order of their numbers: ``label``, the centre ``z`` (plane,
        from 1), ``y_px`` and ``x_px``, ``first_plane``, ``last_plane``, ``planes`` (in how many it
        is), ``volume_voxels``, ``volume_um3`` where sizes are known, ``largest_section_px`` (area
        in the plane where it is widest), and of each channel ``intensity_mean`` and
        ``intensity_integrated``.
    """
    names: list[str] = []
    rows = []
    for number, (labels, micrograph) in enumerate(planes, 1):
        channels = list(channels_of(micrograph))
        names = [name for name, _ in channels]
        place = np.flatnonzero(labels > 0)
        label, at, area = np.unique(labels.ravel()[place], return_inverse=True, return_counts=True)
        y, x = np.divmod(place, max(1, labels.shape[1]))
        sums = [np.bincount(at, weights, len(label)) for weights in (y, x)]
        sums += [
            np.bincount(at, np.asarray(pixels).ravel()[place].astype(float), len(label))
            for _, pixels in channels
        ]
        rows.append(np.column_stack([label, np.full(len(label), number), area, *sums]))
    found = np.concatenate(rows) if rows else np.zeros((0, 5))
    found = found[np.lexsort((found[:, 1], found[:, 0]))]
    label, starts = np.unique(found[:, 0], return_index=True)
    if not len(label):
        found = np.zeros((0, found.shape[1]))

    def total(column: np.ndarray) -> np.ndarray:
        return np.add.reduceat(column, starts) if len(starts) else np.zeros(0)

    section = found[:, 2]
    volume = total(section)
    ends = np.append(starts, len(found))[1:] - 1
    table = {
        "label": label.astype(np.int64),
        "z": total(found[:, 1] * section) / volume,
        "y_px": total(found[:, 3]) / volume,
        "x_px": total(found[:, 4]) / volume,
        "first_plane": found[starts, 1].astype(np.int64),
        "last_plane": found[ends, 1].astype(np.int64),
        "planes": np.diff(np.append(starts, len(found))),
        "volume_voxels": volume.astype(np.int64),
        "largest_section_px": (
            np.maximum.reduceat(section, starts) if len(starts) else np.zeros(0)
        ).astype(np.int64),
    }
    if pixel_size_um is not None and z_step_um is not None:
        table["volume_um3"] = volume * pixel_size_um[0] * pixel_size_um[1] * z_step_um
    for column, name in enumerate(names, 5):
        table[f"intensity_mean{name}"] = total(found[:, column]) / volume
        table[f"intensity_integrated{name}"] = total(found[:, column])
    return table
