"""Which labels can be corrected, and which file an image comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels

from ..errors import NucleisegError, ShapeError
from ..samples import SAMPLES
from .aids import nuclei_layers
from .layers import RESULT, field_shape, path_of, placement


def check(image: Image, labels: Labels) -> None:
    """Refuse labels that cannot be corrected.

    Raises
    ------
    NucleisegError
        Why, and what to do.
    """
    if labels.multiscale or not isinstance(labels.data, np.ndarray):
        raise NucleisegError(
            "These labels lie in a file that cannot be painted in",
            labels.name,
            "Duplicate the layer in memory, for example by saving and opening it as TIFF",
        )
    if labels.data.shape[-2:] != field_shape(image):
        raise ShapeError(
            "Nuclei and image differ in size",
            "{} has {}×{} px, {} has {}×{} px".format(
                labels.name, *labels.data.shape[-2:], image.name, *field_shape(image)
            ),
            "Choose the nuclei of this image",
        )


def own_file(image: Image) -> Path | None:
    """File of an image beside which corrections can be kept; samples belong to the program."""
    path = path_of(image)
    samples = {sample.micrograph for sample in SAMPLES.values()}
    return path if path is not None and path.is_file() and path not in samples else None


def candidates(viewer: Any) -> list[Labels]:
    """Labels that can be corrected, the uppermost first."""
    return nuclei_layers(viewer)


def widen(labels: Labels) -> None:
    """Make room for more nuclei than small numbers can count."""
    if labels.data.dtype.itemsize < np.dtype(np.int32).itemsize:
        labels.data = labels.data.astype(np.int32)


def add_nuclei(viewer: Any, image: Image, labels: np.ndarray) -> Labels:
    """Show nuclei of an image in a new layer above it, and choose the layer."""
    where = placement(image)
    if labels.ndim > 2:
        where = {"scale": image.scale, "translate": image.translate, "units": image.units}
    layer = Labels(labels, name=f"{image.name} · nuclei", metadata={RESULT: {}}, **where)
    viewer.layers.insert(viewer.layers.index(image) + 1, layer)
    viewer.layers.selection.active = layer
    return layer
