"""Small pictures of segmented micrographs, kept beside the results for the gallery.

They lie in a hidden folder, so that nobody takes them for micrographs, and outlast the run: a
gallery shows files that an earlier run has segmented, too, without reading them again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .channels import choose_pixels
from .config import SegmentConfig
from .events import Segmented, Streamed
from .files import write_whole
from .io import open_micrograph
from .micrograph import Micrograph
from .overlay import draw_outlines
from .result_names import Item

SIDE_PX = 400
# of a pyramid without a level of at most this side no picture is made: reading it would take long
_LARGEST_LEVEL = 4096
_FOLDER = ".thumbnails"


def path_of(item: Item, out: Path) -> Path:
    """Where the picture of a file lies, if there is one."""
    return out / _FOLDER / f"{item.name}.jpg"


def keep_thumbnail(
    item: Item,
    out: Path,
    micrograph: Micrograph,
    config: SegmentConfig,
    result: Segmented | Streamed,
) -> None:
    """Draw the picture of a file and keep it; an earlier one goes in any case.

    Parameters
    ----------
    item : Item
    out : Path
    micrograph : Micrograph
    config : SegmentConfig
        Which plane and channel were looked at.
    result : Segmented or Streamed
        Of joined planes, and of a slide without small levels, no picture is made.
    """
    path = path_of(item, out)
    path.unlink(missing_ok=True)
    if isinstance(result, Streamed) and result.path.suffix != ".zarr":
        return
    plane = micrograph.one_plane(config.z, config.t)
    labels: Any = result.labels if isinstance(result, Segmented) else None
    if labels is None:
        made = open_micrograph(result.path)  # type: ignore[union-attr]
        small, labels = _level(plane), _level(made)
        if small is None or labels is None:
            return
        plane, labels = replace(plane, pixels=small, levels=()), np.asarray(labels)
    chosen = choose_pixels(plane, config.channel, config.colour, config.merge)[0].loaded()
    picture = Image.fromarray(draw(chosen, labels))
    # colours in full resolution: outlines are thin
    write_whole(path, lambda file: picture.save(file, "JPEG", quality=80, subsampling=0))


def draw(micrograph: Micrograph, labels: np.ndarray) -> np.ndarray:
    """Draw outlines on a micrograph made small.

    Parameters
    ----------
    micrograph : Micrograph
        Grey or colour.
    labels : (H, W) integer ndarray
        Of the same field, in any resolution.

    Returns
    -------
    (h, w, 3) uint8 ndarray
        The longer side has at most `SIDE_PX` pixels.
    """
    pixels = micrograph.pixels
    step = min(max(1, -(-max(micrograph.shape) // SIDE_PX)), *micrograph.shape)
    height, width = (length // step for length in micrograph.shape)
    if step > 1:
        pixels = pixels[: height * step, : width * step]
        parts = pixels.reshape(height, step, width, step, *pixels.shape[2:])
        pixels = parts.mean(axis=(1, 3), dtype=np.float32)
    rows, columns = (
        ((np.arange(n) + 0.5) * length / n).astype(int)
        for n, length in zip((height, width), labels.shape, strict=True)
    )
    return draw_outlines(replace(micrograph, pixels=pixels), labels[rows[:, None], columns])


def _level(micrograph: Micrograph) -> Any:
    """The coarsest level that is large enough; None if that is too large still."""
    y = micrograph.axes.index("Y")
    sides = [
        (max(level.shape[y : y + 2]), level) for level in (micrograph.pixels, *micrograph.levels)
    ]
    enough = [(side, level) for side, level in sides if side >= SIDE_PX] or sides[:1]
    side, level = min(enough, key=lambda pair: pair[0])
    return level if side <= _LARGEST_LEVEL else None
