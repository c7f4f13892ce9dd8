"""What an old and a new model found, as layers, with the nuclei that differ on top."""

from __future__ import annotations

import weakref
from typing import Any

from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from ..before_after import LOST, MOVED, NEW, BeforeAfter
from ..errors import ShapeError
from .layers import field_shape, placement

# of a result: which image it is of, so that the next look replaces it
BESIDE = "nucleiseg_before_after"
# Okabe and Ito 2008
COLOURS = {LOST: "#E69F00", NEW: "#56B4E9", MOVED: "#F0E442", None: "transparent"}


def show_before_after(
    viewer: Any, image: Image, found: BeforeAfter, old: str, new: str
) -> list[Labels]:
    """Put both results and what differs above an image, in the place of an earlier look.

    Parameters
    ----------
    viewer : Viewer
    image : Image
    found : BeforeAfter
    old, new : str
        What to call the models.

    Raises
    ------
    ShapeError
        If the image has another size by now.
    """
    if field_shape(image) != found.before.shape:
        raise ShapeError(
            "The image was replaced meanwhile, so nothing is shown", image.name, "Press it again"
        )
    for layer in [x for x in viewer.layers if x.metadata.get(BESIDE) == id(image)]:
        viewer.layers.remove(layer)
    made = []
    for what, data, model in (
        ("before", found.before, old),
        ("after", found.after, new),
        ("changed", found.changed, ""),
    ):
        name = f"{image.name} · {what}" + (f" ({model})" if model else "")
        layer = Labels(data, name=name, metadata={BESIDE: id(image)}, **placement(image))
        if what == "changed":
            layer.colormap = DirectLabelColormap(color_dict=COLOURS)
            layer.contour = 3
            layer.opacity = 1.0
        # on top of all, so that what differs can be seen
        viewer.layers.append(layer)
        made.append(layer)
    # one can be seen through the other by its eye in the layer list
    made[0].visible = False
    viewer.layers.selection.active = made[1]
    return made


def show_if_there(
    viewer: weakref.ref[Any], image: weakref.ref[Image], old: str, new: str, found: BeforeAfter
) -> None:
    """Do so where viewer and image are still there.

    Raises
    ------
    ShapeError
        If the image has another size by now.
    """
    alive, layer = viewer(), image()
    if alive is not None and layer is not None and layer in alive.layers:
        show_before_after(alive, layer, found, old, new)


def in_words(found: BeforeAfter) -> str:
    """Say how many nuclei differ, and in which colour they are outlined."""
    parts = [
        (found.new, "new", "blue"),
        (found.lost, "gone", "orange"),
        (found.moved, "with another outline", "yellow"),
    ]
    said = [f"{count} {what} ({colour})" for count, what, colour in parts if count]
    return f"Nuclei that differ: {', '.join(said)}." if said else "Both find the same nuclei."
