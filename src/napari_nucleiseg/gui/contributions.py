"""What napari.yaml names: reader, writer, sample data, docks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_info

from ..io import (
    in_order,
    is_zarr,
    open_labels,
    open_micrograph,
    open_stack,
    series_names,
    with_colour,
    write_label_stack,
    write_labels,
)
from ..samples import SAMPLES, read_sample
from .layers import MICROGRAPH, labels_of, layer_of, size_in_um

MOST_PICTURES = 16

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Give the reader for one file, or for several that are opened as one stack."""
    paths = [path] if isinstance(path, str) else list(path)
    return read if all(Path(p).is_file() or is_zarr(Path(p)) for p in paths) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Read micrographs with axes, pixel size, units, channel names, pyramids and labels inside.

    Of a file with several pictures each becomes a layer, up to `MOST_PICTURES`. Several files
    become one stack, each of them read when it is looked at.
    """
    paths = [path] if isinstance(path, str) else in_order(path)
    return _layers(Path(paths[0])) if len(paths) == 1 else [_stack(paths)]


def _stack(paths: Sequence[Path]) -> LayerData:
    """One layer of several files; in what they differ is chosen in the dock."""
    data, settings, kind = layer_of(open_stack(paths, None))
    known = settings["metadata"][MICROGRAPH]
    known["files"] = [str(path) for path in paths]
    return data, settings, kind


def _layers(path: Path) -> list[LayerData]:
    names = series_names(path)
    if len(names) > MOST_PICTURES:
        show_info(
            f"{path.name} holds {len(names)} pictures; the first {MOST_PICTURES} are shown. "
            'The others are under "Picture" in the dock "Segment nuclei".'
        )
    layers = []
    for number, name in enumerate(names[:MOST_PICTURES]):
        micrograph = open_micrograph(path, series=name or None)
        if not micrograph.is_lazy:
            micrograph = with_colour(micrograph, "auto")
        data, settings, kind = layer_of(micrograph, names if len(names) > 1 else ())
        layers.append((data, {**settings, "visible": number == 0}, kind))
        if number == 0:
            layers += [labels_of(inside, micrograph) for _, inside in open_labels(path)]
    return layers


def write(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the label image of a layer, or those of all planes; never fewer nuclei."""
    labels = np.asarray(data)
    # axes of one plane are left out: channels that were not segmented
    kept = [i for i, n in enumerate(labels.shape) if n > 1 or i >= labels.ndim - 2]
    labels = labels.reshape([labels.shape[i] for i in kept])
    size = size_in_um(meta.get("scale", ()), meta.get("units", ()))
    if labels.ndim != 3 or Path(path).suffix.lower() not in (".tif", ".tiff"):
        return [str(write_labels(Path(path), labels, size))]
    named = [str(meta.get("axis_labels", "")[i]).casefold() for i in kept[:1] if meta]
    letter = "T" if named and named[0] in ("t", "time", "frame") else "Z"
    step = size_in_um([meta["scale"][kept[0]]] * 2, [meta["units"][kept[0]]] * 2) if meta else None
    return [str(write_label_stack(Path(path), labels, letter, size, step[0] if step else None))]


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
