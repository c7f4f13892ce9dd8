"""BMP: Windows bitmap, Microsoft (1990), https://learn.microsoft.com/windows/win32/gdi/bitmap-storage."""

from __future__ import annotations

from pathlib import Path

from ..micrograph import Micrograph

NAME = "BMP"
SUFFIXES = (".bmp",)
MAGIC = (b"BM",)


def read(path: Path, *, numbers: bool = False) -> Micrograph:
    """Read a BMP file; see `napari_nucleiseg.io.read_micrograph`."""
    from PIL import BmpImagePlugin

    from ._pillow import read_with

    return read_with(BmpImagePlugin.BmpImageFile, path, NAME, numbers=numbers)
