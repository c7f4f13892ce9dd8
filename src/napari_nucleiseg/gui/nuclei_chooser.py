"""Rows of a dock in which nuclei are chosen, and the images that are measured in them."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from ..errors import SettingError
from ..micrograph import Load, Micrograph
from .aids import nuclei_layers
from .bridge import Bridge
from .forms import ElidedComboBox, shrink
from .layers import field_shape, kind_of, pixel_size_um, plane_of, read_labels_layer, read_layer
from .widgets import add_row, fill, form_layout, index_of, layer_list_signals, listen, text

_IMAGES_SHOWN = 3


@dataclass(frozen=True)
class Given:
    """What is to be measured.

    Attributes
    ----------
    layer : Labels
    plane : tuple of int
        Of a stack: the plane that is measured.
    labels : (H, W) integer ndarray
        A copy of it.
    micrographs : list of Micrograph or callable
    pixel_size_um : (float, float) or None
    """

    layer: Labels
    plane: tuple[int, ...]
    labels: np.ndarray
    micrographs: list[Micrograph | Load]
    pixel_size_um: tuple[float, float] | None


class NucleiChooser(QWidget):
    """A labels layer, and image layers of the same size to tick; they follow the layer list.

    Parameters
    ----------
    bridge : Bridge

    Attributes
    ----------
    changed : Signal()
        Another labels layer was chosen, or none is left.
    """

    changed = Signal()

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._viewer, self._session = bridge.viewer, bridge.session
        self._labels: list[Labels] = []
        self._images: list[Image] = []
        self._followed: weakref.ref[Labels] | None = None
        # what the user ticked or unticked
        self._wishes: weakref.WeakKeyDictionary[Image, bool] = weakref.WeakKeyDictionary()

        form = form_layout()
        self.setLayout(form)
        self.nuclei = shrink(ElidedComboBox())
        self.nuclei.currentIndexChanged.connect(lambda _: self._show_chosen())
        add_row(form, "Nuclei", self.nuclei, "The labels layer whose nuclei are measured")
        self.images = QListWidget()
        self.images.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.images.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.images.itemChanged.connect(self._remember_wish)
        about = "Images whose intensities are measured in each nucleus, every channel of them"
        add_row(form, "Images", self.images, about)
        self.about = text()
        form.addRow(self.about)

        heard = [(signal, self.show_layers) for signal in layer_list_signals(self._viewer)]
        heard.append((self._viewer.layers.selection.events.active, self._follow))
        heard.append((self._viewer.dims.events.current_step, self._say_what))
        listen(self, heard, bare=True)
        self.show_layers()

    @property
    def layer(self) -> Labels | None:
        """The chosen labels layer."""
        at = self.nuclei.currentIndex()
        return self._labels[at] if 0 <= at < len(self._labels) else None

    @property
    def plane(self) -> tuple[int, ...]:
        """The plane of it that is shown; empty where it is one plane only."""
        return () if self.layer is None else plane_of(self.layer, self._viewer.dims.current_step)

    @property
    def ticked(self) -> list[Image]:
        """The images to measure."""
        items = [self.images.item(i) for i in range(self.images.count())]
        is_on = [item.checkState() == Qt.CheckState.Checked and _is_enabled(item) for item in items]
        return [image for image, on in zip(self._images, is_on, strict=True) if on]

    def set_enabled(self, enabled: bool) -> None:
        """Let the user choose, or not."""
        self.nuclei.setEnabled(enabled)
        self.images.setEnabled(enabled)

    def read(self) -> Given:
        """Give copies of what is chosen, for a job.

        Raises
        ------
        NucleisegError
            If there are no nuclei, or an image cannot be read.
        """
        layer = self.layer
        if layer is None:
            raise SettingError("There are no nuclei", "", "Segment an image or open its labels")
        # an image that was replaced may have another size since it was listed
        self.show_layers()
        point = self._viewer.dims.current_step
        micrographs = []
        for image in self.ticked:
            kind = kind_of(image)
            plane = plane_of(image, point) if kind == "stack" else ()
            micrographs.append(_named(read_layer(image, kind, plane), image.name))
        sizes = (pixel_size_um(x) for x in (layer, *self.ticked))
        size = next((s for s in sizes if s is not None), None)
        return Given(layer, self.plane, read_labels_layer(layer, point), micrographs, size)

    # --- what it shows -------------------------------------------------------------------------

    def show_layers(self) -> None:
        """List the layers there are, and keep the choice."""
        before = self.layer
        layers = list(reversed(self._viewer.layers))
        self._labels = nuclei_layers(self._viewer)
        at = self._newly_selected()
        if at < 0:
            at = max(index_of(self._labels, before), 0)
        fill(self.nuclei, [x.name for x in self._labels], at if self._labels else -1)
        self._images = [x for x in layers if isinstance(x, Image)]
        if self.layer is not before:
            self._show_chosen()
        else:
            self._show_images()

    def _follow(self) -> None:
        """Choose the labels that were selected in the layer list."""
        at = self._newly_selected()
        if at >= 0:
            self.nuclei.setCurrentIndex(at)

    def _newly_selected(self) -> int:
        """Where the labels are that were selected since the last look, or -1."""
        at = index_of(self._labels, self._viewer.layers.selection.active)
        followed = None if self._followed is None else self._followed()
        if at < 0 or followed is self._labels[at]:
            return -1
        self._followed = weakref.ref(self._labels[at])
        return -1 if self._session.is_busy else at

    def _show_chosen(self) -> None:
        self._show_images()
        self.changed.emit()

    def _show_images(self) -> None:
        """List the images; those of another size than the nuclei cannot be ticked."""
        self.images.blockSignals(True)
        self.images.clear()
        shape = None if self.layer is None else field_shape(self.layer)
        for image in self._images:
            size = field_shape(image)
            fits = size == shape
            item = QListWidgetItem(image.name if fits else f"{image.name} (other size)")
            item.setToolTip(
                image.name
                if fits or shape is None
                else "{} is {}×{} px, the nuclei are {}×{} px".format(image.name, *size, *shape)
            )
            if not fits:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEnabled)
            is_on = fits and self._wishes.get(image, True)
            item.setCheckState(Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked)
            self.images.addItem(item)
        self.images.blockSignals(False)
        shown = min(max(len(self._images), 1), _IMAGES_SHOWN)
        self.images.setFixedHeight(8 + shown * max(self.images.sizeHintForRow(0), 18))
        self._say_what()

    def _remember_wish(self, item: QListWidgetItem) -> None:
        image = self._images[self.images.row(item)]
        self._wishes[image] = item.checkState() == Qt.CheckState.Checked
        self._say_what()

    def _say_what(self) -> None:
        """Say which plane is meant, and whether there will be micrometres."""
        layer, said = self.layer, []
        if layer is None:
            said.append("Open or segment an image first: there are no nuclei to measure.")
        else:
            planes = [self.plane] if self.plane else []
            planes += [
                plane_of(x, self._viewer.dims.current_step)
                for x in self.ticked
                if kind_of(x) == "stack"
            ]
            if planes:
                where = ", ".join(str(i + 1) for i in planes[0])
                said.append(f"Plane {where}, the one shown, is measured.")
            if all(pixel_size_um(x) is None for x in (layer, *self.ticked)):
                said.append("The pixel size is not known, so lengths are in pixels.")
        self.about.setText(" ".join(said))
        self.about.setVisible(bool(said))


def _named(given: Micrograph | Load, name: str) -> Micrograph | Load:
    """Let a micrograph be called as its layer, also one that a job will read."""
    if not callable(given):
        return replace(given, name=name)
    return lambda: replace(given(), name=name)


def _is_enabled(item: QListWidgetItem) -> bool:
    return bool(item.flags() & Qt.ItemFlag.ItemIsEnabled)
