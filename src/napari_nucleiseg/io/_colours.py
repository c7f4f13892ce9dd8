"""Colours as files store them: palettes, printing inks, transparency."""

from __future__ import annotations

import numpy as np


def look_up(indices: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The colours that palette indices stand for.

    Parameters
    ----------
    indices : (H, W) integer ndarray
    palette : (N, 3) uint8 ndarray
        Red, green, blue of each index.

    Returns
    -------
    (H, W, 3) or (H, W) uint8 ndarray
        Grey where all of the palette's entries that are used are grey.

    Raises
    ------
    ValueError
        If an index has no entry.
    """
    if indices.size and int(indices.max()) >= len(palette):
        raise ValueError(f"pixel with colour {int(indices.max())} of {len(palette)}")
    used = palette[np.unique(indices)]
    if (used == used[:, :1]).all():
        return np.asarray(palette[:, 0][indices])
    return np.asarray(palette[indices])


def is_lookup_table(palette: np.ndarray) -> bool:
    """Whether a palette only tints intensities: brightness never falls from entry to entry."""
    brightness = palette.astype(np.float64) @ (0.299, 0.587, 0.114)
    steps = np.diff(brightness)
    return bool((steps >= -1).all() or (steps <= 1).all())


def palette_is_numbers(palette: np.ndarray) -> bool:
    """Whether the indices into a palette can be label numbers: number 0 is shown as black."""
    return not len(palette) or not palette[0].any()


def cmyk_to_rgb(inks: np.ndarray) -> np.ndarray:
    """Red, green, blue from cyan, magenta, yellow, black (uint8, more is darker)."""
    light = 255 - inks.astype(np.uint16)
    return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)


def without_alpha(pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Drop the last component, transparency; the notice is there if it varied.

    Parameters
    ----------
    pixels : (H, W, 2) or (H, W, 4) ndarray

    Returns
    -------
    (H, W) or (H, W, 3) ndarray
    list of str
        Empty, or one sentence.
    """
    alpha = pixels[..., -1]
    kept = pixels[..., 0] if pixels.shape[-1] == 2 else pixels[..., :-1]
    constant = alpha.size and (alpha == alpha.flat[0]).all()
    said = [] if constant else ["The transparency of the picture was left out."]
    return np.ascontiguousarray(kept), said
