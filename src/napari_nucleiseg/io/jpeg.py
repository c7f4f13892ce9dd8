"""JPEG: ITU-T T.81 | ISO/IEC 10918-1 (1992), https://www.w3.org/Graphics/JPEG/itu-t81.pdf."""

from __future__ import annotations

from pathlib import Path

from ..errors import FileError
from ..micrograph import Micrograph

NAME = "JPEG"
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
MAGIC = (b"\xff\xd8\xff",)


def read(path: Path, *, numbers: bool = False) -> Micrograph:
    """Read a JPEG file; see `napari_nucleiseg.io.read_micrograph`.

    Pixels stay as they are stored: a camera's note on how to turn the picture is not followed, so
    that coordinates fit those of other programs for microscopy.
    """
    from PIL import JpegImagePlugin

    from ._pillow import read_with

    if numbers:
        raise FileError(
            "A JPEG file cannot be a label image, since its compression changes the numbers",
            path.name,
            "Save the labels as TIFF or PNG",
        )
    return read_with(JpegImagePlugin.JpegImageFile, path, NAME, numbers=False)
