"""Intensities as the networks see them: robust to outliers, blind to noise, global to a micrograph.

Percentiles alone turn the noise of an (almost) empty field into false nuclei, and minimum and
maximum fall for a single hot pixel. So the range is taken between percentiles, unless that range is
no more than noise: then the extremes of the noise-filtered pixels count, and the range is never
narrower than a multiple of the noise.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy import ndimage
from scipy.special import ndtri

from .config import Config

GAUSSIAN_MISFIT = 0.3
BAND_PIXELS = 1 << 24
# rows that tell the noise, and pixels they may have together
_MOST_ROWS, _LEAST_ROWS, _ROW_PIXELS = 256, 16, 1 << 22


class NormaliseConfig(Config):
    """How intensities become numbers from 0 to 1 (stored with each model)."""

    low: float = Field(1.0, ge=0, le=50, description="percentile that becomes 0")
    high: float = Field(99.8, ge=50, le=100, description="percentile that becomes 1")
    noise_range: float = Field(
        12.0, ge=0, description="the range is at least this many standard deviations of the noise"
    )
    clip: float = Field(
        1.5, ge=1, description="brighter pixels are cut here (0 is the dark end, 1 the bright one)"
    )


def _sample(pixels: np.ndarray, most: int = 1_000_000) -> np.ndarray:
    """About ``most`` pixels on a regular grid: percentiles of a large image in bounded time."""
    step = max(1, int(np.ceil(np.sqrt(pixels.shape[0] * pixels.shape[1] / most))))
    return np.asarray(pixels[::step, ::step])


def _precise(dtype: np.dtype) -> type[np.floating]:
    """Float type in which differences of such pixels are exact enough, whatever their offset."""
    return np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64


def _noise(pixels: np.ndarray) -> float:
    """Standard deviation of the pixel noise, from differences of horizontal neighbours."""
    # of a wide picture fewer rows: they are held at once
    count = min(_MOST_ROWS, max(_LEAST_ROWS, _ROW_PIXELS // pixels.shape[1]))
    some = np.asarray(pixels[:: max(1, pixels.shape[0] // count)])
    rows = some.astype(_precise(pixels.dtype))
    if rows.shape[1] < 2:
        return 0.0
    rows[~np.isfinite(rows)] = np.nan
    rows[~np.isfinite(rows)] = np.nan
    with np.errstate(over="ignore"):
        differences = np.abs(np.diff(rows, axis=1))
    differences = differences[np.isfinite(differences)]
    if not differences.size:
        return 0.0
    # median absolute difference of two Gaussian pixels is 0.6745 * sqrt(2) * sigma
    return float(np.median(differences)) / 0.954


def _gaussian_spread(values: np.ndarray) -> float:
    """Standard deviation of pixels that are nothing but Gaussian noise about one level, else 0.

    Blurred or binned noise escapes the differences of neighbours; but no micrograph with nuclei
    in it has quantiles that all lie on a normal distribution's.
    """
    shares = np.array([0.002, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 0.998])
    quantiles = np.quantile(values, shares)
    expected = ndtri(shares)
    spread, level = np.polyfit(expected, quantiles, 1)
    misfit = np.abs(quantiles - (level + spread * expected)).max()
    return float(spread) if misfit < GAUSSIAN_MISFIT * spread else 0.0


def intensity_range(pixels: np.ndarray, config: NormaliseConfig) -> tuple[float, float]:
    """Intensities that become 0 and 1.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) ndarray or dask array
        Any dtype; NaN and infinities are left out. Colours share one range.
    config : NormaliseConfig

    Returns
    -------
    (float, float)
        Dark and bright end; equal where all pixels are (an empty image).
    """
    if pixels.dtype == bool:
        return (0.0, 1.0) if bool(pixels.any()) and not bool(pixels.all()) else (0.0, 0.0)
    sample = _sample(pixels)
    finite = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample.ravel()
    if not finite.size:
        return 0.0, 0.0
    low, high = (float(v) for v in np.percentile(finite, (config.low, config.high)))
    noise = _noise(pixels)
    if pixels.dtype.kind in "iu":
        noise = max(noise, 0.3)  # rounding to whole numbers has a deviation of 1/sqrt(12)
    least = config.noise_range * max(noise, _gaussian_spread(finite))
    if high - low < least or high == low:
        darkest, brightest, dark, bright = _extremes(pixels, low)
        if darkest == brightest:
            return low, low
        high = max(high, bright)
        low = min(low, dark)
        high = max(high, low + least)
    return low, high


def _extremes(pixels: np.ndarray, instead: float) -> tuple[float, float, float, float]:
    """Least and greatest pixel, and the same less hot and dead pixels, in bands of the image."""
    height = max(3, BAND_PIXELS // pixels.shape[1])
    size = (3, 3) + (1,) * (pixels.ndim - 2)
    found = []
    for start in range(0, pixels.shape[0], height):
        # a row of each neighbour, for the filters
        above, below = min(start, 1), min(pixels.shape[0] - start - height, 1)
        stop = start + height + max(below, 0)
        plain = np.asarray(pixels[start - above : stop]).astype(_precise(pixels.dtype))
        plain[~np.isfinite(plain)] = instead
        own = slice(above, above + height)
        # a nucleus is wider than three pixels, a hot or dead pixel is not
        bright = ndimage.minimum_filter(plain, size)[own].max()
        dark = ndimage.maximum_filter(plain, size)[own].min()
        found.append((plain[own].min(), plain[own].max(), dark, bright))
    least, greatest, dark, bright = zip(*found, strict=True)
    return float(min(least)), float(max(greatest)), float(min(dark)), float(max(bright))


def rescale(pixels: np.ndarray, low: float, high: float, clip: float) -> np.ndarray:
    """Pixels as float32, ``low`` as 0 and ``high`` as 1, three components for the networks.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) ndarray
        A grey image, or red, green and blue; a whole micrograph or a tile of it.
    low, high : float
        Ends of the range; see `intensity_range`.
    clip : float
        Larger results are cut here, negative ones at 0.

    Returns
    -------
    (3, H, W) float32 ndarray
        Grey is repeated; what is not finite becomes 0; all 0 if ``high`` is not above ``low``.
    """
    components = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    if high > low:
        # the offset goes before the digits do: float32 has too few for large ones
        precise = components.astype(_precise(pixels.dtype))
        with np.errstate(invalid="ignore", over="ignore"):
            precise -= precise.dtype.type(low)
            precise *= precise.dtype.type(1 / (high - low))
        if pixels.dtype.kind == "f":
            np.nan_to_num(precise, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        values = np.clip(precise, 0, clip).astype(np.float32)
    else:
        values = np.zeros(components.shape, np.float32)
    return np.ascontiguousarray(np.broadcast_to(values, (3, *values.shape[1:])))


def normalise(pixels: np.ndarray, config: NormaliseConfig) -> np.ndarray:
    """Pixels of a whole micrograph as the networks see them; see `rescale`."""
    return rescale(pixels, *intensity_range(pixels, config), config.clip)
