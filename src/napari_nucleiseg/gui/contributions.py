"""What napari.yaml names: reader, writer, sample data, docks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..io import read_micrograph, write_labels
from ..samples import SAMPLES, read_sample
from .layers import layer_of, size_in_um

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Give the reader for one file, or for several that are opened as a stack of their own each."""
    paths = [path] if isinstance(path, str) else list(path)
    return read if all(Path(p).is_file() for p in paths) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Read micrographs with axes, pixel size, units and channel names."""
    paths = [path] if isinstance(path, str) else list(path)
    return [layer_of(read_micrograph(Path(p))) for p in paths]


def write(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the label image of a layer; the smallest safe integers, never fewer nuclei."""
    labels = np.asarray(data)
    if labels.ndim > 2 and labels.size == labels.shape[-2] * labels.shape[-1]:
        labels = labels.reshape(labels.shape[-2:])
    if labels.ndim != 2:
        raise ShapeError(
            "Stacks of label images cannot be saved yet",
            f"the layer has {labels.ndim} axes",
            "Save one plane at a time",
        )
    size = size_in_um(meta.get("scale", ()), meta.get("units", ()))
    return [str(write_labels(Path(path), labels, size))]


def _sample(name: str) -> list[LayerData]:
    micrograph, labels = read_sample(name)
    data, settings, kind = layer_of(micrograph)
    title = SAMPLES[name].title
    truth = {
        "name": f"{title} · truth",
        "scale": settings["scale"][-2:],
        "units": settings["units"][-2:],
        "visible": False,
    }
    return [(data, {**settings, "name": title}, kind), (labels, truth, "labels")]


def fluorescence() -> list[LayerData]:
    """Give the fluorescence sample with its true nuclei."""
    return _sample("fluorescence")


def stained() -> list[LayerData]:
    """Give the H&E-stained sample with its true nuclei."""
    return _sample("stained")


def brightfield() -> list[LayerData]:
    """Give the brightfield sample with its true nuclei."""
    return _sample("brightfield")
