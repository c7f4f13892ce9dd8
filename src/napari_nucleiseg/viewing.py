"""What a window shows of a micrograph, read at the resolution shown.

The pixels that a network gets lie on a grid that is fixed to the micrograph and does not move with
the view: so a nucleus looks the same to the network wherever the view is moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from .errors import NucleisegError
from .intensity import NormaliseConfig, intensity_range
from .micrograph import Micrograph

# places of a frame are multiples of the first (px), its sides of the second: the network gets few
# sizes, for each new one takes it time to get ready
_STEP, _SIDE = 32, 64
_STEPS_PER_OCTAVE = 8
_ROOM_PX = 16, 48
_MOST_READ = 1 << 26
_SAMPLE_PX = 1 << 19
_PATCHES, _PATCH_PX = 4, 256


class TooMuchError(NucleisegError):
    """A view of a file that takes long to read."""


@dataclass(frozen=True)
class View:
    """What a window shows of a micrograph.

    Attributes
    ----------
    rows, columns : (float, float)
        First and last edge, in pixels of the micrograph: the first pixel lies between 0 and 1. They
        may lie outside of it.
    magnification : float
        Pixels of the screen for one of the micrograph.
    """

    rows: tuple[float, float]
    columns: tuple[float, float]
    magnification: float


@dataclass(frozen=True)
class Frame:
    """The part of a micrograph that is looked at: the view and some room around it.

    Attributes
    ----------
    step : (float, float)
        Height and width of a pixel of the frame, in pixels of the micrograph.
    start : (int, int)
        First row and column, in pixels of the frame from the micrograph's corner.
    shape : (int, int)
        Height and width in pixels of the frame.
    view : (slice, slice)
        Rows and columns of the frame that are in the view.
    """

    step: tuple[float, float]
    start: tuple[int, int]
    shape: tuple[int, int]
    view: tuple[slice, slice]

    @property
    def origin(self) -> tuple[float, float]:
        """Middle of the first pixel, in pixels of the micrograph with the first one's at 0."""
        y, x = ((s + 0.5) * step - 0.5 for s, step in zip(self.start, self.step, strict=True))
        return y, x


def working_factor(magnification: float, most: float) -> float:
    """How much to enlarge or shrink a micrograph for a view: never finer than the screen.

    Parameters
    ----------
    magnification : float
        See `View`.
    most : float
        Factor for the whole micrograph at full resolution.

    Returns
    -------
    float
        ``most``, or less by a whole number of steps, so that nothing changes at small zooms.
    """
    if magnification >= most:
        return most
    steps = np.ceil(_STEPS_PER_OCTAVE * np.log2(most / magnification) - 1e-6)
    return float(most * 2 ** (-steps / _STEPS_PER_OCTAVE))


def frame_of(shape: tuple[int, int], view: View, factor: float, room_px: float) -> Frame | None:
    """Lay a frame around a view.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the micrograph in pixels.
    view : View
    factor : float
        See `working_factor`.
    room_px : float
        Room around the view that shows nuclei whole, in pixels of the frame.

    Returns
    -------
    Frame or None
        None where the view shows nothing of the micrograph.
    """
    room = round(float(np.clip(room_px, *_ROOM_PX)))
    steps, starts, sides, inner = [], [], [], []
    for length, (low, high) in zip(shape, (view.rows, view.columns), strict=True):
        whole = max(1, round(length * factor))
        step = length / whole
        first = max(0, int(np.floor(low / step)))
        last = min(whole, int(np.ceil(high / step)))
        if first >= last:
            return None
        # as long for all views of this size, wherever they are
        shown = int(np.ceil((high - low) / step)) + 1
        side = -(-(shown + 2 * room + _STEP - 1) // _SIDE) * _SIDE
        start = max(0, min(first - room, whole - side + _STEP - 1))
        start -= start % _STEP
        stop = min(start + side, whole)
        steps.append(step)
        starts.append(start)
        sides.append(stop - start)
        inner.append(slice(max(first - start, 0), min(last, stop) - start))
    return Frame(
        (steps[0], steps[1]), (starts[0], starts[1]), (sides[0], sides[1]), (inner[0], inner[1])
    )


def read_frame(
    micrograph: Micrograph, frame: Frame, ends: tuple[float, float]
) -> tuple[np.ndarray, tuple[float, float]]:
    """Read the pixels of a frame, of the coarsest level of a pyramid that is fine enough.

    Parameters
    ----------
    micrograph : Micrograph
        With axes YX or YXS.
    frame : Frame
    ends : (float, float)
        Ends of the range of the whole micrograph.

    Returns
    -------
    (h, w) or (h, w, 3) ndarray
        As large as the frame.
    (float, float)
        Ends of their range.

    Raises
    ------
    TooMuchError
        If so much would have to be read that it takes long.
    """
    height, width = micrograph.shape
    level, scale = micrograph.pixels, (1.0, 1.0)
    for coarser in micrograph.levels:
        finer = (coarser.shape[0] / height, coarser.shape[1] / width)
        # sizes of levels are rounded
        if all(f * s > 0.99 for f, s in zip(finer, frame.step, strict=True)):
            level, scale = coarser, finer
    box = [
        (start * step * s, min((start + side) * step * s, float(length)))
        for start, side, step, s, length in zip(
            frame.start, frame.shape, frame.step, scale, level.shape, strict=False
        )
    ]
    # some more on each side, since a pixel of the frame is a mean over its neighbourhood
    more = [int(np.ceil(step * s)) + 1 for step, s in zip(frame.step, scale, strict=True)]
    near = [
        slice(max(0, int(np.floor(low)) - m), min(int(np.ceil(high)) + m, length))
        for (low, high), m, length in zip(box, more, level.shape, strict=False)
    ]
    rows, columns = near
    if micrograph.is_lazy:
        count = (rows.stop - rows.start) * (columns.stop - columns.start)
        if count > _MOST_READ:
            raise TooMuchError(
                "So much of this file cannot be read while the view moves",
                f"{micrograph.name}, {count / 1e6:,.0f} megapixels, without smaller levels",
                "Zoom in",
            )
    if frame.step == (1.0, 1.0):
        y, x = frame.start
        part = level[y : y + frame.shape[0], x : x + frame.shape[1]]
        return np.ascontiguousarray(part), ends
    # twice as many pixels as are needed are enough
    pitch = [max(1, int(step * s / 2)) for step, s in zip(frame.step, scale, strict=True)]
    first = [n.start + p // 2 for n, p in zip(near, pitch, strict=True)]
    part = np.asarray(level[first[0] : rows.stop : pitch[0], first[1] : columns.stop : pitch[1]])
    inside = [
        (max(0.0, (low - n.start) / p), min((high - n.start) / p, float(size)))
        for (low, high), n, p, size in zip(box, near, pitch, part.shape, strict=False)
    ]
    return resample_part(part, *ends, (inside[0], inside[1]), frame.shape), (0.0, 1.0)


def range_of_whole(micrograph: Micrograph, config: NormaliseConfig) -> tuple[float, float]:
    """Intensities of a whole micrograph that become 0 and 1.

    Parameters
    ----------
    micrograph : Micrograph
        With axes YX or YXS. Of one that is still in a file a coarse level counts, or parts.
    config : NormaliseConfig
    """
    if not micrograph.is_lazy:
        return intensity_range(micrograph.pixels, config)
    levels = (micrograph.pixels, *micrograph.levels)
    large = [x for x in levels if x.shape[0] * x.shape[1] >= _SAMPLE_PX]
    level = large[-1] if large else levels[0]
    if level.shape[0] * level.shape[1] > _MOST_READ:
        level = _parts(level)
    return intensity_range(np.asarray(level), config)


def _parts(pixels: Any) -> np.ndarray:
    """Give squares that lie evenly spread over a picture, put together."""
    starts = [np.linspace(0, n - _PATCH_PX, _PATCHES).astype(int) for n in pixels.shape[:2]]
    rows = [
        np.concatenate(
            [np.asarray(pixels[y : y + _PATCH_PX, x : x + _PATCH_PX]) for x in starts[1]], axis=1
        )
        for y in starts[0]
    ]
    return np.concatenate(rows)


def resample_part(
    pixels: np.ndarray,
    low: float,
    high: float,
    box: tuple[tuple[float, float], tuple[float, float]],
    shape: tuple[int, int],
) -> np.ndarray:
    """Enlarge or shrink a part of an image, quickly; see `resampling.resample`.

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
