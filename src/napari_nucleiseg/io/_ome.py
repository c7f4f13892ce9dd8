"""OME-XML: what the metadata of an OME-TIFF say about pixel size, channels and files.

Goldberg, I. G. et al. (2005), https://doi.org/10.1186/gb-2005-6-5-r47; schema of 2016-06.
"""

from __future__ import annotations

import math
from typing import NamedTuple
from xml.etree import ElementTree

_UM = {
    "m": 1e6,
    "dm": 1e5,
    "cm": 1e4,
    "mm": 1e3,
    "\N{MICRO SIGN}m": 1.0,
    "\N{GREEK SMALL LETTER MU}m": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "pm": 1e-6,
    "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": 1e-4,
    "\N{ANGSTROM SIGN}": 1e-4,
    "in": 25_400.0,
    "inch": 25_400.0,
}


def in_um(size: float, unit: str) -> float | None:
    """A length in µm, or None where it is not a positive length."""
    factor = _UM.get(unit.strip().replace("\\u00B5", "µ"))
    if factor is None or not math.isfinite(size) or size <= 0:
        return None
    return size * factor


class Ome(NamedTuple):
    """What is used of OME-XML.

    Attributes
    ----------
    pixel_size_um : (float, float) or None
        Height and width of a pixel.
    channel_names : tuple of str
        Empty where no channel has a name.
    split : bool
        Whether the picture's planes lie in several files.
    z_step_um : float or None
        Distance of two focal planes.
    emission_nm : tuple of float or None
        Wavelength of each channel; empty where none is told.
    names : tuple of str
        Of all pictures in the file.
    """

    pixel_size_um: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()
    split: bool = False
    z_step_um: float | None = None
    emission_nm: tuple[float | None, ...] = ()
    names: tuple[str, ...] = ()


def _length(pixels: ElementTree.Element, axis: str) -> float | None:
    try:
        size = float(pixels.get(f"PhysicalSize{axis}", "nan"))
    except ValueError:
        return None
    return in_um(size, pixels.get(f"PhysicalSize{axis}Unit", "µm"))


def emission_nm(channel: ElementTree.Element) -> float | None:
    """Wavelength of the light that a channel shows."""
    try:
        length = float(channel.get("EmissionWavelength", "nan"))
    except ValueError:
        return None
    wave_um = in_um(length, channel.get("EmissionWavelengthUnit", "nm"))
    return None if wave_um is None else wave_um * 1000


def parse_ome(xml: str, index: int = 0) -> Ome:
    """Read OME-XML.

    Parameters
    ----------
    xml : str
        The description of an OME-TIFF's first plane.
    index : int
        Which of the pictures, from 0.

    Returns
    -------
    Ome
        Of this picture; nothing in it where the XML is broken.
    """
    try:
        root = ElementTree.fromstring(xml.encode())
    except ElementTree.ParseError:
        return Ome()
    images = root.findall("{*}Image")
    pixels = images[index].find("{*}Pixels") if index < len(images) else None
    if pixels is None:
        return Ome(split=root.find("{*}BinaryOnly") is not None)
    height, width = _length(pixels, "Y"), _length(pixels, "X")
    channels = pixels.findall("{*}Channel")
    names = [channel.get("Name", "").strip() for channel in channels]
    waves = tuple(emission_nm(channel) for channel in channels)
    files = {uuid.get("FileName") for uuid in pixels.findall("{*}TiffData/{*}UUID")}
    return Ome(
        (height, width) if height and width else None,
        tuple(n or str(i + 1) for i, n in enumerate(names)) if any(names) else (),
        len(files - {None}) > 1,
        _length(pixels, "Z"),
        waves if any(waves) else (),
        tuple(image.get("Name", "").strip() for image in images),
    )
