"""What the columns of a table of measurements are called, in which unit, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_UNITS = {"um2": "µm²", "um": "µm", "px": "px", "deg": "°"}
# name without unit: title, meaning
_NAMES = {
    "label": ("Nucleus", "number in the label image"),
    "y": ("Centre, y", "centre, from the top"),
    "x": ("Centre, x", "centre, from the left"),
    "area": ("Area", "area"),
    "equivalent_diameter": ("Diameter", "diameter of a circle of the same area"),
    "perimeter": ("Perimeter", "length of the outline"),
    "solidity": ("Solidity", "area, as a share of the convex hull's: 1 has no dents"),
    "eccentricity": ("Eccentricity", "0 is a circle, near 1 is long and thin"),
    "orientation": ("Orientation", "of the long axis, from the vertical, counterclockwise"),
    "touching": ("Touching", "number of nuclei that touch it"),
    "neighbours_within": ("Neighbours", "number of nuclei near it, edge to edge"),
    "nearest_edge": ("To nearest, edges", "distance to the nearest nucleus, edge to edge"),
    "nearest_centre": ("To nearest, centres", "distance to the nearest nucleus's centre"),
}
_STATISTICS = {
    "mean": ("Mean intensity", "mean intensity"),
    "sd": ("Intensity, SD", "standard deviation of the intensity"),
    "integrated": ("Total intensity", "sum of the intensity over all pixels"),
}
_INTENSITY = re.compile(r"intensity_(mean|sd|integrated|p[\d.e+-]+)(?:_(.*))?$", re.DOTALL)


@dataclass(frozen=True)
class Quantity:
    """A measurement in words.

    Attributes
    ----------
    title : str
        "Area", "Mean intensity, DAPI".
    unit : str
        "µm²", or empty where it has none.
    meaning : str
        In half a sentence.
    """

    title: str
    unit: str
    meaning: str

    @property
    def text(self) -> str:
        """Title and unit: "Area (µm²)"."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def quantity_of(column: str) -> Quantity:
    """Say what a column of `napari_nucleiseg.measure.measure` holds; others by their own name."""
    intensity = _INTENSITY.match(column)
    if intensity is not None:
        statistic, channel = intensity.groups()
        title, meaning = _STATISTICS.get(
            statistic,
            (f"Intensity, {statistic[1:]} %", f"{statistic[1:]} % of its pixels are darker"),
        )
        return Quantity(f"{title}, {channel}" if channel else title, "", meaning)
    name, _, ending = column.rpartition("_")
    if ending not in _UNITS:
        name, ending = column, ""
    if name not in _NAMES:
        return Quantity(column, "", column)
    title, meaning = _NAMES[name]
    return Quantity(title, _UNITS.get(ending, ""), meaning)


def in_order(table: Mapping[str, np.ndarray]) -> list[str]:
    """Columns as a person reads them: sizes in µm before those in pixels, positions last."""
    last = ("y_px", "x_px")

    def rank(item: tuple[int, str]) -> tuple[bool, int]:
        at, column = item
        twin = next((c for c in (f"{column[:-2]}um2", f"{column[:-2]}um") if c in table), None)
        is_twin = column.endswith("_px") and twin is not None
        return column in last or is_twin, at

    return [column for _, column in sorted(enumerate(table), key=rank)]
