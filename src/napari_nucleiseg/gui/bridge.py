"""Between napari and the core: a session for each viewer, results into layers.

Everything here runs on the GUI's thread and none of it works on pixels for long.
"""

from __future__ import annotations

import importlib
import importlib.util
import weakref
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer

from ..child import Child
from ..errors import ShapeError
from ..events import Event, Notice, Segmented
from ..learning import Learning
from ..micrograph import Micrograph
from ..session import Session
from ..session_work import Opened
from . import memory
from .aids import nuclei_layers
from .canvas_context import free_in_own_context
from .growing import Slides
from .history import forget_edits
from .in_window import InWindow
from .job import run_in_thread
from .joined import Stacks
from .layers import (
    RESULT,
    Kind,
    field_shape,
    has_opacity_axis,
    layer_of,
    placement,
    plane_of,
    read_labels_layer,
    read_layer,
)

# tells the results of an image apart: indices of a plane, name of a model
Key = tuple[int | str, ...]

# results up to this size are compared pixel by pixel with what was put there (some 30 ms)
COMPARE_BYTES = 64 << 20


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


def fingerprint(data: np.ndarray) -> int:
    """A number that changes when pixels change; of huge arrays only some rows count."""
    step = -(-data.nbytes // COMPARE_BYTES)
    return zlib.crc32(np.ascontiguousarray(data[::step]).data)


# --- one for each viewer --------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """What was asked last: the layer, which plane of it, how many pixels it had, what was shown."""

    layer: weakref.ref[Layer]
    plane: Key
    shape: tuple[int, int]
    point: tuple[float, ...]


@dataclass(frozen=True)
class Placed:
    """How a result was put there: the array, a number that tells its pixels, the layer's name."""

    identity: int
    crc: int
    name: str


class Bridge:
    """Connects one viewer to its session; use `bridge_of` or `session_of`.

    Attributes
    ----------
    session : Session
    learning : Learning
    stacks : Stacks
        Segments all planes of a layer.
    slides : Slides
        Segments layers that are too large for the memory.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(viewer)
        child = Child()
        self.session = Session(run_in_thread, partial(run_in_child, child), stop=child.stop)
        self.session.config = memory.recall_config()
        self.session.joining = memory.recall_joining()
        self.learning = Learning(run_in_thread, Child, InWindow)
        self.slides = Slides(self._viewer, self.session)
        self._question: Question | None = None
        # result layer of each image layer and plane, and what was put there
        self._results: weakref.WeakKeyDictionary[Layer, dict[Key, weakref.ref]] = (
            weakref.WeakKeyDictionary()
        )
        self._placed: weakref.WeakKeyDictionary[Layer, Placed] = weakref.WeakKeyDictionary()
        # puts a new result around what a person corrected; gives that layer and says so, or nothing
        self.merge: Callable[..., tuple[Labels, str] | None] = lambda *_: None
        self.stacks = Stacks(self)
        self.session.event.connect(self._on_event)
        viewer.layers.events.removed.connect(self._on_removed)
        free_in_own_context(viewer)
        weakref.finalize(viewer, _let_go, self.session, child, self.learning)

    @property
    def viewer(self) -> Any:
        """The viewer; None after it was closed."""
        return self._viewer()

    @property
    def asked(self) -> Layer | None:
        """The image that is or was segmented last, if it is still there."""
        return None if self._question is None else self._question.layer()

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
        self.ask(layer, plane)
        self.session.segment(
            micrograph,
            config,
            None if truth is None else read_labels_layer(truth, point),
            None if earlier is None else np.array(earlier.data),
            layer.name,
        )

    def ask(self, layer: Image, key: Key) -> None:
        """Note what is segmented now."""
        self._question = Question(
            weakref.ref(layer), key, field_shape(layer), tuple(self.viewer.dims.point)
        )

    def compare(self, layer: Image, kind: Kind, truth: Labels) -> bool:
        """Compare the result of an image layer with true nuclei; False where there is no result."""
        point = self.viewer.dims.current_step
        result = self.result_of(layer, plane_of(layer, point) if kind == "stack" else ())
        if result is None:
            return False
        self.session.score(np.array(result.data), read_labels_layer(truth, point))
        return True

    def show_labels(
        self,
        layer: Image,
        labels: np.ndarray,
        manifest: dict[str, Any],
        model: str,
        plane: tuple[int, ...] = (),
    ) -> Labels:
        """Show what one of several models found, as a layer of its own above the image.

        Parameters
        ----------
        layer : Image
        labels : (H, W) int32 ndarray
        manifest : dict
            How it was made.
        model : str
            What to call the model; empty for the result of the image, as *Segment* gives it.
        plane : tuple of int
            Of a stack: the plane that was segmented.

        Raises
        ------
        ShapeError
            If the layer has another size by now.
        """
        if field_shape(layer) != labels.shape:
            raise ShapeError(
                "The image was replaced since it was segmented, so the result is not shown",
                layer.name,
                "Do it again",
            )
        return self.put(layer, (*plane, model) if model else plane, labels, manifest)

    def truth_layers(self) -> list[Labels]:
        """Labels that can be the true nuclei: no results, except those the user made his own."""
        layers = nuclei_layers(self.viewer)
        return [x for x in layers if RESULT not in x.metadata or self.is_kept(x)]

    def result_of(self, layer: Layer, key: Key = ()) -> Labels | None:
        """The layer with the last result for an image layer, if it is still there.

        Parameters
        ----------
        layer : Layer
        key : tuple
            The plane of a stack, and the name of the model where several were compared.
        """
        found = self._results.get(layer, {}).get(key)
        result = None if found is None else found()
        return result if result is not None and result in self.viewer.layers else None

    def move_results(self, layer: Layer) -> None:
        """Lay the results of an image on it again, after its scale was changed."""
        found = [reference() for reference in self._results.get(layer, {}).values()]
        for result in (*found, self.stacks.tracks_of(layer)):
            if result is not None and result in self.viewer.layers:
                axes = (
                    None if result.ndim == 2 else list(range(layer.ndim - result.ndim, layer.ndim))
                )
                where = placement(layer, axes)
                # it may be at one plane of an axis, and stays there
                del where["translate"]
                _move(result, where)

    def is_kept(self, labels: Labels) -> bool:
        """Whether a result is the user's own now: renamed, or left where a new one came."""
        placed = self._placed.get(labels)
        if placed is None:
            return False
        current = {id(ref()) for known in self._results.values() for ref in known.values()}
        return placed.name != labels.name or id(labels) not in current

    def is_edited(self, result: Labels) -> bool:
        """Whether somebody painted, erased or replaced something since the result was put there.

        The pixels decide, so that an edit that was undone is none, and one made from a script or
        another plugin is one. Of huge results some rows are looked at, and the undo history.
        """
        placed = self._placed.get(result)
        if placed is None or id(result.data) != placed.identity:
            return True
        if fingerprint(result.data) != placed.crc:
            return True
        return result.data.nbytes > COMPARE_BYTES and bool(getattr(result, "_undo_history", ()))

    def adopt(self, layer: Layer, labels: Labels) -> None:
        """Take labels for the last result of an image that has none."""
        if self.result_of(layer) is None:
            self._results.setdefault(layer, {})[()] = weakref.ref(labels)

    def add_micrograph(self, micrograph: Micrograph, pictures: tuple[str, ...] = ()) -> Image:
        """Show a micrograph as a layer; ``pictures`` names all in its file, if several."""
        data, settings, _ = layer_of(micrograph, pictures)
        return self.viewer.add_image(data, **settings)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Segmented):
            self._place(event)
        elif isinstance(event, Opened):
            self.add_micrograph(event.micrograph, event.pictures)

    def _on_removed(self, event: Any) -> None:
        if self._question is not None and self._question.layer() is event.value:
            self._question = None
            if self.session.is_segmenting:
                self.session.cancel()

    def _place(self, event: Segmented) -> None:
        question, viewer = self._question, self.viewer
        layer = None if question is None else question.layer()
        if viewer is None or layer is None or layer not in viewer.layers:
            return
        if field_shape(layer) != question.shape:
            self.say_replaced()
            return
        self.put(layer, question.plane, event.labels, event.manifest)
        self._show_channel(layer, question, event)

    def say_replaced(self) -> None:
        """Tell why there is no result: it would not lie on what is there now."""
        said = "The image was replaced while it was segmented, so the result is not shown"
        self.session.event.emit(Notice(said))

    def put(
        self,
        layer: Layer,
        key: Key,
        labels: np.ndarray,
        manifest: dict[str, Any],
        where: dict[str, Any] | None = None,
    ) -> Labels:
        """Put a result above its image, in the place of its last one unless that was changed.

        Parameters
        ----------
        layer : Layer
            The image.
        key : tuple
            What tells it from other results of the image; see `result_of`.
        labels : integer ndarray
        manifest : dict
            How it was made.
        where : dict, optional
            Where it lies; by itself on height and width of the image.
        """
        where = placement(layer) if where is None else where
        viewer, result = self.viewer, self.result_of(layer, key)
        merged = self.merge(layer, key, result, labels)
        if merged is not None:
            corrected, said = merged
            corrected.metadata = {**corrected.metadata, RESULT: manifest}
            self.session.event.emit(Notice(said))
            return corrected
        why = "" if result is None else self._why_kept(result)
        if result is not None and not why:
            forget_edits(result)
            result.data = labels
            result.metadata = {**result.metadata, RESULT: manifest}
            _move(result, where)
        else:
            kept, result = (
                result,
                Labels(
                    labels,
                    name=self._free_name(layer.name, key),
                    metadata={RESULT: manifest},
                    **where,
                ),
            )
            below = layer if kept is None else max(layer, kept, key=viewer.layers.index)
            viewer.layers.insert(viewer.layers.index(below) + 1, result)
            if kept is not None:
                kept.visible = False
                said = f"Your {why} labels are kept, hidden below: {kept.name}."
                self.session.event.emit(Notice(said))
        self._results.setdefault(layer, {})[key] = weakref.ref(result)
        self._placed[result] = Placed(id(result.data), fingerprint(result.data), result.name)
        return result

    def _why_kept(self, result: Labels) -> str:
        """Say what somebody did to a result, so that it must not be overwritten; or nothing."""
        if self.is_edited(result):
            return "edited"
        return "" if result.name == self._placed[result].name else "renamed"

    def _show_channel(self, layer: Layer, question: Question, event: Segmented) -> None:
        """Show the channel in which nuclei were found, unless the user looks at another one now."""
        number = event.manifest.get("input", {}).get("channel_number")
        dims, axis = self.viewer.dims, self.viewer.dims.ndim - layer.ndim
        if number is None or layer.ndim != 3 or layer.rgb or has_opacity_axis(layer):
            return
        if dims.point[axis] == question.point[axis - dims.ndim]:
            dims.set_point(axis, layer.data_to_world((number - 1, 0, 0))[0])

    def _free_name(self, image: str, key: Key) -> str:
        plane = ", ".join(str(i + 1) for i in key if isinstance(i, int))
        models = [part for part in key if isinstance(part, str)]
        which = ", ".join([*([f"plane {plane}"] if plane else []), *models])
        wanted = f"{image} · nuclei{f' ({which})' if which else ''}"
        taken = {layer.name for layer in self.viewer.layers}
        name, count = wanted, 1
        while name in taken:
            count += 1
            name = f"{wanted} {count}"
        return name


def run_in_child(
    child: Child, function: Callable[..., Iterator[Event]], *args: Any
) -> Iterator[Event]:
    """Run work in the child, and meanwhile get ready for what comes of it.

    napari imports pandas for the first labels layer, a quarter of a second in which the window
    would stand still; imported by the job's thread, it comes in small steps. A napari that needs
    no pandas, or brings none, is as good.
    """
    if importlib.util.find_spec("pandas") is not None:
        importlib.import_module("pandas")
    yield from child.run(function, *args)


def _let_go(session: Session, child: Child, learning: Learning) -> None:
    session.close()
    child.close()
    learning.close()


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
