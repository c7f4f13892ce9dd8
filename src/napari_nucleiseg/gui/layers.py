"""What an image layer is and what pixels it holds; a micrograph as a layer.

Everything here runs on the GUI's thread and none of it works on pixels for long: what has to be
computed or read from a disk is handed to the job as a function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pint
from napari.layers import Image, Labels, Layer

from ..errors import NucleisegError, ShapeError
from ..intensity import NormaliseConfig, intensity_range
from ..io import SUFFIXES, read_micrograph
from ..micrograph import Assumed, Load, Micrograph

# metadata keys: what our reader knows of an image, what a result was made with
MICROGRAPH, RESULT = "nucleiseg_micrograph", "nucleiseg"
# what a person said that the axes before height and width count, where the file says nothing
AXES = "nucleiseg_axes"

Kind = Literal["grey", "colour", "channels", "stack"]

_LETTERS = {
    **dict.fromkeys(("c", "ch", "channel", "channels"), "C"),
    **dict.fromkeys(("z", "depth", "plane", "slice"), "Z"),
    **dict.fromkeys(("t", "time", "frame"), "T"),
}
# arrays in memory up to this size are copied at once (some 30 ms), others are read by the job
COPY_BYTES = 128 << 20
MOST_GUESSED_CHANNELS = 4
# sides of a picture that tell channels apart
_OVERVIEW_PX = 800


def kind_of(layer: Image) -> Kind:
    """Take an image layer for grey, colour, channels or a stack of planes.

    What our reader or the axis labels say counts; otherwise a short first axis is channels. Three
    components of more than 8 bits are channels, also where napari shows them as a colour.
    """
    if has_opacity_axis(layer):
        return "grey"
    if layer.rgb:
        if layer.ndim > 2:
            return "stack"
        return "colour" if np.dtype(level_of(layer).dtype) == np.uint8 else "channels"
    if layer.ndim == 2:
        return "grey"
    if layer.ndim == 3:
        named = named_axes(layer)
        if named:
            return "channels" if named == "C" else "stack"
        shape = level_of(layer).shape
        if shape[0] <= MOST_GUESSED_CHANNELS and min(shape[1:]) > 4 * shape[0]:
            return "channels"
    return "stack"


def named_axes(layer: Image) -> str:
    """Letters of TCZ for the axes before height and width; empty where nobody names all of them.

    What a person says counts before what our reader says, and that before the labels of the axes.
    """
    before = layer.ndim - 2
    said = layer.metadata.get(AXES, "")
    if said and len(said) == before:
        return str(said)
    axes = str(layer.metadata.get(MICROGRAPH, {}).get("axes", ""))
    if len(axes) == before + 2 + layer.rgb:
        return axes[:before]
    found = "".join(_LETTERS.get(label.casefold(), "?") for label in layer.axis_labels[:before])
    return "" if "?" in found or len(set(found)) < before else found


def is_guessed(layer: Image) -> bool:
    """Whether what the first axes of a layer count can be chosen, since no file says it."""
    if layer.ndim < 3 or has_opacity_axis(layer):
        return False
    known = layer.metadata.get(MICROGRAPH, {})
    if "axes" in known:
        return bool(known.get("unnamed"))
    return AXES in layer.metadata or layer.ndim == 3 or not named_axes(layer)


def has_opacity_axis(layer: Image) -> bool:
    """Whether napari's reader took brightness and opacity of a grey picture for an axis."""
    if layer.ndim != 3 or getattr(layer, "rgb", False) or level_of(layer).shape[-1] != 2:
        return False
    return file_of(layer) is not None


def component_count(layer: Image) -> int:
    """Colour components of a colour layer, or the length of the first axis of a 3-D one."""
    data = level_of(layer)
    if layer.rgb:
        return 3
    if has_opacity_axis(layer):
        return 1
    return int(data.shape[0]) if data.ndim == 3 else 1


def component_names(layer: Image) -> tuple[str, ...]:
    """Names of the channels of a layer, where our reader found them in the file."""
    if layer.rgb and np.dtype(level_of(layer).dtype) == np.uint8:
        return ("red", "green", "blue")
    names = tuple(layer.metadata.get(MICROGRAPH, {}).get("channel_names", ()))
    return names if len(names) == component_count(layer) else ()


def notices_of(layer: Image) -> tuple[str, ...]:
    """What was said when a layer was read, less what a person has said since of its axes."""
    found = tuple(layer.metadata.get(MICROGRAPH, {}).get("notices", ()))
    return tuple(n for n in found if AXES not in layer.metadata or not isinstance(n, Assumed))


def path_of(layer: Layer) -> Path | None:
    """File a layer was read from."""
    path = layer.metadata.get(MICROGRAPH, {}).get("path") or layer.source.path
    return Path(path) if path else None


def series_of(layer: Layer) -> str:
    """Which picture of a file with several a layer shows; empty where there is one."""
    return str(layer.metadata.get(MICROGRAPH, {}).get("series") or "")


def pictures_of(layer: Layer) -> tuple[str, ...]:
    """Names of all pictures in a layer's file, where there are several."""
    return tuple(layer.metadata.get(MICROGRAPH, {}).get("pictures") or ())


def file_of(layer: Layer) -> Path | None:
    """File that napari's own reader made a layer of and that ours can read, too."""
    path, source = layer.source.path, layer.source
    if path is None or source.reader_plugin != "napari" or MICROGRAPH in layer.metadata:
        return None
    file = Path(path)
    return file if file.suffix.lower() in SUFFIXES and file.is_file() else None


def is_as_in_shell(layer: Layer) -> bool:
    """Whether the pixels of a layer are what the command line reads, unless somebody changed them.

    Another plugin may read the same file in its own way.
    """
    known = layer.metadata.get(MICROGRAPH, {}).get("path")
    return known is not None or file_of(layer) is not None


def field_axes(layer: Layer) -> tuple[int, int]:
    """Axes of a layer that are height and width; components of a colour are no axis."""
    return (0, 1) if has_opacity_axis(layer) else (layer.ndim - 2, layer.ndim - 1)


def field_shape(layer: Layer) -> tuple[int, int]:
    """Height and width of a layer in pixels."""
    shape = level_of(layer).shape
    down, across = field_axes(layer)
    return int(shape[down]), int(shape[across])


def plane_of(layer: Layer, point: tuple[int, ...]) -> tuple[int, ...]:
    """Indices of the plane shown, one for each axis before the last two.

    Parameters
    ----------
    layer : Layer
    point : tuple of int
        Position of the viewer's sliders (``dims.current_step``), in steps; it may have more axes
        than the layer.
    """
    before = layer.ndim - 2
    shape = level_of(layer).shape[:before]
    steps = point[: len(point) - 2][-before:] if before else ()
    steps = (0,) * (before - len(steps)) + tuple(steps)
    return tuple(int(np.clip(s, 0, n - 1)) for s, n in zip(steps, shape, strict=True))


def read_layer(
    layer: Image, kind: Kind, plane: tuple[int, ...] = (), *, thinned: bool = False
) -> Micrograph | Load:
    """Give the micrograph of an image layer, or for the job a function that gives it.

    Parameters
    ----------
    layer : Image
        Of a multiscale layer the finest level counts.
    kind : Kind
        What to take it for; see `kind_of`.
    plane : tuple of int
        Of a stack: the plane; see `plane_of`.
    thinned : bool
        Whether of pixels that are still in a file some are enough, to tell channels apart.

    Raises
    ------
    NucleisegError
        If the pixels are nothing that can be segmented.
    """
    data = _thin(layer) if thinned else level_of(layer)
    dtype = np.dtype(data.dtype)
    if dtype.kind not in "biuf":
        raise NucleisegError(
            "Only whole and decimal numbers can be segmented",
            f"{layer.name} holds {'complex numbers' if dtype.kind == 'c' else dtype.name}",
            "Convert the image first",
        )
    if 0 in data.shape:
        raise ShapeError("The image has no pixels", layer.name)
    if kind == "stack":
        data = data[plane]
    if layer.rgb:
        axes = "YXS" if dtype == np.uint8 else "CYX"
    else:
        axes = "CYX" if kind == "channels" else "YX"
    names = component_names(layer) if axes == "CYX" else ()
    size, name, path = pixel_size_um(layer), layer.name, path_of(layer)
    file = None if kind == "stack" else file_of(layer)
    is_rgb, has_opacity = layer.rgb, has_opacity_axis(layer)
    notices = notices_of(layer)
    in_memory, shape = is_in_memory(data), (1, 1) if thinned else field_shape(layer)
    copy = np.array(data) if in_memory else None

    def load() -> Micrograph:
        if not isinstance(data, np.ndarray):
            # imported by the job, since opening a dock must not wait for it
            from ..finding import check_fits

            check_fits(name, shape)
        whole = np.array(data) if copy is None else copy
        pixels = whole
        if has_opacity:
            pixels = np.ascontiguousarray(whole[..., 0])
        elif is_rgb:
            # three components are left of red, green, blue and opacity
            pixels = np.ascontiguousarray(whole[..., :3])
        if is_rgb and axes == "CYX":
            pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
        if pixels.dtype.kind == "b":
            pixels = pixels.astype(np.uint8)
        taken = Micrograph(pixels, axes, size, names, name, path, notices)
        return taken if file is None else _as_in_file(taken, whole, file)

    # a file is for the job to read
    return load() if in_memory and file is None else load


def _as_in_file(taken: Micrograph, shown: np.ndarray, file: Path) -> Micrograph:
    """Give what our reader makes of a file, as the command line does; runs in a job.

    napari's reader drops bits of a 16-bit colour PNG, takes printing colours for opacity, and
    more. Where the layer does not hold what napari's reader makes of the file, somebody changed
    it: then the layer counts.

    Parameters
    ----------
    taken : Micrograph
        What the layer holds.
    shown : ndarray
        The same, as napari keeps it.
    file : Path
    """
    try:
        ours = read_micrograph(file)
    except NucleisegError:
        return taken  # a stack for the command line; the plane or channels that were chosen count
    if ours.shape != taken.shape:
        return taken
    if taken.axes == "CYX" and ours.pixels.shape != taken.pixels.shape:
        return taken  # the first axis was chosen to be channels
    same = ours.axes == taken.axes and np.array_equal(ours.pixels, taken.pixels)
    if not same and not np.array_equal(_napari_reads(file), shown):
        changed = "The layer does not hold what is in its file; the layer was segmented."
        return replace(taken, path=None, notices=(*taken.notices, changed))
    size = ours.pixel_size_um if taken.pixel_size_um is None else taken.pixel_size_um
    return replace(ours, name=taken.name, pixel_size_um=size)


def _napari_reads(file: Path) -> Any:
    """Give the pixels that napari's own reader makes of a file."""
    from npe2 import read

    try:
        (data, *_), *_ = read([str(file)], stack=False, plugin_name="napari")
    except (OSError, ValueError, RuntimeError):
        return None  # another file by now
    return np.asarray(data)


def read_labels_layer(layer: Labels, point: tuple[int, ...]) -> np.ndarray:
    """Give a copy of a labels layer's plane that is shown, (H, W)."""
    return np.array(level_of(layer)[plane_of(layer, point)])


def pixel_size_um(layer: Layer) -> tuple[float, float] | None:
    """Height and width of a pixel in µm; None where the layer's units are pixels."""
    known = layer.metadata.get(MICROGRAPH, {}).get("pixel_size_um")
    if known is not None:
        return float(known[0]), float(known[1])
    axes = field_axes(layer)
    return size_in_um([layer.scale[i] for i in axes], [layer.units[i] for i in axes])


def size_in_um(scale: Sequence[float], units: Sequence[Any]) -> tuple[float, float] | None:
    """Height and width of a pixel in µm from a layer's scale and units, None if in pixels."""
    if len(scale) < 2 or len(units) < 2:
        return None
    sizes = []
    for number, name in zip(scale[-2:], units[-2:], strict=True):
        unit = pint.get_application_registry().Unit(str(name))
        if not unit.is_compatible_with("micrometer"):
            return None
        sizes.append(float((number * unit).to("micrometer").magnitude))
    return sizes[0], sizes[1]


def placement(layer: Layer, axes: list[int] | None = None) -> dict[str, Any]:
    """Where a layer lies, for one on top: scale, translate, rotate, shear, affine, units.

    Parameters
    ----------
    layer : Layer
    axes : list of int, optional
        Which of its axes the layer on top has. By itself height and width: an image's channel axis
        has a scale of its own.
    """
    axes = list(field_axes(layer)) if axes is None else axes
    shear = np.asarray(layer.shear)
    if shear.ndim == 1:
        # the part above the diagonal, row by row
        whole = np.eye(layer.ndim)
        whole[np.triu_indices(layer.ndim, 1)] = shear
        shear = whole[np.ix_(axes, axes)][np.triu_indices(len(axes), 1)]
    else:
        shear = shear[np.ix_(axes, axes)]
    return {
        "scale": layer.scale[axes],
        "translate": layer.translate[axes],
        "rotate": layer.rotate[np.ix_(axes, axes)],
        "shear": shear,
        "affine": layer.affine.set_slice(axes),
        "units": tuple(layer.units[i] for i in axes),
        "axis_labels": tuple(layer.axis_labels[i] for i in axes),
    }


def level_of(layer: Layer) -> Any:
    """Give the pixels of a layer; of a pyramid the full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def _thin(layer: Layer) -> Any:
    """Some rows and columns of pixels that are still in their file, of a coarse level if there is.

    Pixels in memory are given as they are.
    """
    y, x = field_axes(layer)
    levels = list(layer.data) if layer.multiscale else [layer.data]
    large = [data for data in levels if min(data.shape[y], data.shape[x]) >= _OVERVIEW_PX]
    data = large[-1] if large else levels[0]
    if isinstance(data, np.ndarray):
        return level_of(layer)
    step = max(1, min(data.shape[y], data.shape[x]) // _OVERVIEW_PX)
    place = [slice(None)] * len(data.shape)
    place[y] = place[x] = slice(None, None, step)
    return data[tuple(place)]


def is_in_memory(data: Any) -> bool:
    """Whether a copy takes no time to speak of: no file behind it, and not huge."""
    array = data
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return False
        if array.base is None:
            return data.nbytes <= COPY_BYTES
        array = array.base
    return isinstance(data, np.ndarray) and isinstance(array, bytes | bytearray)


def layer_of(
    micrograph: Micrograph, pictures: tuple[str, ...] = ()
) -> tuple[Any, dict[str, Any], str]:
    """Give a micrograph as napari's layer data: pixels, settings of the layer, ``"image"``.

    Pixels that are still in their file stay there, and a pyramid becomes a multiscale layer.

    Parameters
    ----------
    micrograph : Micrograph
    pictures : tuple of str
        Names of all pictures in its file, where there are several.
    """
    size = micrograph.pixel_size_um
    axes = micrograph.axes.removesuffix("S")
    steps = {"Z": micrograph.z_step_um, **dict(zip("YX", size or (None, None), strict=True))}
    known = {
        "axes": micrograph.axes,
        "channel_names": micrograph.channel_names,
        "pixel_size_um": size,
        "path": None if micrograph.path is None else str(micrograph.path),
        "series": micrograph.series,
        "pictures": pictures,
        "notices": micrograph.notices,
        "unnamed": micrograph.unnamed,
    }
    name = f"{micrograph.name} · {micrograph.series}" if micrograph.series else micrograph.name
    settings = {
        "name": name,
        "rgb": micrograph.is_colour,
        "scale": [steps.get(axis) or 1.0 for axis in axes],
        "units": ["um" if steps.get(axis) else "pixel" for axis in axes],
        "axis_labels": list(axes.lower()),
        "metadata": {MICROGRAPH: known},
    }
    pixels = micrograph.pixels
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8)
    if micrograph.axes == "YX" and not micrograph.is_lazy:
        # shown as the network sees it: dim nuclei visible, an empty field dark
        low, high = intensity_range(pixels, NormaliseConfig())
        if high > low:
            settings["contrast_limits"] = [low, high]
    if micrograph.levels:
        return [pixels, *micrograph.levels], {**settings, "multiscale": True}, "image"
    return pixels, settings, "image"


def labels_of(labels: Micrograph, image: Micrograph) -> tuple[Any, dict[str, Any], str]:
    """Give a label image from inside a picture's file as layer data, aligned with the picture."""
    data, settings, _ = layer_of(labels)
    kept = {
        k: settings[k] for k in ("scale", "units", "axis_labels", "multiscale") if k in settings
    }
    return data, {**kept, "name": f"{image.name} · {labels.name}"}, "labels"
