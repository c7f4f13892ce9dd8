"""Which plane of a stack it is: in words, and as settings of the command line."""

from __future__ import annotations

from pathlib import Path

from napari.layers import Image

from .axes import SIZE
from .layers import AXES, MICROGRAPH, named_axes, path_of

_NAMES_OF_AXES = {"Z": "focal plane", "T": "time point", "C": "channel"}
_FLAGS = {"Z": "z", "T": "t", "C": "channel"}
PLACES = {flag: _NAMES_OF_AXES[letter] for letter, flag in _FLAGS.items()}
"""What the settings that choose from an axis count."""


def plane_in_words(layer: Image, plane: tuple[int, ...]) -> str:
    """Say which plane it is: "focal plane 3, channel 2", or "plane 3" where no axis has a name."""
    named = named_axes(layer)
    if not named:
        return f"plane {', '.join(str(i + 1) for i in plane)}"
    return ", ".join(f"{_NAMES_OF_AXES[a]} {i + 1}" for a, i in zip(named, plane, strict=True))


def shell_settings(
    layer: Image, plane: tuple[int, ...], joined: str = ""
) -> dict[str, object] | None:
    """Settings by which the command line takes the same plane of the same picture in a file.

    Parameters
    ----------
    layer : Image
    plane : tuple of int
        Of a stack: the plane; see `plane_of`.
    joined : str
        Letter of the axis along which all planes are taken.

    Returns
    -------
    dict or None
        None where the command line may name the axes of the stack in another way.
    """
    known = layer.metadata.get(MICROGRAPH, {})
    if plane and "axes" not in known:
        return None
    found: dict[str, object] = {
        _FLAGS[axis]: str(i + 1)
        for axis, i in zip(named_axes(layer), plane, strict=False)
        if axis != joined
    }
    if known.get("series"):
        found["series"] = known["series"]
    if AXES in layer.metadata and known.get("unnamed") and not known.get("files"):
        found["axes"] = f"{layer.metadata[AXES]}YX"
    if layer.metadata.get(SIZE):
        found["pixel_size_um"] = layer.metadata[SIZE]
    return found


def shell_files(layer: Image) -> tuple[Path | list[Path] | None, str]:
    """Give the file of a layer, or those of a stack of several, and what these are: z, t or none.

    ``none`` also where they are channels, of which the command line makes no stack.
    """
    files = layer.metadata.get(MICROGRAPH, {}).get("files")
    if not files:
        return path_of(layer), "none"
    # the axis of the files is the one that nobody named
    assumed = str(layer.metadata[MICROGRAPH]["unnamed"])
    axes = str(layer.metadata[MICROGRAPH]["axes"])
    letter = named_axes(layer)[axes.index(assumed)]
    return [Path(file) for file in files], letter.lower() if letter in "ZT" else "none"
