"""Pixels of an image layer for looking at parts of it, with its pyramid, uncopied where large."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image

from ..micrograph import Load, Micrograph
from .layers import (
    COPY_BYTES,
    Kind,
    component_names,
    has_opacity_axis,
    path_of,
    pixel_size_um,
    read_layer,
)


def live_source(layer: Image, kind: Kind, plane: tuple[int, ...] = ()) -> Micrograph | Load:
    """Give the micrograph of an image layer, or for the work a function that gives it.

    Small ones are what *Segment* takes. Of large ones and of pyramids nothing is copied or read
    before it is looked at.

    Parameters
    ----------
    layer : Image
    kind : Kind
        What to take it for.
    plane : tuple of int
        Of a stack: the plane.

    Raises
    ------
    NucleisegError
        If the pixels are nothing that can be segmented.
    """
    levels = list(layer.data) if layer.multiscale else [layer.data]
    if len(levels) == 1 and _bytes_of(levels[0], plane) <= COPY_BYTES:
        return read_layer(layer, kind, plane)
    is_rgb, has_opacity = layer.rgb, has_opacity_axis(layer)
    if is_rgb:
        axes = "YXS" if np.dtype(levels[0].dtype) == np.uint8 else "CYX"
    else:
        axes = "CYX" if kind == "channels" else "YX"
    names = component_names(layer) if axes == "CYX" else ()
    size, name, path = pixel_size_um(layer), layer.name, path_of(layer)

    def part(level: Any) -> Any:
        if not isinstance(level, np.ndarray) and not hasattr(level, "dask"):
            import dask.array

            level = dask.array.from_array(level)
        if kind == "stack":
            level = level[plane]
        if has_opacity:
            level = level[..., 0]
        elif is_rgb:
            level = level[..., :3]
        if is_rgb and axes == "CYX":
            level = np.moveaxis(level, -1, 0)
        return level.astype(np.uint8) if level.dtype.kind == "b" else level

    def load() -> Micrograph:
        pixels, *coarser = map(part, levels)
        return Micrograph(pixels, axes, size, names, name, path, levels=tuple(coarser))

    return load


def _bytes_of(level: Any, plane: tuple[int, ...]) -> int:
    """Give the size of one plane of a level."""
    shape = level.shape[len(plane) :]
    return int(np.prod(shape, dtype=np.int64)) * int(np.dtype(level.dtype).itemsize)
