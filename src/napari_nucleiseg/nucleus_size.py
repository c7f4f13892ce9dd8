"""How large nuclei are, and how much to enlarge or shrink an image so that a model knows them.

A network finds nuclei in a range of sizes about the one it has learned from. Inside that range an
image is left alone, for resampling costs detail. Outside of it the image is resampled for the
network, and the label image is brought back to the pixels of the micrograph.
"""

from __future__ import annotations

import re

import numpy as np

from .config import DIAMETER
from .errors import SettingError
from .wording import number

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


def proposed_magnification(found: np.ndarray, known: float) -> tuple[float, float]:
    """How much to enlarge an image to look again, judged by what was found at first.

    Parameters
    ----------
    found : (N,) float ndarray
        Diameters of the nuclei found (px).
    known : float
        Median diameter of those the model has learned from (px).

    Returns
    -------
    magnification : float
        1 where there is no reason to look again.
    diameter : float
        Of the nuclei found (px), 0 without any.
    """
    if not len(found):
        return 1.0, 0.0
    # large nuclei come in pieces: weighed by area, these count little
    weighed = float(np.sqrt((found**4).sum() / (found**2).sum()))
    if weighed > MOST * known:
        return magnification(weighed, known), weighed
    median = float(np.median(found))
    return max(magnification(median, known), 1.0), median


def is_surer(again: float, before: float, factor: float) -> bool:
    """Whether the answer of a resampled image is to be taken instead of the first one.

    Parameters
    ----------
    again, before : float
        Mean probability of its nuclei, and of those in the image as it is.
    factor : float
        How much it was enlarged.
    """
    # small nuclei are blurred, shrinking loses them: that must make the model surer
    return again >= before - (SURENESS if factor > 1 else 0)


def words_of(diameter: float, known: float, name: str, factor: float) -> tuple[str, str]:
    """Say what was seen, and what resampling does ("enlarged 2.1 times")."""
    verb, times = ("enlarged", factor) if factor > 1 else ("shrunk", 1 / factor)
    wide = f"{number(diameter)} px wide"
    seen = f"Nuclei seem to be about {wide}, and {name} knows {number(known)} px"
    return seen, f"{verb} {number(times)} times"


def fits_memory(shape: tuple[int, int], factor: float) -> bool:
    """Whether an image enlarged like this stays in bounds (64 MPix)."""
    return factor <= 1 or shape[0] * shape[1] * factor**2 <= _MOST_PIXELS
