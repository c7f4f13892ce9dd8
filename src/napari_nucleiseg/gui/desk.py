"""All corrections of one viewer: each layer with its states, its recording, its reviewed areas.

They outlive the dock, so that closing it ends neither the marking of what is painted nor its
keeping.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from psygnal import Signal
from qtpy.QtCore import QTimer

from ..editing import Change, Emptying, in_plane
from ..errors import ShapeError
from ..events import Event
from ..project import Corrected
from ..tasks import Task
from .bridge import Bridge, Key, bridge_of
from .closing import Asking
from .correctable import add_nuclei, check, own_file, widen
from .correcting import Correcting
from .job import run_in_thread
from .layers import MICROGRAPH, field_shape
from .projects import Projects, keep_image
from .recording import Recording
from .reviewed_layer import ReviewedLayer


@dataclass(frozen=True)
class ImageKept(Event):
    """An image that had no file has one now."""

    path: Path


@dataclass(frozen=True)
class Lost:
    """Corrections whose layer or image was deleted, and whether a project holds all of them."""

    image: Image
    correcting: Correcting
    is_kept: bool


@dataclass(eq=False)
class Place:
    """One image on the desk.

    Attributes
    ----------
    recording : Recording
    correcting : Correcting or None
        Corrections of the labels layer that is chosen for it.
    areas : ReviewedLayer or None
    recorded : Correcting or None
        Corrections that go to the project; those of another layer of the image do not.
    """

    recording: Recording
    correcting: Correcting | None = None
    areas: ReviewedLayer | None = None
    recorded: Correcting | None = None
    by_layer: dict[Labels, tuple[Correcting, ReviewedLayer]] = field(default_factory=dict)


class Desk:
    """What is corrected in one viewer; use `desk_of`.

    Attributes
    ----------
    changed : Signal(Change or None, tuple of int)
        Something in the chosen layer changed: pixels, and numbers of nuclei with a new state.
    chosen : Signal()
        Another nucleus is looked at.
    kept : Signal()
        Where and since when corrections of the chosen image are kept, or found.
    said : Signal(str)
    failed : Signal(Exception)
    """

    changed = Signal(object, object)
    chosen = Signal()
    kept = Signal()
    said = Signal(str)
    failed = Signal(object)

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.keeps_on_segmenting = True
        self._projects = Projects()
        self._places: weakref.WeakKeyDictionary[Image, Place] = weakref.WeakKeyDictionary()
        self._now: Place | None = None
        self._asking = Asking(bridge.viewer)
        self._lost: Lost | None = None
        # corrected layers whose image was deleted
        self._orphans: weakref.WeakKeyDictionary[Labels, Lost] = weakref.WeakKeyDictionary()
        bridge.merge = self._merge
        bridge.viewer.layers.events.removed.connect(self._on_removed)
        weakref.finalize(bridge.viewer, _let_go, self._projects)

    # --- what is chosen ----------------------------------------------------------------------

    @property
    def correcting(self) -> Correcting | None:
        """Corrections of the chosen layer."""
        return None if self._now is None else self._now.correcting

    def place_of(self, image: Image) -> Place | None:
        """What is kept about an image, where its nuclei were corrected."""
        return self._places.get(image)

    @property
    def recording(self) -> Recording | None:
        """What keeps those of the chosen image."""
        return None if self._now is None else self._now.recording

    @property
    def areas(self) -> ReviewedLayer | None:
        """Reviewed areas of the chosen layer."""
        return None if self._now is None else self._now.areas

    @property
    def lost(self) -> str:
        """Name of the layer that was deleted with its corrections and can be shown again."""
        return "" if self._lost is None else self._lost.correcting.layer.name

    def choose(self, image: Image | None, labels: Labels | None) -> None:
        """Choose what to correct.

        Raises
        ------
        NucleisegError
            If these labels cannot be corrected, or are not of this image; the image is chosen all
            the same, so that earlier corrections of it are found.
        """
        if image is None:
            self._now = None
            return
        place = self._places.get(image)
        is_new = place is None
        if place is None:
            place = self._places[image] = Place(Recording(self._projects))
            self._hear(place)
        self._now = place
        place.correcting = place.areas = None
        path = own_file(image)
        if is_new and path is not None:
            place.recording.look(path)
        if labels is not None:
            check(image, labels)
            self._take(place, image, labels)
            place.correcting, place.areas = place.by_layer[labels]
        self.kept.emit()

    def _take(self, place: Place, image: Image, labels: Labels) -> None:
        """Listen to a layer from now on."""
        if labels not in place.by_layer:
            widen(labels)
            correcting = Correcting(image, labels)
            shapes = ReviewedLayer(self.bridge.viewer, correcting)
            place.by_layer[labels] = correcting, shapes
            self._follow(place, correcting, shapes)

    def _hear(self, place: Place) -> None:
        recording = place.recording
        alive = weakref.ref(self)

        def tell(name: str) -> Callable[..., None]:
            def call(*values: Any) -> None:
                desk = alive()
                if desk is not None and desk._now is place:
                    getattr(desk, name).emit(*values)

            return call

        recording.changed.connect(tell("kept"))
        recording.said.connect(tell("said"))
        recording.failed.connect(tell("failed"))
        recording.changed.connect(lambda: _begin_if_waiting(place))
        recording.changed.connect(self._show_unkept)
        recording.restored.connect(lambda corrected: self._show(place, corrected))

    def _follow(self, place: Place, correcting: Correcting, shapes: ReviewedLayer) -> None:
        def is_recorded() -> bool:
            other = place.recorded
            if other in (None, correcting) or place.recording.stage not in _KEEPING:
                place.recorded = correcting
                return True
            if other.layer not in self.bridge.viewer.layers:
                # what there was is gone: from now on this layer is kept, as it is
                _begin(place, correcting)
                return True
            self.said.emit(
                f"The project keeps the corrections of {other.layer.name}; those of "
                f"{correcting.layer.name} are not kept. Save the layer."
            )
            return False

        def on_changed(change: Change, states: dict[int, Any], emptied: Emptying) -> None:
            self._adopt(correcting)
            if not is_recorded():
                if place.correcting is correcting and self._now is place:
                    self.changed.emit(change, tuple(states))
                return
            if place.recording.wants_begin:
                before = np.array(correcting.layer.data)
                change.reverse().apply(before)
                known = {n: s for n, s in correcting.states.items() if n not in states}
                empty = emptied.reverse().apply(correcting.emptied)
                place.recording.begin(before, known, correcting.areas, empty)
            place.recording.record(change, states, emptied=emptied)
            if place.correcting is correcting and self._now is place:
                self.changed.emit(change, tuple(states))

        def on_reviewed() -> None:
            shapes.show()
            if not is_recorded():
                pass
            elif place.recording.wants_begin:
                _begin(place, correcting)
            else:
                place.recording.record(areas=correcting.areas)
            if place.correcting is correcting and self._now is place:
                self.changed.emit(None, ())

        def on_chosen() -> None:
            if place.correcting is correcting and self._now is place:
                self.chosen.emit()

        def on_data() -> None:
            if correcting.layer.data.shape[-2:] == field_shape(correcting.image):
                correcting.restart()
                if place.recording.stage == "recording" and place.recorded is correcting:
                    _begin(place, correcting)
            if self._now is place:
                self.kept.emit()

        correcting.changed.connect(on_changed)
        correcting.reviewed.connect(on_reviewed)
        correcting.chosen.connect(on_chosen)
        correcting.layer.events.data.connect(on_data)

    # --- a new segmentation ------------------------------------------------------------------

    def _adopt(self, correcting: Correcting) -> None:
        """Let a new segmentation of the image know that this layer is its result."""
        image, layer = correcting.image, correcting.layer
        if layer.ndim == 2 and not layer.name.endswith("· truth"):
            self.bridge.adopt(image, layer)

    def _merge(
        self, image: Image, key: Key, result: Labels | None, labels: np.ndarray
    ) -> tuple[Labels, str] | None:
        """Put a new prediction around what a person did; say what was kept, nothing if none."""
        found = self._to_merge(image, key, result) if self.keeps_on_segmenting else None
        if found is None:
            return None
        correcting, at = found
        layer = correcting.layer
        if not correcting.is_touched or labels.shape != layer.data.shape[len(at) :]:
            return None
        count = correcting.take_prediction(labels, at)
        what = "nucleus was" if count == 1 else "nuclei were"
        where = f"plane {', '.join(str(i + 1) for i in at)} of {layer.name}" if at else layer.name
        kept = f"{count} edited or confirmed {what} kept in {where}"
        if in_plane(correcting.emptied, at, layer.data.shape).size:
            deleted = "what you deleted stays deleted"
            kept = f"{kept}, {deleted}" if count else f"In {where} {deleted}"
        return layer, f"{kept}; the model filled the rest. Undo (Ctrl+Z) takes it back."

    def _to_merge(
        self, image: Image, key: Key, result: Labels | None
    ) -> tuple[Correcting, tuple[int, ...]] | None:
        """Corrections that a new result of an image belongs to, and where in them."""
        place = self._places.get(image)
        chosen = None if place is None else place.correcting
        at = tuple(part for part in key if isinstance(part, int))
        if at and at == key and chosen is not None and chosen.is_touched:
            # the plane of a stack, the nuclei of which are one layer
            stack = chosen.layer.data.shape[:-2]
            if len(stack) == len(at) and all(i < n for i, n in zip(at, stack, strict=True)):
                return chosen, at
        for other in self._places.values():
            if result in other.by_layer:
                return other.by_layer[result][0], ()
        return None

    # --- earlier corrections -----------------------------------------------------------------

    def _show(self, place: Place, corrected: Corrected) -> None:
        """Show earlier corrections, in the chosen layer unless somebody worked on it meanwhile."""
        image = next((k for k, v in self._places.items() if v is place), None)
        if image is None or image not in self.bridge.viewer.layers:
            return
        if corrected.labels.shape[-2:] != field_shape(image):
            place.recording.put_back()
            self.failed.emit(
                ShapeError(
                    "The corrections are of an image of another size",
                    "{}×{} px, not {}×{} px".format(
                        *corrected.labels.shape[-2:], *field_shape(image)
                    ),
                    "Open the image that they were made on",
                )
            )
            return
        layer, before = None, place.correcting
        names = (f"{image.name} · nuclei",)
        if before is not None and not before.is_touched and before.layer.name in names:
            # another one may be the truth, or nuclei of somebody else
            layer = before.layer
        if layer is None or layer.data.shape != corrected.labels.shape:
            layer = add_nuclei(self.bridge.viewer, image, corrected.labels)
            self._take(place, image, layer)
        else:
            stage, place.recording.stage = place.recording.stage, "looking"
            layer.data = corrected.labels
            place.recording.stage = stage
        place.correcting, place.areas = place.by_layer[layer]
        place.recorded = place.correcting
        place.correcting.put(corrected.states, corrected.reviewed, corrected.emptied)
        place.areas.show()
        self._adopt(place.correcting)
        self.kept.emit()
        if before is not None and before is not place.correcting:
            before.layer.visible = False
            self.said.emit(f"What you did before stays in {before.layer.name}, hidden.")

    # --- an image without a file -------------------------------------------------------------

    def keep_in(self, image: Image, folder: Path) -> None:
        """Keep corrections of an image in a folder; one without a file is written there, too."""
        recording = self._places[image].recording
        path = own_file(image)
        if path is not None:
            recording.look(path, folder)
            return
        name = image.name
        pixels = np.asarray(image.data[0] if image.multiscale else image.data)

        def work() -> Iterator[Event]:
            yield ImageKept(keep_image(folder, name, pixels))

        def on_event(event: Event) -> None:
            if isinstance(event, ImageKept):
                known = image.metadata.get(MICROGRAPH, {})
                kept = {**known, "path": str(event.path)}
                image.metadata = {**image.metadata, MICROGRAPH: kept}
                recording.look(event.path, folder)

        title = f"Keeping {name}"
        run_in_thread(Task(title, work(), on_event, self.failed.emit, lambda: None, lambda: None))

    def _show_unkept(self) -> None:
        """Let napari ask before its window closes on corrections that are kept nowhere."""
        names = [i.name for i, place in self._places.items() if place.recording.unkept]
        self._asking.show(f"corrections of {', '.join(names)} are not kept" if names else "")

    # --- layers that go ----------------------------------------------------------------------

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if isinstance(layer, Image):
            self._let_image_go(layer)
        elif isinstance(layer, Shapes):
            # later, when it is known whether the nuclei went with it
            QTimer.singleShot(0, self._let_areas_go)
        elif layer in self._orphans:
            self._lose(self._orphans.pop(layer))
        else:
            for image, place in list(self._places.items()):
                found = place.by_layer.pop(layer, None)
                if found is None:
                    continue
                correcting, _ = found
                correcting.close()
                if place.correcting is correcting:
                    place.correcting = place.areas = None
                self._lose(Lost(image, correcting, place.recording.keeps_all))

    def _let_areas_go(self) -> None:
        """Let no area count whose layer was deleted while its nuclei are still there."""
        viewer = self.bridge.viewer
        if viewer is None:
            return
        for image, place in list(self._places.items()):
            for layer, (correcting, shapes) in list(place.by_layer.items()):
                is_there = image in viewer.layers and layer in viewer.layers
                if is_there and correcting.areas and shapes.was_deleted:
                    correcting.review(())
                    self.said.emit(
                        f"The reviewed areas of {image.name} were deleted and count no more. Undo "
                        "(Ctrl+Z) brings them back."
                    )

    def _let_image_go(self, image: Image) -> None:
        place = self._places.pop(image, None)
        if self._lost is not None and self._lost.image is image and self._lost.is_kept:
            # it is found in the project when the image is opened again
            self._lost = None
        if place is not None:
            place.recording.close()
            for layer, (correcting, _) in place.by_layer.items():
                correcting.close()
                self._orphans[layer] = Lost(image, correcting, place.recording.keeps_all)
            if self._now is place:
                self._now = None
            used = {other.recording.folder for other in self._places.values()}
            self._projects.let_go(place.recording.folder, used)
        self._show_unkept()
        self.kept.emit()

    def _lose(self, lost: Lost) -> None:
        """Offer to bring back what was deleted, unless the project offers it."""
        is_found_again = lost.is_kept and lost.image not in self.bridge.viewer.layers
        if lost.correcting.is_touched and not is_found_again:
            self._lost = lost
        self.kept.emit()

    def bring_back(self) -> None:
        """Show the layer again that was deleted with its corrections."""
        lost, self._lost = self._lost, None
        if lost is None:
            return
        before, layers = lost.correcting, self.bridge.viewer.layers
        layers.append(before.layer)
        layers.selection.active = before.layer
        if lost.image in layers:
            self.choose(lost.image, before.layer)
            if self.correcting is not None and self.areas is not None:
                self.correcting.take_over(before)
                self.areas.show()
        self.kept.emit()

    def forget_lost(self) -> None:
        """Let go of the layer that was deleted; what is in a project stays there."""
        self._lost = None
        self.kept.emit()


def _begin(place: Place, correcting: Correcting) -> None:
    """Save what there is; a stroke after it lets it be found again, whatever it holds."""
    data = np.array(correcting.layer.data)
    place.recorded = correcting
    states = dict(correcting.states)
    place.recording.begin(data, states, correcting.areas, correcting.emptied)
    place.recording.record(areas=correcting.areas)


def _begin_if_waiting(place: Place) -> None:
    """Save what was done before there was a place for it."""
    correcting, recording = place.correcting, place.recording
    if correcting is not None and recording.wants_begin and recording.has_waiting:
        _begin(place, correcting)


def _let_go(projects: Projects) -> None:
    projects.close()


_KEEPING = ("beginning", "recording")
_DESKS: weakref.WeakKeyDictionary[Any, Desk] = weakref.WeakKeyDictionary()


def desk_of(viewer: Any) -> Desk:
    """Give the desk of a viewer, one for all its docks."""
    bridge = bridge_of(viewer)
    if bridge.viewer not in _DESKS:
        _DESKS[bridge.viewer] = Desk(bridge)
    return _DESKS[bridge.viewer]


def corrected_nuclei(viewer: Any, image: Image, labels: Labels) -> list[int]:
    """Numbers of the nuclei of a layer that were edited or confirmed; none without a desk."""
    desk = _DESKS.get(viewer)
    place = None if desk is None else desk.place_of(image)
    correcting = None if place is None else place.correcting
    return list(correcting.states) if correcting and correcting.layer is labels else []


def is_corrected(viewer: Any, image: Image) -> bool:
    """Whether a person has decided on anything in the nuclei of an image."""
    desk = _DESKS.get(viewer)
    place = None if desk is None else desk.place_of(image)
    return place is not None and place.correcting is not None and place.correcting.is_touched
