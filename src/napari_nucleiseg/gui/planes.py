"""Which plane of a stack it is: in words, and as settings of the command line."""

from __future__ import annotations

from napari.layers import Layer

from .layers import MICROGRAPH

_NAMES_OF_AXES = {"z": "focal plane", "d": "focal plane", "t": "time point", "c": "channel"}


def plane_in_words(layer: Layer, plane: tuple[int, ...]) -> str:
    """Say which plane it is: "focal plane 3, channel 2", or "plane 3" where no axis has a name."""
    named = [_NAMES_OF_AXES.get(label.casefold()[:1], "") for label in layer.axis_labels]
    if not all(named[: len(plane)]):
        return f"plane {', '.join(str(i + 1) for i in plane)}"
    return ", ".join(f"{name} {i + 1}" for name, i in zip(named, plane, strict=False))


def shell_settings(layer: Layer, plane: tuple[int, ...]) -> dict[str, str] | None:
    """Settings by which the command line takes the same plane of the same picture in a file.

    Parameters
    ----------
    layer : Layer
    plane : tuple of int
        Of a stack: the plane; see `plane_of`.

    Returns
    -------
    dict or None
        None where the command line may name the axes of the stack in another way.
    """
    known = layer.metadata.get(MICROGRAPH, {})
    if plane and "axes" not in known:
        return None
    names = {"Z": "z", "T": "t", "C": "channel"}
    found = {names[axis]: str(i + 1) for axis, i in zip(known.get("axes", ""), plane, strict=False)}
    return {**found, "series": known["series"]} if known.get("series") else found
