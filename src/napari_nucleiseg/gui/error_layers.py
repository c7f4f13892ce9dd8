"""What an evaluation shows in napari: errors, IoU, Dice and agreement as layers above the image."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Labels, Layer, Points
from napari.utils.colormaps import AVAILABLE_COLORMAPS, DirectLabelColormap

from ..comparison import Agreement, Kind
from ..judging import Judged
from ..marks import LEVELS, iou_of_marks, kinds_of_marks, mark_colours
from .layers import RESULT, placement

# bottom first; what is shown at first
LAYERS = {"agreement": False, "Dice": False, "IoU": False, "errors": True}
VALUES = "IoU values"
SCALE = "viridis"
AGREEMENT = {
    Agreement.TRUE_POSITIVE: ("in both", Kind.CORRECT.colour),
    Agreement.FALSE_POSITIVE: ("only found", Kind.EXTRA.colour),
    Agreement.FALSE_NEGATIVE: ("only true", Kind.MISSED.colour),
}
_OPACITY = {"errors": 1.0}


def colours_of_levels() -> np.ndarray:
    """(LEVELS, 4) float ndarray: perceptually uniform colours of 0 to 1; the first is none."""
    scale = AVAILABLE_COLORMAPS[SCALE].map(np.linspace(0, 1, LEVELS - 1))
    return np.concatenate([np.zeros((1, 4)), scale])


def _rgba(colour: str) -> list[float]:
    return [*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0]


def _direct(colours: np.ndarray) -> DirectLabelColormap:
    nothing = np.zeros(4, np.float32)
    table = dict(enumerate(np.asarray(colours, np.float32)))
    return DirectLabelColormap(color_dict={**table, 0: nothing, None: nothing})


class ErrorLayers:
    """The layers of the last comparison of each image; made again, they take their own place.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._made: weakref.WeakKeyDictionary[Layer, dict[str, weakref.ref[Layer]]] = (
            weakref.WeakKeyDictionary()
        )
        self._now: Callable[[], Layer | None] = lambda: None

    def layer(self, kind: str) -> Layer | None:
        """Give one of the layers shown now, if it is still there."""
        base = self._now()
        found = None if base is None else self._made.get(base, {}).get(kind)
        layer = None if found is None else found()
        return layer if layer is not None and layer in self._viewer.layers else None

    def show(self, base: Layer, above: list[Layer], judged: Judged, threshold: float) -> None:
        """Show a comparison.

        Parameters
        ----------
        base : Layer
            The image, or where there is none the nuclei; names and places come from it.
        above : list of Layer
            Layers that must lie below.
        judged : Judged
        threshold : float
        """
        self._now = weakref.ref(base)
        active = self._viewer.layers.selection.active
        arrays = {
            "agreement": judged.agreement,
            "Dice": judged.dice,
            "IoU": judged.iou,
            "errors": judged.marks,
        }
        below = [base, *above]
        for kind, is_shown in LAYERS.items():
            colours = self._colours(kind, threshold)
            layer = self.layer(kind)
            if layer is None:
                layer = self._add(kind, arrays[kind], colours, below, is_shown)
            else:
                layer.data = arrays[kind]
                layer.colormap = _direct(colours)
                _lay(layer, base)
            below.append(layer)
            layer.features = self._features(kind, threshold)
        if self.layer(VALUES) is not None:
            self.show_values(judged)
        if active in self._viewer.layers:
            self._viewer.layers.selection.active = active

    def recolour(self, threshold: float) -> None:
        """Show which nuclei are correct at another threshold."""
        layer = self.layer("errors")
        if layer is not None:
            layer.colormap = _direct(mark_colours(threshold))
            layer.features = self._features("errors", threshold)

    def show_values(self, judged: Judged) -> None:
        """Write the IoU beside each true nucleus."""
        base, layer = self._now(), self.layer(VALUES)
        if base is None:
            return
        count = len(judged.comparison.best_iou)
        table = judged.table
        points = np.stack([table["y_px"][:count], table["x_px"][:count]], axis=1)
        words = np.array([f"{value:.2f}" for value in judged.comparison.best_iou], object)
        if layer is not None:
            self._viewer.layers.remove(layer)
        layer = Points(
            points,
            name=f"{base.name} · {VALUES}",
            size=1,
            face_color="transparent",
            border_color="transparent",
            features={"IoU": words},
            text={"string": "{IoU}", "color": "white", "size": 10},
            metadata={RESULT: {"shows": VALUES}},
            **placement(base),
        )
        layer.editable = False
        active = self._viewer.layers.selection.active
        # before it is there: docks look for it when it comes
        self._made[base][VALUES] = weakref.ref(layer)
        self._viewer.layers.append(layer)
        self._viewer.layers.selection.active = active

    def hide_values(self) -> None:
        """Write no IoU."""
        layer = self.layer(VALUES)
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _add(
        self, kind: str, data: np.ndarray, colours: np.ndarray, below: list[Layer], shown: bool
    ) -> Labels:
        base, layers = below[0], self._viewer.layers
        layer = Labels(
            data,
            name=f"{base.name} · {kind}",
            colormap=_direct(colours),
            opacity=_OPACITY.get(kind, 0.8),
            visible=shown,
            metadata={RESULT: {"shows": kind}},
            **placement(base),
        )
        # painting would not change the scores
        layer.editable = False
        self._made.setdefault(base, {})[kind] = weakref.ref(layer)
        layers.insert(max(layers.index(x) for x in below if x in layers) + 1, layer)
        return layer

    def _colours(self, kind: str, threshold: float) -> np.ndarray:
        if kind == "errors":
            return mark_colours(threshold)
        if kind == "agreement":
            return np.array([[0.0] * 4, *(_rgba(colour) for _, colour in AGREEMENT.values())])
        return colours_of_levels()

    def _features(self, kind: str, threshold: float) -> dict[str, list[str]]:
        """What napari's status bar says of each number in a layer."""
        if kind == "errors":
            words = ["", *(k.words for k in Kind)]
            return {"kind": [words[k] for k in kinds_of_marks(threshold)], "IoU": iou_of_marks()}
        if kind == "agreement":
            return {"foreground": ["", *(words for words, _ in AGREEMENT.values())]}
        return {kind: ["", *(f"{i / 100:.2f}" for i in range(LEVELS - 1))]}


def _lay(layer: Layer, base: Layer) -> None:
    """Move a layer to its image, where that was moved."""
    for name, value in placement(base).items():
        now = getattr(layer, name)
        if name == "affine":
            is_same = np.array_equal(now.affine_matrix, value.affine_matrix)
        else:
            is_same = np.array_equal(np.asarray(now), np.asarray(value))
        if not is_same:
            setattr(layer, name, value)
