"""How large nuclei are, and how much to enlarge or shrink an image so that a model knows them.

A network finds nuclei in a range of sizes about the one it has learned from. Inside that range an
image is left alone, for resampling costs detail. Outside of it the image is resampled for the
network, and the label image is brought back to the pixels of the micrograph.
"""

from __future__ import annotations

import re

import numpy as np
from PIL import Image
from scipy import ndimage

from .config import DIAMETER
from .errors import SettingError
from .instances import diameters

LEAST, MOST = 0.5, 3.5
"""Sizes that a model finds without help, as multiples of the median it has learned from."""

TARGET = 1.3
"""Size that others are brought to; measured by ``benchmarks/nucleus_size.py``, as are the ends."""

SURENESS = 0.02
"""How much less probable nuclei may be in the enlarged image before the first answer is kept."""

_LARGEST, _SMALLEST = 4.0, 1 / 16
_MOST_PIXELS = 1 << 26


def diameter_px(text: str, pixel_size_um: tuple[float, float] | None) -> float | None:
    """Diameter that a setting gives, in pixels; None where it is ``auto`` or ``none``.

    Parameters
    ----------
    text : str
        See `config.DIAMETER`: "auto", "21", "21 px", "6.8 µm".
    pixel_size_um : (float, float) or None
        Height and width of a pixel in µm, where known.

    Raises
    ------
    SettingError
        If it is in µm and the size of a pixel is not known.
    """
    given = re.match(DIAMETER, text)
    if given is None or given["number"] is None:
        return None
    number = float(given["number"])
    if given["unit"] in (None, "px"):
        return number
    if pixel_size_um is None:
        raise SettingError(
            "The diameter of nuclei is in µm, and the image does not say how large a pixel is",
            text,
            "Give the diameter in px",
        )
    return number / float(np.sqrt(pixel_size_um[0] * pixel_size_um[1]))


def magnification(diameter: float, known: float) -> float:
    """How much to enlarge an image whose nuclei have this diameter; below 1: shrink.

    Parameters
    ----------
    diameter, known : float
        Of the image's nuclei, and of those the model has learned from (median, px).
    """
    if LEAST * known <= diameter <= MOST * known:
        return 1.0
    return float(np.clip(TARGET * known / diameter, _SMALLEST, _LARGEST))


def proposed_magnification(labels: np.ndarray, known: float) -> tuple[float, float]:
    """How much to enlarge an image to look again, judged by what was found at first.

    Parameters
    ----------
    labels : (H, W) integer ndarray
        The nuclei found.
    known : float
        Median diameter of those the model has learned from (px).

    Returns
    -------
    magnification : float
        1 where there is no reason to look again.
    diameter : float
        Of the nuclei found (px), 0 without any.
    """
    found = diameters(labels)
    if not len(found):
        return 1.0, 0.0
    # large nuclei come in pieces: weighed by area, these count little
    weighed = float(np.sqrt((found**4).sum() / (found**2).sum()))
    if weighed > MOST * known:
        return magnification(weighed, known), weighed
    median = float(np.median(found))
    return max(magnification(median, known), 1.0), median


def fits_memory(shape: tuple[int, int], factor: float) -> bool:
    """Whether an image enlarged like this stays in bounds (64 MPix)."""
    return factor <= 1 or shape[0] * shape[1] * factor**2 <= _MOST_PIXELS


def resample(pixels: np.ndarray, low: float, high: float, factor: float) -> np.ndarray:
    """Enlarge or shrink an image whose range is known.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) ndarray
    low, high : float
        Ends of its range; they become 0 and 1.
    factor : float

    Returns
    -------
    (h, w) or (h, w, 3) float32 ndarray
        Linear between pixels; means over the pixels that fall together where it shrinks.
    """
    height, width = pixels.shape[:2]
    shape = (max(1, round(height * factor)), max(1, round(width * factor)))
    return resample_part(pixels, low, high, ((0.0, height), (0.0, width)), shape)


def resample_part(
    pixels: np.ndarray,
    low: float,
    high: float,
    box: tuple[tuple[float, float], tuple[float, float]],
    shape: tuple[int, int],
) -> np.ndarray:
    """Enlarge or shrink a part of an image; see `resample`.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) ndarray
    low, high : float
        Ends of its range; they become 0 and 1.
    box : ((float, float), (float, float))
        First and last edge of the part in rows and in columns; the first pixel lies between 0 and
        1.
    shape : (int, int)
        Height and width to bring it to (px).

    Returns
    -------
    (h, w) or (h, w, 3) float32 ndarray
    """
    (top, bottom), (left, right) = box
    is_small = pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2
    layers = pixels[..., None] if pixels.ndim == 2 else pixels
    result = np.empty((*shape, layers.shape[2]), np.float32)
    for n in range(layers.shape[2]):
        if is_small:
            # exact as they are, so that only what is left has to be scaled
            plain = layers[..., n].astype(np.float32)
        else:
            # the offset goes before the digits do
            plain = ((layers[..., n].astype(np.float64) - low) / (high - low)).astype(np.float32)
            np.nan_to_num(plain, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        picture = Image.fromarray(plain)
        edges = (left, top, right, bottom)
        size = (shape[1], shape[0])
        result[..., n] = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=edges))
    if is_small:
        result -= np.float32(low)
        result *= np.float32(1 / (high - low))
    return result[..., 0] if pixels.ndim == 2 else result


def labels_at(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring a label image to another size, with smooth outlines.

    Parameters
    ----------
    labels : (h, w) integer ndarray
        Labels 1..N.
    shape : (int, int)
        Height and width to bring it to (px).

    Returns
    -------
    (H, W) int32 ndarray
        The same numbers; a nucleus smaller than a pixel can be lost.
    """
    steps = [a / b for a, b in zip(labels.shape, shape, strict=True)]
    if max(steps) >= 1:
        rows, columns = (
            np.minimum(((np.arange(n) + 0.5) * step).astype(np.int64), old - 1)
            for n, step, old in zip(shape, steps, labels.shape, strict=True)
        )
        return np.asarray(labels[np.ix_(rows, columns)], np.int32)
    result = np.zeros(shape, np.int32)
    surest = np.zeros(shape, np.float32)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        # one pixel more on each side, where the outline runs out; the image's edge goes on outside
        near = [
            slice(max(b.start - 1, 0), min(b.stop + 1, n))
            for b, n in zip(box, labels.shape, strict=True)
        ]
        mask = (labels[near[0], near[1]] == number).astype(np.float32)
        place = [
            slice(int(np.floor(b.start / step)), min(int(np.ceil(b.stop / step)), n))
            for b, step, n in zip(near, steps, shape, strict=True)
        ]
        share = ndimage.affine_transform(
            mask,
            steps,
            [
                (p.start + 0.5) * step - 0.5 - b.start
                for p, step, b in zip(place, steps, near, strict=True)
            ],
            tuple(p.stop - p.start for p in place),
            order=1,
            mode="nearest",
        )
        there = (slice(place[0].start, place[0].stop), slice(place[1].start, place[1].stop))
        mine = (share >= 0.5) & (share > surest[there])
        result[there][mine] = number
        surest[there][mine] = share[mine]
    return result
