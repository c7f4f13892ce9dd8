"""What the axes of an image layer count, and a whole stack of planes out of one."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image, Layer

from ..errors import SettingError
from ..micrograph import Load, Micrograph
from .layers import (
    AXES,
    MICROGRAPH,
    MOST_GUESSED_CHANNELS,
    is_in_memory,
    kind_of,
    level_of,
    named_axes,
    notices_of,
    path_of,
    pixel_size_um,
    placement,
    read_layer,
    size_in_um,
)

# metadata key: the size of a pixel that a person stated
SIZE = "nucleiseg_pixel_size_um"
_WORDS = {"C": "channels", "Z": "focal planes", "T": "time points"}
# what the axes before height and width can be, by their number; the first of them come first
_ORDERS = {1: ("C", "Z", "T"), 2: ("TZ", "TC", "ZC", "CZ"), 3: ("TCZ", "TZC")}


def axes_of(layer: Image) -> str:
    """One letter of TCZYXS for each axis of a layer; a guess where nobody says.

    Layers of more than five axes have none: "".
    """
    colour = "S" if layer.rgb else ""
    before = layer.ndim - 2
    found = named_axes(layer)
    if found:
        return found + "YX" + colour
    if before == 0:
        return "YX" + colour
    choices = choices_of(layer)
    if before == 1:
        return ("C" if kind_of(layer) == "channels" else "Z") + "YX" + colour
    if before == 2:
        lengths = level_of(layer).shape[:2]
        short = [n <= MOST_GUESSED_CHANNELS for n in lengths]
        guess = "CZ" if short == [True, False] else "ZC" if short == [False, True] else "TZ"
        return (guess if guess in choices else choices[0]) + "YX" + colour
    return choices[0] + "YX" + colour if choices else ""


def axes_choices(layer: Image) -> list[tuple[str, str]]:
    """Words and letters of what the axes before height and width can count."""
    orders = _ORDERS.get(layer.ndim - 2, ())
    return [
        (", ".join(_WORDS[letter] for letter in letters), letters)
        for letters in orders
        if not (layer.rgb and "C" in letters)
    ]


def choices_of(layer: Image) -> list[str]:
    """Letters of `axes_choices`."""
    return [letters for _, letters in axes_choices(layer)]


def say_axes(layer: Image, letters: str) -> None:
    """Keep with a layer what somebody says that its axes before height and width count."""
    layer.metadata = {**layer.metadata, AXES: letters}
    # napari writes them at its sliders
    layer.axis_labels = (*letters.lower(), *layer.axis_labels[layer.ndim - 2 :])


def is_size_open(layer: Image) -> bool:
    """Whether the size of a pixel can be said, since neither the file nor the layer states it."""
    return SIZE in layer.metadata or pixel_size_um(layer) is None


def say_pixel_size(layer: Image, size_um: float) -> None:
    """Give a layer the size of its pixels, which its file does not state; 0 takes it back."""
    scale, units = list(layer.scale), list(layer.units)
    scale[-2:] = [size_um or 1.0] * 2
    units[-2:] = ["um" if size_um else "pixel"] * 2
    layer.scale = scale
    layer.units = units
    layer.metadata = {**layer.metadata, SIZE: size_um}


def read_stack(layer: Image, axes: str) -> Micrograph | Load:
    """Give all planes of a layer, or for the job a function that gives them.

    What is still in a file stays there.

    Parameters
    ----------
    layer : Image
    axes : str
        See `axes_of`.

    Raises
    ------
    NucleisegError
        If the pixels are nothing that can be segmented.
    """
    # one plane says what is wrong with all of them; nothing of it is read
    read_layer(layer, "stack", (0,) * (layer.ndim - 2), thinned=True)
    data = level_of(layer)
    if not hasattr(data, "transpose"):
        import dask.array

        data = dask.array.from_array(data)
    if layer.rgb:
        data = data[..., :3]
        if np.dtype(data.dtype) != np.uint8:
            axes = axes.replace("S", "C")
    if len(set(axes)) < len(axes):
        raise SettingError(
            "Planes of channels with several components each cannot be joined", layer.name
        )
    wanted = "".join(a for a in "TCZYXS" if a in axes)
    data = data.transpose([axes.index(a) for a in wanted])
    if data.dtype.kind == "b":
        data = data.astype(np.uint8)
    known = layer.metadata.get(MICROGRAPH, {})
    names = tuple(known.get("channel_names", ()))
    count = data.shape[wanted.index("C")] if "C" in wanted else 0
    taken = Micrograph(
        data,
        wanted,
        pixel_size_um(layer),
        names if len(names) == count else (),
        layer.name,
        path_of(layer),
        notices_of(layer),
        z_step_um=_step_um(layer, axes.find("Z")),
    )
    if is_in_memory(data):
        return replace(taken, pixels=np.array(data))

    def load() -> Micrograph:
        stays = not isinstance(data, np.ndarray) and _can_travel(data)
        return taken if stays else replace(taken, pixels=np.array(data))

    return load


def _can_travel(pixels: Any) -> bool:
    """Whether another process can read pixels that are still in a file; our reader's it can."""
    try:
        pickle.dumps(pixels)
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
    return True


def _step_um(layer: Image, at: int) -> float | None:
    """Distance of two planes along an axis in µm, where it is known."""
    if at < 0:
        return None
    found = size_in_um([layer.scale[at]] * 2, [layer.units[at]] * 2)
    return None if found is None else found[0]


def chosen_planes(axes: str, plane: tuple[int, ...], joined: str) -> dict[str, str]:
    """Settings that choose on all axes but one what the sliders show.

    Parameters
    ----------
    axes : str
        See `axes_of`.
    plane : tuple of int
        Indices of the plane shown.
    joined : str
        Letter of the axis along which all planes are taken.
    """
    names = {"Z": "z", "T": "t", "C": "channel"}
    return {
        names[letter]: str(index + 1)
        for letter, index in zip(axes, plane, strict=False)
        if letter != joined
    }


def stack_placement(layer: Layer, at: int, plane: tuple[int, ...]) -> dict[str, Any]:
    """Where the labels of all planes along one axis lie.

    napari lays the last axes of layers on each other. So axes before this one are left out, and
    those between it and the height have the one plane that was segmented.

    Parameters
    ----------
    layer : Layer
    at : int
        Which axis of the layer.
    plane : tuple of int
        Indices of the plane shown.
    """
    where = placement(layer, list(range(at, layer.ndim)))
    between = np.zeros(layer.ndim - at)
    between[1:-2] = plane[at + 1 :]
    # scaled only: a layer turned out of its planes has no planes to join
    where["translate"] = where["translate"] + between * where["scale"]
    return where
