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
# so many rows are read at a time
_BAND_PX = 512
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
    """Draw the picture of a file and keep it in the place of an earlier one.

    Parameters
    ----------
    item : Item
    out : Path
    micrograph : Micrograph
    config : SegmentConfig
        Which plane and channel were looked at.
    result : Segmented or Streamed
        Of joined planes, the middle one is drawn.
    """
    labels: Any
    if isinstance(result, Segmented):
        labels = result.labels
    else:
        made = open_micrograph(result.path)
        joined = {axis: "middle" for axis in "ZT" if axis in made.axes}
        micrograph = micrograph.plane(z=joined.get("Z"), t=joined.get("T"))
        made = made.plane(z=joined.get("Z"), t=joined.get("T"))
        labels = level_of(made, SIDE_PX).pixels
    plane = micrograph.one_plane(config.z, config.t)
    chosen = choose_pixels(plane, config.channel, config.colour, config.merge)[0]
    picture = Image.fromarray(draw(level_of(chosen, SIDE_PX), labels, SIDE_PX))
    # colours in full resolution: outlines are thin
    write_whole(
        path_of(item, out), lambda file: picture.save(file, "JPEG", quality=80, subsampling=0)
    )


def draw(micrograph: Micrograph, labels: Any, side_px: int) -> np.ndarray:
    """Draw outlines on a micrograph made small, reading some rows at a time.

    Parameters
    ----------
    micrograph : Micrograph
        Grey or colour; its pixels may be in the file.
    labels : (H, W) integer array
        Of the same field, in any resolution; may be in a file, too.
    side_px : int
        The longer side of the picture has at most so many pixels.

    Returns
    -------
    (h, w, 3) uint8 ndarray
    """
    step = min(max(1, -(-max(micrograph.shape) // side_px)), *micrograph.shape)
    height, width = (length // step for length in micrograph.shape)
    rows, columns = (
        ((np.arange(n) + 0.5) * length / n).astype(int)
        for n, length in zip((height, width), labels.shape, strict=True)
    )
    pixels, seen = [], []
    together = max(1, _BAND_PX // step)
    for top in range(0, height, together):
        bottom = min(top + together, height)
        part = np.asarray(micrograph.pixels[top * step : bottom * step, : width * step])
        if step > 1:
            parts = part.reshape(bottom - top, step, width, step, *part.shape[2:])
            part = parts.mean(axis=(1, 3), dtype=np.float32)
        pixels.append(part)
        own = rows[top:bottom]
        band = np.asarray(labels[own[0] : own[-1] + 1])
        seen.append(band[(own - own[0])[:, None], columns])
    small = replace(micrograph, pixels=np.concatenate(pixels), levels=())
    return draw_outlines(small, np.concatenate(seen))


def level_of(micrograph: Micrograph, side_px: int) -> Micrograph:
    """The coarsest level of a pyramid whose longer side has so many pixels, as a micrograph."""
    y = micrograph.axes.index("Y")
    levels = (micrograph.pixels, *micrograph.levels)
    enough = [level for level in levels if max(level.shape[y : y + 2]) >= side_px] or levels[:1]
    return replace(micrograph, pixels=enough[-1], levels=())
