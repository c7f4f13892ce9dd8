"""All planes of a stack in layers: what is found so far, the joined nuclei, their tracks."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer, Tracks

from ..config import JoinConfig
from ..errors import ShapeError
from ..events import Event, Joined, Notice, PlaneDone
from ..trackers import Movie
from .aids import SHOWS
from .axes import axes_of, chosen_planes, read_stack, stack_placement
from .layers import RESULT, field_shape, level_of, pixel_size_um, plane_of

if TYPE_CHECKING:
    from .bridge import Bridge

PLANES = {"Z": "focal planes", "T": "time points"}


class _Folder:
    """A folder for the labels of all planes; gone as soon as nobody holds it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="nucleiseg-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(eq=False)
class _Run:
    """What is on its way: of which layer, along which of its axes, at which other planes."""

    layer: weakref.ref[Image]
    axes: str
    at: int
    plane: tuple[int, ...]
    folder: _Folder
    preview: weakref.ref[Labels] | None = field(default=None)

    @property
    def key(self) -> tuple[int | str, ...]:
        """What tells its result from others of the same image."""
        others = (p for i, p in enumerate(self.plane) if i != self.at)
        return (*others, f"all {PLANES[self.axes[self.at]]}")

    def spread(self, labels: np.ndarray) -> np.ndarray:
        """Give (N, H, W) labels the axes between the joined one and the height."""
        between = len(self.plane) - self.at - 1
        return labels.reshape(labels.shape[:1] + (1,) * between + labels.shape[1:])


class Stacks:
    """Segments all planes of image layers of a viewer, and shows what comes of it.

    Parameters
    ----------
    bridge : Bridge
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = weakref.ref(bridge)
        self._run: _Run | None = None
        self._tracks: weakref.WeakKeyDictionary[Layer, dict[Any, weakref.ref[Tracks]]] = (
            weakref.WeakKeyDictionary()
        )
        self._movies: weakref.WeakKeyDictionary[Layer, weakref.ref[Labels]] = (
            weakref.WeakKeyDictionary()
        )
        # their labels are mapped from there
        self._folders: weakref.WeakKeyDictionary[Labels, _Folder] = weakref.WeakKeyDictionary()
        bridge.session.event.connect(self._on_event)
        bridge.session.state_changed.connect(self._on_state)

    def segment(self, layer: Image, joining: JoinConfig, **settings: Any) -> None:
        """Find the nuclei of all planes, the one that is shown first, and join them.

        Parameters
        ----------
        layer : Image
        joining : JoinConfig
        **settings
            Settings of the run that differ from the session's.

        Raises
        ------
        NucleisegError
            If the layer cannot be segmented, or has no such planes.
        """
        bridge = self._bridge()
        if bridge is None:
            return
        axes, letter = axes_of(layer), joining.join.upper()
        at = axes.find(letter)
        if at < 0:
            what = f"The image has no {PLANES[letter]}"
            raise ShapeError(what, layer.name, "Choose under Axes what its sliders count")
        plane = plane_of(layer, bridge.viewer.dims.current_step)
        chosen = chosen_planes(axes, plane, letter)
        config = bridge.session.config.model_copy(update={**settings, **chosen})
        micrograph = read_stack(layer, axes)
        run = self._run = _Run(weakref.ref(layer), axes, at, plane, _Folder())
        bridge.ask(layer, run.key)
        bridge.session.segment_stack(
            micrograph, config, joining, run.folder.path, plane[at], layer.name
        )

    @property
    def letter(self) -> str:
        """Letter of the axis whose planes are segmented now; empty where none are."""
        return "" if self._run is None else self._run.axes[self._run.at]

    def movie_of(self, layer: Image) -> tuple[str, Movie] | None:
        """The nuclei of all time points of an image as they are now, corrections included."""
        bridge, reference = self._bridge(), self._movies.get(layer)
        labels = None if reference is None else reference()
        if bridge is None or labels is None or labels not in bridge.viewer.layers:
            return None
        data = np.asarray(labels.data)
        planes = data.reshape(data.shape[:1] + data.shape[-2:])
        return layer.name, Movie(planes, pixel_size_um(layer))

    def tracks_of(self, layer: Layer) -> Tracks | None:
        """The tracks found last in an image, if they are still there."""
        bridge = self._bridge()
        for reference in reversed(list(self._tracks.get(layer, {}).values())):
            tracks = reference()
            if bridge is not None and tracks is not None and tracks in bridge.viewer.layers:
                return tracks
        return None

    def _on_event(self, event: Event) -> None:
        run, bridge = self._run, self._bridge()
        if run is None or bridge is None or not isinstance(event, PlaneDone | Joined):
            return
        layer = run.layer()
        if layer is None or layer not in bridge.viewer.layers:
            return
        if isinstance(event, PlaneDone):
            self._show_plane(bridge, layer, run, event)
        else:
            self._show_all(bridge, layer, run, event)

    def _on_state(self, state: str) -> None:
        """Take away what was shown on the way: of a run that is stopped, nothing is kept."""
        if self._run is not None and state in ("done", "cancelled", "failed"):
            self._remove_preview(self._run)
            self._run = None

    def _show_plane(self, bridge: Bridge, layer: Image, run: _Run, event: PlaneDone) -> None:
        preview = None if run.preview is None else run.preview()
        if preview is not None and preview in bridge.viewer.layers:
            # the file is mapped, so what the other process wrote is there
            preview.refresh()
        elif run.preview is None:
            layers = bridge.viewer.layers
            preview = Labels(
                run.spread(np.load(event.labels, mmap_mode="r")),
                name=f"{layer.name} · nuclei so far",
                metadata={RESULT: {SHOWS: "planes that are done"}},
                **stack_placement(layer, run.at, run.plane),
            )
            preview.editable = False
            earlier = bridge.result_of(layer, run.key)
            below = layer if earlier is None else max(layer, earlier, key=layers.index)
            layers.insert(layers.index(below) + 1, preview)
            run.preview = weakref.ref(preview)

    def _show_all(self, bridge: Bridge, layer: Image, run: _Run, event: Joined) -> None:
        self._remove_preview(run)
        # edits stay in memory; pages that nobody edits stay in the file
        labels = run.spread(np.load(event.labels, mmap_mode="c"))
        shape = level_of(layer).shape
        if (shape[run.at], field_shape(layer)) != (len(labels), labels.shape[-2:]):
            bridge.say_replaced()
            return
        where = stack_placement(layer, run.at, run.plane)
        result = bridge.put(layer, run.key, labels, event.manifest, where)
        if result.data is labels:
            self._folders[result] = run.folder
        if run.axes[run.at] == "T":
            self._movies[layer] = weakref.ref(result)
        if event.tracks and event.count:
            self._show_tracks(bridge, layer, run, event, where)

    def _show_tracks(
        self, bridge: Bridge, layer: Image, run: _Run, event: Joined, where: dict[str, Any]
    ) -> None:
        found = event.tracks
        still = [np.zeros(len(found["t"]))] * (len(run.plane) - run.at - 1)
        if len(still) > 1:
            said = "Tracks of a layer with more than four axes are not shown: napari has no room."
            bridge.session.event.emit(Notice(said))
            return
        rows = [found["track_id"], found["t"], *still, found["y"], found["x"]]
        data = np.column_stack(rows).astype(float)
        known = self._tracks.setdefault(layer, {})
        earlier = known[run.key]() if run.key in known else None
        if earlier is not None and earlier in bridge.viewer.layers:
            bridge.viewer.layers.remove(earlier)
        tracks = Tracks(
            data,
            features={"area": found["area"]},
            name=f"{layer.name} · tracks",
            metadata={RESULT: event.manifest},
            **where,
        )
        bridge.viewer.layers.append(tracks)
        known[run.key] = weakref.ref(tracks)

    def _remove_preview(self, run: _Run) -> None:
        preview = None if run.preview is None else run.preview()
        bridge = self._bridge()
        if bridge is not None and bridge.viewer is not None and preview in bridge.viewer.layers:
            bridge.viewer.layers.remove(preview)
