"""How large the picture in a file is, without reading its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ._decoding import DAMAGE, listening


def size_of(path: Path) -> tuple[int, int] | None:
    """Height and width of a picture in pixels, None where its header does not say."""
    import tifffile
    from PIL import Image

    try:
        if path.suffix.lower() == ".npy":
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
            return (int(shape[-2]), int(shape[-1])) if len(shape) > 1 else None
        if path.suffix.lower() in (".tif", ".tiff"):
            # of what is damaged its reader will tell
            with listening("tifffile"), tifffile.TiffFile(path) as tif:
                page = tif.pages.first
                return int(page.imagelength), int(page.imagewidth)
        with Image.open(path) as image:
            return image.height, image.width
    except (*DAMAGE, tifffile.TiffFileError, Image.DecompressionBombError):
        # reading it will say what is wrong
        return None
