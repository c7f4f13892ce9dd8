"""Measurements of nuclei: size, shape, intensity, neighbours, as one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from .config import Config
from .errors import ShapeError
from .events import Event
from .metrics._surfaces import Outlines, distances_between
from .micrograph import Micrograph
from .parts import Part
from .tables import stacked

if TYPE_CHECKING:
    from scipy.spatial import KDTree

# diagonal neighbours touch
_TOUCHING_PX = 1.5
_CANDIDATES = 16


class MeasureConfig(Config):
    """What is measured of nuclei."""

    within_px: float = Field(
        20.0, gt=0, description="nuclei nearer than this, edge to edge, are neighbours; in pixels"
    )
    percentiles: tuple[float, ...] = Field(
        (5.0, 25.0, 50.0, 75.0, 95.0), description="percentiles of the intensity in a nucleus"
    )


@dataclass(frozen=True)
class Measuring(Event):
    """What is measured now, and how many of all parts are done."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class TableMade(Event):
    """All nuclei of a label image are measured: the table of `measure`."""

    table: dict[str, np.ndarray] = field(repr=False)


def measure(
    labels: np.ndarray,
    micrograph: Micrograph | None = None,
    *,
    pixel_size_um: tuple[float, float] | None = None,
    config: MeasureConfig | None = None,
) -> dict[str, np.ndarray]:
    """Measure all nuclei of a label image.

    Parameters
    ----------
    labels : (H, W) integer ndarray
        Numbers below 1 are background.
    micrograph : Micrograph, optional
        Its channels' intensities are measured; without, only size, shape and neighbours are.
    pixel_size_um : (float, float), optional
        Height and width of a pixel in µm; by itself that of the micrograph.
    config : MeasureConfig, optional

    Returns
    -------
    dict of (N,) ndarray
        Columns by name, a row for each nucleus in the order of their numbers: ``label``, the
        centre ``y_px`` and ``x_px``, ``area``, ``equivalent_diameter``, ``perimeter`` (in ``_px``
        and ``_um``), ``solidity``, ``eccentricity``, ``orientation_deg`` (of the long axis, from
        the vertical, counterclockwise, -90 to 90), ``touching`` and ``neighbours_within`` (numbers
        of nuclei), ``nearest_edge`` and ``nearest_centre`` (distances to the nearest other
        nucleus), and of each channel the ``intensity_mean``, ``_sd``, ``_integrated`` and
        percentiles ``_p5`` and so on. Columns in µm are there only with a pixel size; what a
        nucleus does not have is not a number.

    Raises
    ------
    ShapeError
        If micrograph and label image differ in size.
    """
    given = () if micrograph is None else (micrograph,)
    table: dict[str, np.ndarray] = {}
    for event in measure_steps(labels, given, pixel_size_um=pixel_size_um, config=config):
        if isinstance(event, TableMade):
            table = event.table
    return table


def measure_steps(
    labels: np.ndarray,
    micrographs: Sequence[Micrograph] = (),
    *,
    pixel_size_um: tuple[float, float] | None = None,
    config: MeasureConfig | None = None,
) -> Iterator[Event]:
    """Measure all nuclei of a label image, in micrographs of the same field of view.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    micrographs : sequence of Micrograph
        Of several, the columns of intensities carry their names.
    pixel_size_um : (float, float), optional
        By itself that of the first micrograph that has one.
    config : MeasureConfig, optional

    Yields
    ------
    Event
        `Measuring` before each part, and last `TableMade`.

    Raises
    ------
    ShapeError
        If a micrograph and the label image differ in size.
    """
    config = config or MeasureConfig()
    for micrograph in micrographs:
        _check_size(labels, micrograph)
        pixel_size_um = pixel_size_um or micrograph.pixel_size_um
    labels = np.maximum(labels, 0)
    channels = [
        (f"_{micrograph.name}{name}" if len(micrographs) > 1 else name, pixels)
        for micrograph in micrographs
        for name, pixels in channels_of(micrograph)
    ]
    total = 2 + len(channels)
    yield Measuring("sizes and shapes", 0, total)
    table = _shapes(labels, pixel_size_um)
    yield Measuring("neighbours", 1, total)
    table |= _neighbourhood(Outlines.of(labels), table, pixel_size_um, config.within_px)
    for done, (name, pixels) in enumerate(channels, 2):
        yield Measuring("intensities" + (f" in {name[1:]}" if name else ""), done, total)
        table |= _intensities(labels, pixels, name, config.percentiles)
    yield TableMade(table)


class PartsMeasured:
    """Measurements of a label image that comes in parts; those of `measure`.

    Of each nucleus outline and numbers are kept, about 2 kB, and no pixels.

    Parameters
    ----------
    micrograph : Micrograph
        One plane; its pixels may be in the file, and are read where the parts are.
    config : MeasureConfig, optional
    """

    def __init__(self, micrograph: Micrograph, config: MeasureConfig | None = None) -> None:
        self._micrograph, self._config = micrograph, config or MeasureConfig()
        self._tables: list[dict[str, np.ndarray]] = []
        self._intensities: list[dict[str, np.ndarray]] = []
        self._pieces: list[np.ndarray] = []

    def add(self, part: Part) -> None:
        """Measure the nuclei of a part."""
        labels, (height, width) = part.labels, part.labels.shape
        table = _shapes(labels, self._micrograph.pixel_size_um)
        table["y_px"] += part.top
        table["x_px"] += part.left
        self._tables.append(table)
        place = (slice(part.top, part.top + height), slice(part.left, part.left + width))
        found: dict[str, np.ndarray] = {}
        for name, pixels in channels_of(self._micrograph):
            own = np.asarray(pixels[place])
            found |= _intensities(labels, own, name, self._config.percentiles)
        self._intensities.append(found)
        outlines = Outlines.of(labels)
        points = (outlines.points + np.array([part.top, part.left])).astype(np.int32)
        self._pieces += np.split(points, outlines.starts[1:-1]) if len(outlines.ids) else []

    def table(self) -> dict[str, np.ndarray]:
        """Find the neighbours and give the table, in the order of the nuclei's numbers."""
        if not self._tables:
            nothing = replace(self._micrograph, pixels=_corner(self._micrograph), levels=())
            return measure(np.zeros(nothing.shape, np.int32), nothing, config=self._config)
        table = stacked(self._tables)
        order = np.argsort(table["label"], kind="stable")
        table = {name: column[order] for name, column in table.items()}
        pieces = [self._pieces[n] for n in order.tolist()]
        starts = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
        outlines = Outlines(table["label"], starts, np.concatenate(pieces).astype(float))
        size = self._micrograph.pixel_size_um
        table |= _neighbourhood(outlines, table, size, self._config.within_px)
        intensities = stacked(self._intensities)
        return table | {name: column[order] for name, column in intensities.items()}


def _corner(micrograph: Micrograph) -> np.ndarray:
    """One pixel of a micrograph, in all channels."""
    y = micrograph.axes.index("Y")
    return np.asarray(micrograph.pixels[(slice(None),) * y + (slice(0, 1), slice(0, 1))])


def _check_size(labels: np.ndarray, micrograph: Micrograph) -> None:
    if micrograph.shape != labels.shape:
        raise ShapeError(
            "Micrograph and label image differ in size",
            "{} is {}×{}, the label image {}×{}".format(
                micrograph.name, *micrograph.shape, *labels.shape
            ),
            "Give the micrograph the nuclei were found in",
        )


def _shapes(labels: np.ndarray, pixel_size_um: tuple[float, float] | None) -> dict[str, np.ndarray]:
    from skimage.measure import regionprops_table

    properties = ("label", "centroid", "area", "equivalent_diameter_area", "perimeter", "solidity")
    found = regionprops_table(labels, properties=(*properties, "eccentricity", "orientation"))
    table = {
        "label": found["label"],
        "y_px": found["centroid-0"],
        "x_px": found["centroid-1"],
        "area_px": found["area"],
        "equivalent_diameter_px": found["equivalent_diameter_area"],
        "perimeter_px": found["perimeter"],
    }
    if pixel_size_um is not None:
        height, width = pixel_size_um
        table["area_um2"] = found["area"] * height * width
        side = np.sqrt(height * width)
        table["equivalent_diameter_um"] = found["equivalent_diameter_area"] * side
        # of pixels that are not square no perimeter is known
        table["perimeter_um"] = found["perimeter"] * (height if height == width else np.nan)
        if height != width:
            found |= regionprops_table(
                labels, properties=("eccentricity", "orientation"), spacing=pixel_size_um
            )
    table["solidity"] = found["solidity"]
    table["eccentricity"] = found["eccentricity"]
    table["orientation_deg"] = np.degrees(found["orientation"])
    return table


def channels_of(micrograph: Micrograph) -> Iterator[tuple[str, np.ndarray]]:
    """Name for the columns, empty where there is one channel only, and pixels of each channel."""
    if micrograph.axes == "YX":
        yield "", micrograph.pixels
    elif micrograph.is_colour:
        for i, name in enumerate(("red", "green", "blue")):
            yield f"_{name}", micrograph.pixels[..., i]
    else:
        names: Sequence[str] = micrograph.channels
        if len(set(names)) < len(names):
            # two channels of one name would share a column
            names = [f"{name}_{i}" for i, name in enumerate(names, 1)]
        for name, pixels in zip(names, micrograph.pixels, strict=True):
            yield f"_{name}", pixels


def _intensities(
    labels: np.ndarray, pixels: np.ndarray, channel: str, percentiles: tuple[float, ...]
) -> dict[str, np.ndarray]:
    at = np.flatnonzero(labels)
    order = np.argsort(labels.ravel()[at], kind="stable")
    values = pixels.ravel()[at[order]].astype(float)
    _, starts = np.unique(labels.ravel()[at[order]], return_index=True)
    names = ("mean", "sd", "integrated", *(f"p{p:g}" for p in percentiles))
    rows = np.empty((len(starts), len(names)))
    stops = np.append(starts, len(values))[1:]
    for row, start, stop in zip(rows, starts, stops, strict=True):
        inside = values[start:stop]
        row[:3] = inside.mean(), inside.std(), inside.sum()
        row[3:] = np.percentile(inside, percentiles)
    return {f"intensity_{name}{channel}": rows[:, i] for i, name in enumerate(names)}


def _neighbourhood(
    outlines: Outlines,
    table: dict[str, np.ndarray],
    pixel_size_um: tuple[float, float] | None,
    within_px: float,
) -> dict[str, np.ndarray]:
    centres = np.stack([table["y_px"], table["x_px"]], axis=1)
    found = _nearest(outlines, centres, (1.0, 1.0), within_px)
    columns = {
        "touching": found.touching,
        "neighbours_within": found.within,
        "nearest_edge_px": found.edge,
        "nearest_centre_px": found.centre,
    }
    if pixel_size_um is not None:
        height, width = pixel_size_um
        if height == width:
            edge, centre = found.edge * height, found.centre * height
        else:
            scaled = _nearest(outlines, centres, pixel_size_um, 0.0)
            edge, centre = scaled.edge, scaled.centre
        columns |= {"nearest_edge_um": edge, "nearest_centre_um": centre}
    return columns


@dataclass(frozen=True)
class _Nearest:
    """Numbers of neighbours of each nucleus, and distances to the nearest other one."""

    touching: np.ndarray
    within: np.ndarray
    edge: np.ndarray
    centre: np.ndarray


def _nearest(
    outlines: Outlines, centres: np.ndarray, pixel: tuple[float, float], within: float
) -> _Nearest:
    """Look at others from the nearest centre on, until none can be nearer than what is known."""
    from scipy.spatial import KDTree

    count = len(centres)
    touching, near = np.zeros(count, int), np.zeros(count, int)
    edge, centre = np.full(count, np.nan), np.full(count, np.nan)
    if count < 2:
        return _Nearest(touching, near, edge, centre)
    centres = centres * pixel
    points = outlines.points * pixel
    owner = np.repeat(np.arange(count), np.diff(outlines.starts))
    radii = np.zeros(count)
    np.maximum.at(radii, owner, np.linalg.norm(points - centres[owner], axis=1))
    pieces = np.split(points, outlines.starts[1:-1])
    tree = KDTree(centres)
    first = tree.query(centres, min(count, _CANDIDATES))
    known: dict[tuple[int, int], float] = {}
    reach = max(within, _TOUCHING_PX * max(pixel))
    for i in range(count):
        best = np.inf
        for apart, j in _others(i, first, tree):
            if np.isnan(centre[i]):
                centre[i] = apart
            if apart - radii[i] - radii.max() > max(best, reach):
                break
            if apart - radii[i] - radii[j] > max(best, reach):
                continue
            pair = (min(i, j), max(i, j))
            if pair not in known:
                known[pair] = float(distances_between(pieces[i], pieces[j])[0].min())
            best = min(best, known[pair])
            touching[i] += known[pair] < _TOUCHING_PX
            near[i] += known[pair] <= within
        edge[i] = best
    return _Nearest(touching, near, edge, centre)


def _others(
    i: int, first: tuple[np.ndarray, np.ndarray], tree: KDTree
) -> Iterator[tuple[float, int]]:
    """Distance of centres and index of all other nuclei, the nearest first."""
    distances, indices = first[0][i], first[1][i]
    seen = {i}
    while True:
        for apart, j in zip(distances.tolist(), indices.tolist(), strict=True):
            if j not in seen:
                seen.add(j)
                yield apart, j
        if len(indices) == tree.n:
            return
        # all of them at once would take long where there are many, and few are ever looked at
        distances, indices = tree.query(tree.data[i], min(tree.n, 4 * len(indices)))
