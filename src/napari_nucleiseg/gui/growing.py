"""Slides: pictures that are segmented block by block, and their labels as they grow."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from napari.layers import Image, Labels

from .. import batch
from ..events import Event, Streamed, TileDone
from ..io import open_micrograph
from ..result_names import Item, name_items, owner_of
from ..session import Session
from ..streaming import unfinished
from .aids import SHOWS
from .layers import (
    MICROGRAPH,
    RESULT,
    Kind,
    field_shape,
    is_as_in_shell,
    path_of,
    placement,
    series_of,
)
from .planes import shell_settings


def is_slide(layer: Image, kind: Kind, plane: tuple[int, ...] = ()) -> bool:
    """Whether a layer is segmented from its file, block by block: large, and not in memory.

    Of a stack it is the plane, if the command line finds the same one.
    """
    height, width = field_shape(layer)
    is_lazy = layer.multiscale or not hasattr(layer.data, "base")
    is_large = height * width > batch.STREAM_PIXELS
    # channels that are a file each lie in no file together
    is_one_file = not layer.metadata.get(MICROGRAPH, {}).get("files")
    is_named = kind != "stack" or shell_settings(layer, plane) is not None
    return is_large and is_lazy and is_one_file and is_named and is_as_in_shell(layer)


def default_folder(layer: Image) -> Path:
    """Where the label image of a slide goes by itself: beside the slide."""
    path = path_of(layer)
    return Path.cwd() if path is None else path.parent


class Slides:
    """Segments slides of one viewer, and shows the labels there are after each block.

    Parameters
    ----------
    viewer : callable
        Gives the viewer, or None after it was closed.
    session : Session
    """

    def __init__(self, viewer: Callable[[], Any], session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._image: weakref.ref[Image] | None = None
        self._target = Path()
        self._is_at_work = False
        self._plane: tuple[int, ...] = ()
        self._layers: weakref.WeakKeyDictionary[
            Image, dict[tuple[int, ...], weakref.ref[Labels]]
        ] = weakref.WeakKeyDictionary()
        session.event.connect(self._on_event)
        session.state_changed.connect(self._on_state)

    def segment(
        self, layer: Image, out: Path, settings: dict[str, Any], plane: tuple[int, ...] = ()
    ) -> Path:
        """Segment the file of a layer into a folder, as the command line does.

        Parameters
        ----------
        layer : Image
        out : Path
            Gets the label image and its record. What is there of a run that was stopped is gone
            on with.
        settings : dict
            Settings of the run that differ from the session's.
        plane : tuple of int
            Of a stack: the plane; see `layers.plane_of`.

        Returns
        -------
        Path
            Where the labels lie until they are complete.
        """
        path = path_of(layer)
        if path is None:
            raise TypeError(f"{layer.name} has no file")
        # what a person says of its axes and its pixels counts for the file, too
        said = shell_settings(layer, plane) or {}
        item = _item_of(layer, path, out, said)
        self._image, self._target = weakref.ref(layer), item.result(out, "_labels.ome.zarr")
        self._plane = plane
        before = self.labels_of(layer, plane)
        if before is not None:
            # its file is about to change
            self._viewer().layers.remove(before)
        config = self._session.config.model_copy(update={**settings, **said})
        self._is_at_work = True
        self._session.segment_file(item, out, config)
        return unfinished(self._target)

    def is_asked(self, layer: Image | None) -> bool:
        """Whether this is the slide that is or was segmented last."""
        return layer is not None and self._image is not None and self._image() is layer

    def labels_of(self, layer: Image, plane: tuple[int, ...] = ()) -> Labels | None:
        """The layer with the labels of a slide, or of a plane of it, if it is still there."""
        found = self._layers.get(layer, {}).get(plane)
        labels = None if found is None else found()
        return labels if labels is not None and labels in self._viewer().layers else None

    def _on_event(self, event: Event) -> None:
        image = None if self._image is None else self._image()
        viewer = self._viewer()
        if not self._is_at_work or image is None or viewer is None or image not in viewer.layers:
            return
        if isinstance(event, TileDone) and unfinished(self._target).is_dir():
            labels = self.labels_of(image, self._plane)
            if labels is None:
                # a part of the nuclei is nothing to compare or correct
                self._show(image, unfinished(self._target), {SHOWS: "nuclei so far"}, " so far")
            else:
                labels.refresh(extent=False)
        elif isinstance(event, Streamed):
            labels = self.labels_of(image, self._plane)
            if labels is None:
                self._show(image, event.path, event.manifest)
            else:
                labels.data = _levels(event.path)
                labels.metadata = {RESULT: event.manifest}
                labels.name = labels.name.removesuffix(" so far")

    def _on_state(self, state: str) -> None:
        """Hear of blocks no more: those to come are of other work."""
        if state in ("done", "cancelled", "failed"):
            self._is_at_work = False

    def _show(self, image: Image, path: Path, manifest: dict[str, Any], so_far: str = "") -> None:
        """Add the labels of a file above their slide; they stay in the file."""
        data = _levels(path)
        numbers = ", ".join(str(i + 1) for i in self._plane)
        labels = Labels(
            data,
            name=f"{image.name} · nuclei{f' (plane {numbers})' if numbers else ''}{so_far}",
            metadata={RESULT: manifest},
            multiscale=isinstance(data, list),
            # what was read once has grown when it is looked at again
            cache=False,
            **placement(image),
        )
        viewer = self._viewer()
        viewer.layers.insert(viewer.layers.index(image) + 1, labels)
        self._layers.setdefault(image, {})[self._plane] = weakref.ref(labels)


def _item_of(layer: Image, path: Path, out: Path, said: dict[str, Any]) -> Item:
    """Name the results of a layer's file as the command line does.

    Each picture of it has its own, and so has each plane of a stack, as they have layers.
    """
    [item] = name_items([(path, PurePath())], partial(owner_of, out))
    series = series_of(layer)
    parts = [series.replace("/", "-")] if series else []
    short = {"t": "t", "z": "z", "channel": "c"}
    parts += [f"{letter}{said[axis]}" for axis, letter in short.items() if axis in said]
    return replace(item, name="_".join((item.name, *parts)), series=series or None)


def _levels(path: Path) -> Any:
    opened = open_micrograph(path)
    return [opened.pixels, *opened.levels] if opened.levels else opened.pixels
