"""Which nuclei are compared with which true ones, on which image, and where."""

from __future__ import annotations

import weakref
from typing import Any

from napari.layers import Image, Labels, Layer, Shapes
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from ..errors import SettingError
from ..reviewed import Area
from .aids import nuclei_layers
from .areas import areas_on
from .bridge import Bridge
from .forms import ElidedComboBox, shrink
from .layers import field_shape, plane_of
from .widgets import add_row, fill, index_of, layer_list_signals, listen


class JudgedChooser(QObject):
    """Rows of a dock in which nuclei, truth and reviewed areas are chosen; they follow the layers.

    Parameters
    ----------
    bridge : Bridge
    form : QFormLayout
        Where to add the rows.
    owner : QWidget
        The dock.

    Attributes
    ----------
    changed : Signal()
        Something else is chosen.
    """

    changed = Signal()

    def __init__(self, bridge: Bridge, form: QFormLayout, owner: QWidget) -> None:
        super().__init__(owner)
        self._bridge, self._viewer = bridge, bridge.viewer
        self._images: list[Image] = []
        self._labels: list[Labels] = []
        self._shapes: list[Shapes] = []
        # what the user chose himself stays; the rest follows the image
        self._wishes: dict[str, weakref.ref[Layer] | None] = {}

        self.image = shrink(ElidedComboBox())
        add_row(form, "Image", self.image, "The micrograph; the new layers lie on it")
        self.prediction = shrink(ElidedComboBox())
        add_row(form, "Nuclei", self.prediction, "Labels layer with the nuclei to judge")
        self.truth = shrink(ElidedComboBox())
        add_row(form, "Truth", self.truth, "Labels layer with the true nuclei")
        self.area = shrink(ElidedComboBox())
        about = "Where nuclei count: everywhere, or in the shapes drawn around what was reviewed"
        add_row(form, "Where", self.area, about)
        for field in (self.image, self.prediction, self.truth, self.area):
            # names differ at their ends
            field.elide = Qt.TextElideMode.ElideMiddle
        self.image.activated.connect(lambda _: self._choose_image())
        for name, field in (("prediction", self.prediction), ("truth", self.truth)):
            field.activated.connect(lambda _, n=name: self._wish(n))
        self.area.activated.connect(lambda _: self._wish("area"))
        heard = [(signal, self.show_layers) for signal in layer_list_signals(self._viewer)]
        heard.append((bridge.session.state_changed, self.show_layers))
        listen(self, heard, bare=True)
        self.show_layers()

    # --- what is chosen ------------------------------------------------------------------------

    @property
    def base(self) -> Layer | None:
        """The image, or where there is none the nuclei."""
        at = self.image.currentIndex()
        return self._images[at] if 0 <= at < len(self._images) else self.prediction_layer

    @property
    def prediction_layer(self) -> Labels | None:
        """The nuclei to judge."""
        return self._chosen(self.prediction)

    @property
    def truth_layer(self) -> Labels | None:
        """The true nuclei."""
        return self._chosen(self.truth)

    @property
    def area_layer(self) -> Shapes | None:
        """Shapes around what was reviewed; None where everything counts."""
        at = self.area.currentIndex() - 1
        return self._shapes[at] if 0 <= at < len(self._shapes) else None

    def pair(self) -> tuple[Labels, Labels]:
        """Give the nuclei and the truth.

        Raises
        ------
        SettingError
            If one is missing, or both are the same.
        """
        prediction, truth = self.prediction_layer, self.truth_layer
        if prediction is None or truth is None:
            what = "No nuclei are" if prediction is None else "No truth is"
            raise SettingError(f"{what} chosen", "", "Open or make a labels layer and choose it")
        if prediction is truth:
            raise SettingError(
                "The nuclei would be compared with themselves",
                prediction.name,
                "Choose the layer with the true nuclei under Truth",
            )
        return prediction, truth

    def areas(self, point: tuple[int, ...]) -> tuple[Area, ...]:
        """Give the reviewed areas in pixels of the truth; none where everything counts.

        Raises
        ------
        SettingError
            If the layer encloses nothing.
        """
        shapes, truth = self.area_layer, self.truth_layer
        if shapes is None or truth is None:
            return ()
        areas = areas_on(shapes, truth, plane_of(truth, point))
        if not areas:
            raise SettingError(
                "The layer of reviewed areas encloses nothing here",
                shapes.name,
                "Draw a rectangle or polygon in it, or choose everywhere",
            )
        return areas

    def choose(self, image: Layer | None, prediction: Labels, truth: Labels) -> None:
        """Choose layers that are there."""
        self._wishes = {"prediction": weakref.ref(prediction), "truth": weakref.ref(truth)}
        self.show_layers()
        if image is not None:
            self.image.setCurrentIndex(max(index_of(self._images, image), 0))
        self.show_layers()

    def set_enabled(self, enabled: bool) -> None:
        """Let the user choose, or not."""
        for field in (self.image, self.prediction, self.truth, self.area):
            field.setEnabled(enabled)

    # --- what is shown -------------------------------------------------------------------------

    def show_layers(self) -> None:
        """List the layers there are now."""
        before, layers = self._chosen_image(), list(reversed(self._viewer.layers))
        self._images = [x for x in layers if isinstance(x, Image)]
        self._labels = nuclei_layers(self._viewer)
        self._shapes = [x for x in layers if isinstance(x, Shapes)]
        names = [x.name for x in self._images]
        at = max(index_of(self._images, before), 0)
        fill(self.image, names or ["no image"], at)
        self._propose()

    def _propose(self) -> None:
        """Choose what belongs to the image, where the user did not choose himself."""
        image = self._chosen_image()
        names = [x.name for x in self._labels]
        prediction, truth = self._wished("prediction"), self._wished("truth")
        fitting = [x for x in self._labels if image is None or field_shape(x) == field_shape(image)]
        if truth is None:
            truth = self._proposed_truth(image, [x for x in fitting if x is not prediction])
        if prediction is None:
            prediction = self._proposed_prediction(image, [x for x in fitting if x is not truth])
        fill(self.prediction, names, index_of(self._labels, prediction))
        fill(self.truth, names, index_of(self._labels, truth))
        area = self._wished("area")
        if area is None and "area" not in self._wishes and image is not None:
            named = [x for x in self._shapes if x.name == f"{image.name} · reviewed"]
            area = named[0] if named else None
        shown = ["everywhere", *(x.name for x in self._shapes)]
        fill(self.area, shown, index_of(self._shapes, area) + 1)
        self.changed.emit()

    def _proposed_truth(self, image: Image | None, fitting: list[Labels]) -> Labels | None:
        name = "" if image is None else f"{image.name} · truth"
        named = [x for x in fitting if x.name == name]
        told = [x for x in fitting if "truth" in x.name.casefold()]
        own = self._bridge.truth_layers()
        rest = [x for x in fitting if x in own and "nuclei" not in x.name.casefold()]
        for found in (named, told, rest):
            if found:
                return found[0]
        return None

    def _proposed_prediction(self, image: Image | None, fitting: list[Labels]) -> Labels | None:
        if image is not None:
            point = self._viewer.dims.current_step
            for key in ((), plane_of(image, point)):
                result = self._bridge.result_of(image, key)
                if index_of(fitting, result) >= 0:
                    return result
            named = [x for x in fitting if x.name.startswith(f"{image.name} · nuclei")]
            if named:
                return named[0]
        return fitting[0] if fitting else None

    def _chosen_image(self) -> Image | None:
        at = self.image.currentIndex()
        return self._images[at] if 0 <= at < len(self._images) else None

    def _chosen(self, field: Any) -> Labels | None:
        at = field.currentIndex()
        return self._labels[at] if 0 <= at < len(self._labels) else None

    def _choose_image(self) -> None:
        self._wishes.clear()
        self._propose()

    def _wish(self, name: str) -> None:
        layer = {
            "prediction": self.prediction_layer,
            "truth": self.truth_layer,
            "area": self.area_layer,
        }[name]
        self._wishes[name] = None if layer is None else weakref.ref(layer)
        self.changed.emit()

    def _wished(self, name: str) -> Any:
        reference = self._wishes.get(name)
        layer = None if reference is None else reference()
        return layer if layer is not None and layer in self._viewer.layers else None
