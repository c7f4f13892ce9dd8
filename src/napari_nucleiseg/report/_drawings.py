"""Drawings that lie inside of a page: curves as SVG, panels of micrographs as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape

import numpy as np
from PIL import Image

from ..channels import choose_pixels
from ..comparison import Comparison, Kind, Kinds, classify, compare
from ..evaluation import ImageCompared
from ..io import read_labels, read_micrograph
from ..label_files import read_true
from ..micrograph import Micrograph
from ..overlay import draw_outlines, outlines

PANEL_PX = 480
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("", "6 3", "2 2", "8 3 2 3", "1 3", "10 4")
_GOLDEN = 0.6180339887498949


def ap_curve(lines: Mapping[str, Mapping[str, float]]) -> str:
    """AP over the IoU threshold as SVG, a line for each name."""
    width, height, left, top, right, bottom = 560, 300, 48, 12, 180, 44
    inner_w, inner_h = width - left - right, height - top - bottom

    def place(threshold: float, value: float) -> str:
        x = left + (threshold - 0.5) / 0.45 * inner_w
        return f"{x:.1f},{top + (1 - value) * inner_h:.1f}"

    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="AP over IoU threshold">',
        "<title>AP over IoU threshold</title>",
    ]
    for i in range(6):
        y = top + inner_h * i / 5
        parts.append(
            f'<line class="grid" x1="{left}" x2="{left + inner_w}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{1 - i / 5:.1f}</text>'
        )
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        x = left + (threshold - 0.5) / 0.45 * inner_w
        parts.append(
            f'<text x="{x:.1f}" y="{top + inner_h + 18}" text-anchor="middle">{threshold}</text>'
        )
    parts.append(
        f'<text x="{left + inner_w / 2}" y="{height - 8}" text-anchor="middle">IoU threshold</text>'
        f'<text x="12" y="{top + inner_h / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {top + inner_h / 2})">AP</text>'
    )
    for i, (name, values) in enumerate(lines.items()):
        points = " ".join(place(float(t), v) for t, v in values.items())
        style = f'stroke="{LINES[i % 6]}" stroke-dasharray="{DASHES[i % 6]}"'
        y = top + 12 + 20 * i
        x = left + inner_w + 16
        parts.append(
            f'<polyline class="curve" points="{points}" {style}/>'
            f'<line class="curve" x1="{x}" x2="{x + 26}" y1="{y}" y2="{y}" {style}/>'
            f'<text x="{x + 32}" y="{y + 4}">{escape(name)}</text>'
        )
    return "".join([*parts, "</svg>"])


def panels(image: ImageCompared, threshold: float) -> list[tuple[str, str]]:
    """Micrograph where given, truth, prediction and errors of an image.

    Returns
    -------
    list of (str, str)
        Title and a PNG as ``data:`` address.
    """
    comparison = compare(read_true(image.files.truth)[0], read_labels(image.files.prediction).image)
    kinds = classify(comparison.overlaps, threshold)
    step = max(1, -(-max(comparison.truth.shape) // PANEL_PX))
    found: list[tuple[str, np.ndarray]] = []
    ground = None
    if image.files.micrograph is not None:
        micrograph = choose_pixels(read_micrograph(image.files.micrograph))[0]
        # of another size it is another field, and no ground for these labels
        if micrograph.shape == comparison.truth.shape:
            ground = _picture(micrograph, step)
            found.append(("micrograph", ground))
    found += [
        ("truth", colour_labels(comparison.truth[::step, ::step])),
        ("prediction", colour_labels(comparison.prediction[::step, ::step])),
        ("errors", draw_errors(comparison, kinds, step, ground)),
    ]
    return [(title, as_address(picture)) for title, picture in found]


def _picture(micrograph: Micrograph, step: int) -> np.ndarray:
    """The micrograph in colour with the contrast that networks see, smaller by a factor."""
    nothing = np.zeros(micrograph.shape, np.uint8)
    return draw_outlines(micrograph, nothing)[::step, ::step]


def colour_labels(labels: np.ndarray) -> np.ndarray:
    """Each nucleus in a colour of its own, on black, neighbours in number far apart.

    Parameters
    ----------
    labels : (H, W) integer ndarray

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    hue = (np.maximum(labels, 0) * _GOLDEN) % 1 * 6
    # hue to red, green and blue at two thirds of full saturation
    colours = np.stack([np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)], axis=-1)
    picture = (0.35 + 0.65 * np.clip(colours, 0, 1)) * 255
    picture[(labels <= 0) | outlines(labels)] = 0
    coloured: np.ndarray = picture.astype(np.uint8)
    return coloured


def draw_errors(
    comparison: Comparison, kinds: Kinds, step: int = 1, ground: np.ndarray | None = None
) -> np.ndarray:
    """Each nucleus in the colour of its kind, over the micrograph in grey or on dark grey.

    Parameters
    ----------
    comparison : Comparison
    kinds : Kinds
    step : int
        Only every so many pixels are drawn.
    ground : (H, W, 3) uint8 ndarray, optional
        The micrograph, as small as that.

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    places = comparison.places[::step, ::step]
    of_place = comparison.kinds_of_places(kinds)
    image = of_place[places]
    table = np.zeros((len(Kind) + 1, 3))
    for kind in Kind:
        table[kind] = [int(kind.colour[i : i + 2], 16) for i in (1, 3, 5)]
    picture = np.full((*image.shape, 3), 24.0)
    if ground is not None:
        # in grey: the colours of a stain would mix with those of the kinds
        picture[:] = 0.6 * ground.mean(axis=-1, keepdims=True)
    inside = image > 0
    edge = inside & outlines(places)
    picture[inside] = 0.4 * picture[inside] + 0.6 * table[image[inside]]
    picture[edge] = table[image[edge]]
    return picture.astype(np.uint8)


def as_address(picture: np.ndarray) -> str:
    """A picture as an address that holds all of it."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
