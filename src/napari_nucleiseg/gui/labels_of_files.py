"""Label images of files as layers: found again, brought up to date, never over somebody's work."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels

from .bridge import fingerprint

# metadata key: what the layer shows, and a number that tells its pixels when they were read
SHOWN = "nucleiseg_shown"


def labels_of(
    viewer: Any, key: str, labels: np.ndarray, *, keep_painted: bool = False
) -> Labels | None:
    """Give the layer that shows a label image of a file; None where a new one is needed.

    One of that name that holds just the same is as good; a layer made for the file that nobody has
    painted in is brought up to date where the file has changed.

    Parameters
    ----------
    viewer : Viewer
    key : str
        What is shown: a name, or the file's path.
    labels : (H, W) integer ndarray
        What the file holds now.
    keep_painted : bool
        Give a layer that somebody has painted in, too, while the file is as it was.
    """
    layers = [x for x in viewer.layers if type(x) is Labels and not x.multiscale]
    own = [x for x in layers if x.metadata.get(SHOWN, ("",))[0] == key]
    for layer in layers:
        if (layer in own or layer.name == key) and np.array_equal(layer.data, labels):
            return layer
    for layer in own:
        _, read = layer.metadata[SHOWN]
        if keep_painted and read == fingerprint(labels):
            return layer
        if read == fingerprint(layer.data):
            layer.data = labels
            mark(layer, key)
            return layer
    return None


def mark(layer: Labels, key: str) -> None:
    """Remember what a layer shows, as it was read."""
    layer.metadata = {**layer.metadata, SHOWN: (key, fingerprint(layer.data))}
