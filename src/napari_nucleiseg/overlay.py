"""Outlines of nuclei drawn on their micrograph: a picture to look at, not data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .errors import ShapeError
from .files import write_whole
from .intensity import NormaliseConfig, intensity_range, rescale
from .micrograph import Micrograph

# stands out from grey, from haematoxylin and eosin, and to colour-blind eyes
OUTLINE_RGB = (255, 214, 0)
_BAND_ROWS = 512


def outlines(labels: np.ndarray) -> np.ndarray:
    """Find the outermost pixels of each nucleus.

    Parameters
    ----------
    labels : (H, W) integer ndarray

    Returns
    -------
    (H, W) bool ndarray
        Pixels of nuclei with a neighbour (of four) that is not of the same nucleus. The image's
        border is no outline.
    """
    edge = np.zeros(labels.shape, bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    edge &= labels > 0
    return edge


def draw_outlines(micrograph: Micrograph, labels: np.ndarray) -> np.ndarray:
    """Draw the outlines of all nuclei on the micrograph, its contrast as the networks see it.

    Parameters
    ----------
    micrograph : Micrograph
        Grey or colour; of many channels take one first.
    labels : (H, W) integer ndarray

    Returns
    -------
    (H, W, 3) uint8 ndarray

    Raises
    ------
    ShapeError
        If the sizes differ or the micrograph has channels.
    """
    if micrograph.axes == "CYX":
        raise ShapeError("Outlines are drawn on one channel or a colour picture", micrograph.name)
    if micrograph.shape != labels.shape:
        raise ShapeError(
            "Micrograph and label image differ in size",
            "{} is {}×{}, the label image {}×{}".format(
                micrograph.name, *micrograph.shape, *labels.shape
            ),
        )
    low, high = intensity_range(micrograph.pixels, NormaliseConfig())
    picture = np.empty((*labels.shape, 3), np.uint8)
    # band by band: the intermediate floats take twelve times the picture's memory
    for top in range(0, len(labels), _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        band = rescale(micrograph.pixels[rows], low, high, 1.0)
        picture[rows] = np.moveaxis(band * 255 + 0.5, 0, -1).astype(np.uint8)
    picture[outlines(labels)] = OUTLINE_RGB
    return picture


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a colour picture as PNG, as a whole or not at all.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    write_whole(path, lambda file: Image.fromarray(picture).save(file, "PNG"))
