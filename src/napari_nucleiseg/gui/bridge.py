"""Between napari and the core: arrays out of layers, results into layers, a session per viewer.

Everything here runs on the GUI's thread and none of it works on pixels for long: what has to be
computed or read from a disk is handed to the job as a function.
"""

from __future__ import annotations

import importlib
import weakref
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from napari.layers import Image, Labels, Layer

from ..child import Child
from ..errors import NucleisegError, ShapeError
from ..events import Event, Notice, Segmented
from ..intensity import NormaliseConfig, intensity_range
from ..micrograph import Micrograph
from ..session import Load, Opened, Session
from . import memory
from .job import run_in_thread

# metadata keys: what our reader knows of an image, what a result was made with
MICROGRAPH, RESULT = "nucleiseg_micrograph", "nucleiseg"

Kind = Literal["grey", "colour", "channels", "stack"]

# arrays in memory up to this size are copied at once (some 30 ms), others are read by the job
COPY_BYTES = 128 << 20
# results up to this size are compared pixel by pixel with what was put there (some 30 ms)
COMPARE_BYTES = 64 << 20
MOST_GUESSED_CHANNELS = 4


# --- arrays out of layers -------------------------------------------------------------------


def kind_of(layer: Image) -> Kind:
    """Take an image layer for grey, colour, channels or a stack of planes.

    What our reader or the axis labels say counts; otherwise a short first axis is channels. Three
    components of more than 8 bits are channels, also where napari shows them as a colour.
    """
    if layer.rgb:
        if layer.ndim > 2:
            return "stack"
        return "colour" if np.dtype(_level(layer).dtype) == np.uint8 else "channels"
    if layer.ndim == 2:
        return "grey"
    if layer.ndim == 3:
        if layer.metadata.get(MICROGRAPH, {}).get("axes") == "CYX":
            return "channels"
        label = layer.axis_labels[0].casefold()
        if label in ("c", "channel", "channels"):
            return "channels"
        if label in ("z", "t", "time", "depth"):
            return "stack"
        shape = _level(layer).shape
        if shape[0] <= MOST_GUESSED_CHANNELS and min(shape[1:]) > 4 * shape[0]:
            return "channels"
    return "stack"


def is_guessed(layer: Image) -> bool:
    """Whether the first axis of a layer could be either channels or planes."""
    known = layer.metadata.get(MICROGRAPH, {}).get("axes")
    return layer.ndim == 3 and not layer.rgb and known is None


def component_count(layer: Image) -> int:
    """Colour components of a colour layer, or the length of the first axis of a 3-D one."""
    data = _level(layer)
    if layer.rgb:
        return 3
    return int(data.shape[0]) if data.ndim == 3 else 1


def component_names(layer: Image) -> tuple[str, ...]:
    """Names of the channels of a layer, where our reader found them in the file."""
    if layer.rgb and np.dtype(_level(layer).dtype) == np.uint8:
        return ("red", "green", "blue")
    names = tuple(layer.metadata.get(MICROGRAPH, {}).get("channel_names", ()))
    return names if len(names) == component_count(layer) else ()


def path_of(layer: Layer) -> Path | None:
    """File a layer was read from."""
    path = layer.metadata.get(MICROGRAPH, {}).get("path") or layer.source.path
    return Path(path) if path else None


def field_shape(layer: Layer) -> tuple[int, int]:
    """Height and width of a layer in pixels."""
    shape = _level(layer).shape
    last = -1 if getattr(layer, "rgb", False) else None
    height, width = shape[:last][-2:]
    return int(height), int(width)


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
    shape = _level(layer).shape[:before]
    steps = point[: len(point) - 2][-before:] if before else ()
    steps = (0,) * (before - len(steps)) + tuple(steps)
    return tuple(int(np.clip(s, 0, n - 1)) for s, n in zip(steps, shape, strict=True))


def read_layer(layer: Image, kind: Kind, plane: tuple[int, ...] = ()) -> Micrograph | Load:
    """Give the micrograph of an image layer, or for the job a function that gives it.

    Parameters
    ----------
    layer : Image
        Of a multiscale layer the finest level counts.
    kind : Kind
        What to take it for; see `kind_of`.
    plane : tuple of int
        Of a stack: the plane; see `plane_of`.

    Raises
    ------
    NucleisegError
        If the pixels are nothing that can be segmented.
    """
    data = _level(layer)
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
    is_rgb = layer.rgb
    known = layer.metadata.get(MICROGRAPH, {})
    notices = tuple(known.get("notices", ()))

    def load() -> Micrograph:
        # three components are left of red, green, blue and opacity
        pixels = np.array(data[..., :3] if is_rgb else data)
        if is_rgb and axes == "CYX":
            pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
        if pixels.dtype.kind == "b":
            pixels = pixels.astype(np.uint8)
        return Micrograph(pixels, axes, size, names, name, path, notices)

    return load() if _is_in_memory(data) else load


def read_labels_layer(layer: Labels, point: tuple[int, ...]) -> np.ndarray:
    """Give a copy of a labels layer's plane that is shown, (H, W)."""
    return np.array(_level(layer)[plane_of(layer, point)])


def pixel_size_um(layer: Layer) -> tuple[float, float] | None:
    """Height and width of a pixel in µm; None where the layer's units are pixels."""
    known = layer.metadata.get(MICROGRAPH, {}).get("pixel_size_um")
    if known is not None:
        return float(known[0]), float(known[1])
    sizes = []
    for scale, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True):
        if not unit.is_compatible_with("micrometer"):
            return None
        sizes.append(float((scale * unit).to("micrometer").magnitude))
    return sizes[0], sizes[1]


def placement(layer: Layer) -> dict[str, Any]:
    """Where a layer lies, for a 2-D layer on top: scale, translate, rotate, shear, affine, units.

    Only the last two axes count: an image's channel axis has a scale of its own.
    """
    shear = np.asarray(layer.shear)
    return {
        "scale": layer.scale[-2:],
        "translate": layer.translate[-2:],
        "rotate": layer.rotate[-2:, -2:],
        "shear": shear[-2:, -2:] if shear.ndim == 2 else shear[-1:],
        "affine": layer.affine.set_slice([layer.ndim - 2, layer.ndim - 1]),
        "units": layer.units[-2:],
        "axis_labels": layer.axis_labels[-2:],
    }


def _move(layer: Layer, where: dict[str, Any]) -> None:
    """Lay a layer where it belongs; each change lets napari draw the whole layer again."""
    for name, value in where.items():
        now = getattr(layer, name)
        if name == "affine":
            same = np.array_equal(now.affine_matrix, value.affine_matrix)
        else:
            same = np.array_equal(np.asarray(now), np.asarray(value))
        if not same:
            setattr(layer, name, value)


def _level(layer: Layer) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _is_in_memory(data: Any) -> bool:
    """Whether a copy takes no time to speak of: no file behind it, and not huge."""
    array = data
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return False
        if array.base is None:
            return data.nbytes <= COPY_BYTES
        array = array.base
    return isinstance(data, np.ndarray) and isinstance(array, bytes | bytearray)


def fingerprint(data: np.ndarray) -> int:
    """A number that changes when pixels change; of huge arrays only some rows count."""
    step = -(-data.nbytes // COMPARE_BYTES)
    return zlib.crc32(np.ascontiguousarray(data[::step]).data)


# --- one for each viewer --------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """What was asked last: the layer, which plane of it, and how many pixels it had."""

    layer: weakref.ref[Layer]
    plane: tuple[int, ...]
    shape: tuple[int, int]


class Bridge:
    """Connects one viewer to its session; use `bridge_of` or `session_of`.

    Attributes
    ----------
    session : Session
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(viewer)
        child = Child()
        self.session = Session(run_in_thread, partial(_run, child))
        self.session.config = memory.recall_config()
        self._question: Question | None = None
        # result layer of each image layer and plane, and the fingerprint of what was put there
        self._results: weakref.WeakKeyDictionary[Layer, dict[tuple[int, ...], weakref.ref]] = (
            weakref.WeakKeyDictionary()
        )
        self._prints: weakref.WeakKeyDictionary[Layer, tuple[int, int]] = (
            weakref.WeakKeyDictionary()
        )
        self.session.event.connect(self._on_event)
        viewer.layers.events.removed.connect(self._on_removed)
        weakref.finalize(viewer, _let_go, self.session, child)

    @property
    def viewer(self) -> Any:
        """The viewer; None after it was closed."""
        return self._viewer()

    def segment(
        self, layer: Image, kind: Kind, truth: Labels | None = None, **settings: Any
    ) -> None:
        """Find the nuclei of an image layer; the result becomes a layer above it.

        Parameters
        ----------
        layer : Image
        kind : Kind
            What to take it for.
        truth : Labels or None
            A layer with the true nuclei, to compare with.
        **settings
            Settings of the run that differ from the session's.

        Raises
        ------
        NucleisegError
            If the layer cannot be segmented.
        """
        point = self.viewer.dims.current_step
        plane = plane_of(layer, point) if kind == "stack" else ()
        micrograph = read_layer(layer, kind, plane)
        config = self.session.config.model_copy(update=settings)
        earlier = self.result_of(layer, plane)
        self._question = Question(weakref.ref(layer), plane, field_shape(layer))
        self.session.segment(
            micrograph,
            config,
            None if truth is None else read_labels_layer(truth, point),
            None if earlier is None else np.array(earlier.data),
            layer.name,
        )

    def compare(self, layer: Image, kind: Kind, truth: Labels) -> bool:
        """Compare the result of an image layer with true nuclei; False where there is no result."""
        point = self.viewer.dims.current_step
        result = self.result_of(layer, plane_of(layer, point) if kind == "stack" else ())
        if result is None:
            return False
        self.session.score(np.array(result.data), read_labels_layer(truth, point))
        return True

    def result_of(self, layer: Layer, plane: tuple[int, ...] = ()) -> Labels | None:
        """The layer with the last result for an image layer, if it is still there."""
        found = self._results.get(layer, {}).get(plane)
        result = None if found is None else found()
        return result if result is not None and result in self.viewer.layers else None

    def is_edited(self, result: Labels) -> bool:
        """Whether somebody painted, erased or replaced something since the result was put there.

        The pixels decide, so that an edit that was undone is none, and one made from a script or
        another plugin is one. Of huge results some rows are looked at, and the undo history.
        """
        identity, crc = self._prints.get(result, (0, 0))
        if id(result.data) != identity or fingerprint(result.data) != crc:
            return True
        return result.data.nbytes > COMPARE_BYTES and bool(getattr(result, "_undo_history", ()))

    def add_micrograph(self, micrograph: Micrograph) -> Image:
        """Show a micrograph as a layer."""
        data, settings, _ = layer_of(micrograph)
        return self.viewer.add_image(data, **settings)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Segmented):
            self._place(event)
        elif isinstance(event, Opened):
            self.add_micrograph(event.micrograph)

    def _on_removed(self, event: Any) -> None:
        if self._question is not None and self._question.layer() is event.value:
            self._question = None
            self.session.cancel()

    def _place(self, event: Segmented) -> None:
        question, viewer = self._question, self.viewer
        layer = None if question is None else question.layer()
        if viewer is None or layer is None or layer not in viewer.layers:
            return
        if field_shape(layer) != question.shape:
            self.session.event.emit(
                Notice("The image was replaced while it was segmented, so the result is not shown")
            )
            return
        result = self.result_of(layer, question.plane)
        if result is not None and not self.is_edited(result):
            result.data = event.labels
            result.metadata = {**result.metadata, RESULT: event.manifest}
            _move(result, placement(layer))
        else:
            result = Labels(
                event.labels,
                name=self._free_name(layer.name, question.plane),
                metadata={RESULT: event.manifest},
                **placement(layer),
            )
            viewer.layers.insert(viewer.layers.index(layer) + 1, result)
        self._results.setdefault(layer, {})[question.plane] = weakref.ref(result)
        self._prints[result] = (id(result.data), fingerprint(result.data))

    def _free_name(self, image: str, plane: tuple[int, ...]) -> str:
        where = f" (plane {', '.join(str(i + 1) for i in plane)})" if plane else ""
        wanted = f"{image} · nuclei{where}"
        taken = {layer.name for layer in self.viewer.layers}
        name, count = wanted, 1
        while name in taken:
            count += 1
            name = f"{wanted} {count}"
        return name


def layer_of(micrograph: Micrograph) -> tuple[np.ndarray, dict[str, Any], str]:
    """Give a micrograph as napari's layer data: pixels, settings of the layer, ``"image"``."""
    size, labels = micrograph.pixel_size_um, ["y", "x"]
    scale, units = ([1.0, 1.0], ["pixel"] * 2) if size is None else (list(size), ["um"] * 2)
    if micrograph.axes == "CYX":
        labels, scale, units = ["c", *labels], [1.0, *scale], ["pixel", *units]
    known = {
        "axes": micrograph.axes,
        "channel_names": micrograph.channel_names,
        "pixel_size_um": size,
        "path": None if micrograph.path is None else str(micrograph.path),
        "notices": micrograph.notices,
    }
    settings = {
        "name": micrograph.name,
        "rgb": micrograph.is_colour,
        "scale": scale,
        "units": units,
        "axis_labels": labels,
        "metadata": {MICROGRAPH: known},
    }
    pixels = micrograph.pixels
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8)
    if micrograph.axes == "YX":
        # shown as the network sees it: dim nuclei visible, an empty field dark
        low, high = intensity_range(pixels, NormaliseConfig())
        if high > low:
            settings["contrast_limits"] = [low, high]
    return pixels, settings, "image"


def _run(child: Child, function: Callable[..., Iterator[Event]], *args: Any) -> Iterator[Event]:
    """Run work in the child, and meanwhile get ready for what comes of it.

    napari imports pandas for the first labels layer, a quarter of a second in which the window
    would stand still; imported by the job's thread, it comes in small steps.
    """
    importlib.import_module("pandas")
    yield from child.run(function, *args)


def _let_go(session: Session, child: Child) -> None:
    session.close()
    child.close()


_BRIDGES: weakref.WeakKeyDictionary[Any, Bridge] = weakref.WeakKeyDictionary()


def bridge_of(viewer: Any) -> Bridge:
    """Give the bridge of a viewer, one for all its docks.

    napari hands each dock a proxy of its own, which dies with the dock; the viewer behind counts.
    """
    real = getattr(viewer, "__wrapped__", viewer)
    if real not in _BRIDGES:
        _BRIDGES[real] = Bridge(real)
    return _BRIDGES[real]


def session_of(viewer: Any) -> Session:
    """Give the session of a viewer, one for all its docks."""
    return bridge_of(viewer).session
