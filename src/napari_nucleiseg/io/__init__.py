"""Reading micrographs and label images, writing label images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..micrograph import Micrograph


class Labels(NamedTuple):
    """A label image as read, and what was converted on the way.

    Attributes
    ----------
    image : (H, W) int32 ndarray
        0 background, 1..N one nucleus each (the file's own numbers); -1 where ignored.
    notices : tuple of str
        One sentence each, to be shown.
    """

    image: np.ndarray
    notices: tuple[str, ...]


def read_micrograph(path: Path) -> Micrograph:
    pixels = np.asarray(Image.open(path))
    return Micrograph(
        pixels, "YXS" if pixels.ndim == 3 else "YX", name=Path(path).stem, path=Path(path)
    )


def read_labels(path: Path) -> Labels:
    return Labels(np.asarray(Image.open(path)).astype(np.int32), ())
