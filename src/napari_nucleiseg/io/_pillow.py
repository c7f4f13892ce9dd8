"""What the formats that Pillow decodes share."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile

from ..errors import FileError
from ..micrograph import Micrograph
from ._colours import cmyk_to_rgb, look_up, palette_is_numbers, without_alpha
from ._decoding import check_size, decoding

_strict = threading.Lock()


def load(image: Image.Image) -> None:
    """Decode all pixels; a picture that ends early is an error, whatever other plugins have set."""
    with _strict:
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def read_with(
    opener: Callable[[IO[bytes]], Image.Image], path: Path, kind: str, *, numbers: bool
) -> Micrograph:
    """Read a file with one of Pillow's decoders.

    Parameters
    ----------
    opener : callable
        The decoder's class. It is called by itself because ``Image.open`` refuses pictures above a
        fixed number of pixels; here the free memory decides.
    path : Path
    kind : str
        Name of the format, for messages.
    numbers : bool
        Whether the pixels are label numbers: then palette entries are not looked up.

    Raises
    ------
    FileError
        If the file is damaged or has a colour space that cannot be converted.
    """
    with path.open("rb") as file, decoding(path, kind), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about optional parts, like a broken animation
        with opener(file) as image:
            check_size(path, image.width * image.height * max(1, len(image.getbands())))
            frames = int(getattr(image, "n_frames", 1))
            load(image)
            pixels = np.array(image)
            mode = image.mode
            palette = np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    notices: list[str] = []
    if frames > 1:
        notices.append(f"The file holds {frames} pictures; the first was read.")
    if mode == "I" and kind == "PNG":  # 16 bits, in Pillow before 11
        pixels = pixels.astype(np.uint16)
    elif mode in ("P", "PA"):
        indices = pixels[..., 0] if mode == "PA" else pixels
        if numbers and palette_is_numbers(palette):
            pixels = indices
        else:
            pixels = look_up(indices, palette)
    elif mode in ("LA", "La", "RGBA", "RGBa"):
        pixels, said = without_alpha(pixels)
        notices += said
    elif mode == "CMYK":
        pixels = cmyk_to_rgb(pixels)
        notices.append("CMYK printing colours were converted to red, green and blue.")
    elif mode not in ("1", "L", "I;16", "I;16B", "I", "F", "RGB"):
        raise FileError(
            "The colours of the picture cannot be converted",
            f"{path.name} has colour mode {mode}",
            "Save it again as RGB",
        )
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return Micrograph(
        pixels, "YXS" if pixels.ndim == 3 else "YX", path=path, notices=tuple(notices)
    )
