"""PNG: Portable Network Graphics, third edition, W3C (2025), https://www.w3.org/TR/png-3/."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import FileError
from ..files import write_whole
from ..micrograph import Micrograph
from ._planes import TakenAsChannels

NAME = "PNG"
SUFFIXES = (".png",)
MAGIC = (b"\x89PNG\r\n\x1a\n",)

_GREY, _RGB, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 4, 6


def read(path: Path, *, numbers: bool = False) -> Micrograph:
    """Read a PNG file; see `napari_nucleiseg.io.read_micrograph`."""
    from PIL import PngImagePlugin

    from ._pillow import read_with

    with path.open("rb") as file:
        header = file.read(26)
    if len(header) < 26:
        from ._decoding import damaged

        raise damaged(path, NAME, "it ends inside its header")
    bits, colour_type = header[24], header[25]
    if bits == 16 and colour_type != _GREY:
        return _read_16bit(path)
    micrograph = read_with(PngImagePlugin.PngImageFile, path, NAME, numbers=numbers)
    if numbers and colour_type == _GREY and bits in (2, 4):
        # Pillow stretches few bits to the range of eight
        stretch = 255 // (2**bits - 1)
        micrograph = replace(micrograph, pixels=micrograph.pixels // np.uint8(stretch))
    return micrograph


def _read_16bit(path: Path) -> Micrograph:
    """Colour or transparency at 16 bits, of which Pillow keeps only 8."""
    import imagecodecs
    from PIL import PngImagePlugin

    from ._colours import without_alpha
    from ._decoding import check_size, decoding

    with path.open("rb") as file, decoding(path, NAME):
        with PngImagePlugin.PngImageFile(file) as image:
            check_size(path, image.width * image.height * 2 * len(image.getbands()))
            image.verify()  # each part is there and has its checksum
        file.seek(0)
        pixels = imagecodecs.png_decode(file.read())
    notices: list[str] = []
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels, notices = without_alpha(pixels)
    if pixels.ndim == 3:
        pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
        said = "Three 16-bit components were taken as channels, not as colours."
        notices.append(TakenAsChannels(said))
        return Micrograph(pixels, "CYX", path=path, notices=tuple(notices))
    return Micrograph(pixels, "YX", path=path, notices=tuple(notices))


def write(path: Path, labels: np.ndarray, pixel_size_um: object = None) -> None:  # noqa: ARG001
    """Write a label image with 8 or 16 bits; see `napari_nucleiseg.io.write_labels`."""
    from PIL import Image

    if labels.min() < 0:
        raise FileError(
            "A PNG file cannot hold ignored pixels (-1)",
            path.name,
            "Choose a name that ends in .tif",
        )
    if labels.dtype.itemsize > 2:
        raise FileError(
            "A PNG file cannot hold label numbers above 65,535",
            f"{path.name} would need {int(labels.max()):,}",
            "Choose a name that ends in .tif",
        )
    picture = Image.fromarray(labels)
    write_whole(path, lambda file: picture.save(file, format="PNG"))
