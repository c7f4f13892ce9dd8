"""What the layers have learned: rank, condition, quality and learning rate, epoch by epoch.

A trained layer is structure (a matrix of low rank) and noise. The more directions the structure
uses, and the more evenly, the more the layer has learned: stable rank s, condition number kappa
and quality q = arctan(s / kappa) say so for each layer, Q for the network.

References
----------
Hosseini, Tuli, Plataniotis 2022, "Exploiting Explainable Metrics for Augmented SGD", CVPR,
doi:10.1109/CVPR52688.2022.01005, arXiv 2203.16723, equations 2 to 5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import low_rank
from .errors import SettingError
from .files import write_whole

MEASURES = {
    "quality": "quality q = arctan(s / kappa)",
    "stable_rank": "stable rank s",
    "condition": "condition number kappa",
    "rank": "rank above the noise",
    "learning_rate": "learning rate",
}


@dataclass(frozen=True)
class Layer:
    """What one layer has learned.

    Attributes
    ----------
    name : str
        Name of its weights.
    shape : tuple of int
    rank : float
        Singular values above the noise; of a convolution, the mean of its two unfoldings.
    stable_rank, condition, quality : float
        s, kappa and q; all 0 where all is noise.
    learning_rate : float or None
        At that time, where it is known.
    """

    name: str
    shape: tuple[int, ...]
    rank: float
    stable_rank: float
    condition: float
    quality: float
    learning_rate: float | None = None


def probe(
    weights: Mapping[str, np.ndarray],
    rates: Mapping[str, float] | None = None,
    *,
    squared: bool = False,
) -> list[Layer]:
    """Measure what each layer has learned.

    Parameters
    ----------
    weights : mapping of str to float ndarray
        Parameters of a network by their names; those of fewer than two axes are left out.
    rates : mapping of str to float, optional
        Learning rate of the layers by the same names.
    squared : bool
        See `napari_nucleiseg.low_rank.stable_rank`.

    Returns
    -------
    list of Layer
        In the order of the network.
    """
    found = []
    for name, values in weights.items():
        if values.ndim < 2:
            continue
        measured = low_rank.measure(values, squared=squared)
        found.append(
            Layer(
                name,
                tuple(values.shape),
                measured.rank,
                measured.stable_rank,
                measured.condition,
                low_rank.quality(measured),
                (rates or {}).get(name),
            )
        )
    return found


def network_quality(layers: Iterable[Layer]) -> float:
    """Quality Q of a network: root of the mean of the layers' squared qualities; 0 without any."""
    values = [layer.quality for layer in layers]
    return math.sqrt(sum(q * q for q in values) / len(values)) if values else 0.0  # equation 5


def from_history(history: Sequence[Mapping[str, Any]]) -> dict[int, list[Layer]]:
    """Layers by epoch, of those epochs of a run that recorded them."""
    return {
        int(record["epoch"]): [
            Layer(**{**entry, "shape": tuple(entry["shape"])}) for entry in record["layers"]
        ]
        for record in history
        if "layers" in record
    }


def table(layers: Mapping[int, Sequence[Layer]], measure: str) -> tuple[list[str], np.ndarray]:
    """Arrange one measure as layers by epochs.

    Parameters
    ----------
    layers : mapping of int to sequence of Layer
        By epoch.
    measure : str
        One of `MEASURES`.

    Returns
    -------
    list of str, (layers, epochs) float64 ndarray
        Names, and values; NaN where one is not known.
    """
    if measure not in MEASURES:
        raise SettingError("Unknown measure", repr(measure), f"Known: {', '.join(MEASURES)}")
    names = list(dict.fromkeys(layer.name for found in layers.values() for layer in found))
    values = np.full((len(names), len(layers)), np.nan)
    for column, found in enumerate(layers.values()):
        for layer in found:
            value = getattr(layer, measure)
            if value is not None:
                values[names.index(layer.name), column] = value
    return names, values


# five points of viridis (van der Walt & Smith 2015, CC0), between which colours are blended
_COLOURS = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], float
)
_INK, _GROUND, _UNKNOWN = (30, 30, 30), (255, 255, 255), (225, 225, 225)


def _colour(shares: np.ndarray) -> np.ndarray:
    """Shares 0..1 of any shape to uint8 colours."""
    points = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(shares, points, channel) for channel in _COLOURS.T]
    return np.stack(channels, -1).round().astype(np.uint8)


def heat_map(layers: Mapping[int, Sequence[Layer]], measure: str = "quality") -> Image.Image:
    """Draw one measure: a row for each layer, a column for each epoch.

    Parameters
    ----------
    layers : mapping of int to sequence of Layer
        By epoch.
    measure : str
        One of `MEASURES`. Colours go from the smallest value to the largest one; grey is not known.

    Raises
    ------
    SettingError
        If the measure is unknown, or if there is nothing to draw.
    """
    names, values = table(layers, measure)
    known = values[np.isfinite(values)]
    if not known.size:
        raise SettingError(f"There is no {measure} to draw", remedy="Choose another measure")
    low, high = float(known.min()), float(known.max())
    shares = (values - low) / (high - low) if high > low else np.zeros_like(values)
    colours = _colour(np.nan_to_num(shares))
    colours[~np.isfinite(values)] = _UNKNOWN

    font = ImageFont.load_default(13)
    row, epochs = 18, list(layers)
    column = int(np.clip(640 // len(epochs), 4, 48))
    left = 16 + max(int(font.getlength(name)) for name in names)
    top, width, height = 40, column * len(epochs), row * len(names)
    picture = Image.new("RGB", (left + width + 130, top + height + 44), _GROUND)
    cells = Image.fromarray(colours).resize((width, height), Image.Resampling.NEAREST)
    picture.paste(cells, (left, top))
    draw = ImageDraw.Draw(picture)
    draw.text((8, 10), MEASURES[measure], _INK, font)
    for n, name in enumerate(names):
        draw.text((left - 8, top + row * n + row // 2), name, _INK, font, anchor="rm")
    every = math.ceil(40 / column)
    for n in range(0, len(epochs), every):
        middle = left + column * n + column // 2
        draw.text((middle, top + height + 6), str(epochs[n]), _INK, font, anchor="ma")
    draw.text((left, top + height + 22), "epoch", _INK, font)
    bar = _colour(np.linspace(1, 0, height)[:, None].repeat(14, 1))
    picture.paste(Image.fromarray(bar), (left + width + 20, top))
    for value, y, anchor in ((high, top, "lt"), (low, top + height, "lb")):
        draw.text((left + width + 40, y), f"{value:.3g}", _INK, font, anchor=anchor)
    return picture


def save_heat_map(picture: Image.Image, path: Path) -> None:
    """Write a heat map as PNG, as a whole."""
    data = BytesIO()
    picture.save(data, "PNG")
    content = data.getvalue()

    def write(file: Any) -> None:
        file.write(content)

    write_whole(path, write)
