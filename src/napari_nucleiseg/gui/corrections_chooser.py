"""What to learn from: an open image with its corrected nuclei, or a folder."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from ..errors import SettingError
from ..lessons import CORRECTIONS, write_corrections
from ..reviewed import Area, around_nuclei
from .aids import nuclei_layers
from .bridge import Bridge
from .desk import corrected_nuclei
from .forms import ElidedComboBox, shrink
from .image_chooser import ImageChooser
from .layers import field_shape, plane_of, read_labels_layer, read_layer
from .reviewed_shapes import areas_on, shapes_for
from .widgets import (
    add_row,
    align,
    button,
    fill,
    fill_data,
    form_layout,
    index_of,
    layer_list_signals,
    listen,
    small,
)

SOURCES = (("the open image", "layers"), ("a folder or a project", "folder"))
_WHOLE = "the whole image"
_AROUND = "around corrected nuclei"
Prepare = Callable[[], None]


class CorrectionsChooser(QWidget):
    """Rows of a dock in which corrections are chosen.

    Parameters
    ----------
    bridge : Bridge
    browse : callable
        What the button beside the images does.

    Attributes
    ----------
    changed : Signal()
        The user chose something else.
    failed : Signal(Exception)
        The image cannot be read.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, bridge: Bridge, browse: Callable[[], Any]) -> None:
        super().__init__()
        self._bridge, self._viewer = bridge, bridge.viewer
        self._nuclei: list[Labels] = []
        self._shapes: list[Shapes] = []
        self._chose = False

        top = form_layout()
        self.source = shrink(ElidedComboBox())
        fill_data(self.source, list(SOURCES))
        self.source.currentIndexChanged.connect(lambda _: self._show_source())
        about = "Where the nuclei are that you have corrected"
        add_row(top, "Learn from", self.source, about)
        self.folder = shrink(QLineEdit())
        self.folder.setPlaceholderText("images with label images")
        self.folder.editingFinished.connect(self.changed.emit)
        self.browse = small(button("...", self._ask_for_folder, "Choose a folder"))
        about = (
            "Holds x.tif beside x_labels.tif, images/ and masks/ with the same file names, or a "
            "project of corrections"
        )
        add_row(top, "Folder", self.folder, about, self.browse)
        self._folder_row = self.folder.parentWidget()
        self._top = top

        self._layers = QWidget()
        form = form_layout()
        self._layers.setLayout(form)
        self.images = ImageChooser(bridge, form, browse, self)
        self.images.changed.connect(self.show_layers)
        self.images.failed.connect(self.failed.emit)
        self.nuclei = shrink(ElidedComboBox())
        self.nuclei.activated.connect(lambda _: self._choose())
        add_row(form, "Nuclei", self.nuclei, "The labels layer that you have corrected")
        self.reviewed = shrink(ElidedComboBox())
        self.reviewed.activated.connect(lambda _: self._choose())
        about = (
            "Where every nucleus is right: only there it learns. Around nuclei that were edited or "
            "confirmed, in areas drawn in a shapes layer, or the whole image"
        )
        add_row(form, "Reviewed", self.reviewed, about)

        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(4)
        whole.addLayout(top)
        whole.addWidget(self._layers)
        align(top, form)
        heard = [(signal, self.show_layers) for signal in layer_list_signals(self._viewer)]
        listen(self, heard, bare=True)
        self.images.show_layers()
        self.show_layers()
        self._show_source()

    # --- what is chosen ----------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """Where the corrections are: ``layers`` or ``folder``."""
        return str(self.source.currentData())

    @property
    def layer(self) -> Image | None:
        """The open image that is chosen, also where it is not learned from."""
        return self.images.layer

    @property
    def wishes(self) -> dict[str, Any]:
        """What to remember for the next time."""
        return {"source": self.kind, "folder": self.folder.text()}

    def recall(self, wishes: dict[str, Any]) -> None:
        """Choose what was remembered, where it is still there."""
        folder = wishes.get("folder")
        if isinstance(folder, str) and Path(folder).is_dir():
            self.folder.setText(folder)
            if wishes.get("source") == "folder":
                self.source.setCurrentIndex(1)

    def material(self, out: Path) -> tuple[Path, Prepare | None]:
        """Give the folder to learn from, and what writes it where it has to be written first.

        Parameters
        ----------
        out : Path
            Folder of the fine-tuning.

        Raises
        ------
        NucleisegError
            If nothing is chosen, or it cannot be learned from.
        """
        if self.kind == "folder":
            named = self.folder.text().strip()
            if not named:
                raise SettingError("No folder is chosen", "", "Choose one with the button ...")
            return Path(named).expanduser(), None
        if not self._chose:
            # nuclei may have been corrected since the layers changed
            self.show_layers()
        layer, at = self.layer, self.nuclei.currentIndex()
        if layer is None:
            raise SettingError("No image is open", "", "Open one, or learn from a folder")
        if not 0 <= at < len(self._nuclei):
            raise SettingError(
                "There are no nuclei to learn from",
                layer.name,
                "Segment the image and correct what is wrong, or learn from a folder",
            )
        point, images = self._viewer.dims.current_step, self.images
        plane = plane_of(layer, point) if images.kind == "stack" else ()
        micrograph = read_layer(layer, images.kind, plane)
        labels = read_labels_layer(self._nuclei[at], point)
        areas = self._areas(layer, self._nuclei[at], labels, plane)
        settings = images.settings
        folder = out / CORRECTIONS

        def prepare() -> None:
            loaded = micrograph() if callable(micrograph) else micrograph
            write_corrections(folder, loaded, labels, areas, **settings)

        return folder, prepare

    # --- what is shown -----------------------------------------------------------------------

    def show_layers(self) -> None:
        """List nuclei and areas that fit the image, and keep the choice."""
        layer, nuclei = self.layer, self.nuclei.currentIndex()
        reviewed = self.reviewed.currentData()
        labels = self._nuclei[nuclei] if 0 <= nuclei < len(self._nuclei) else None
        shape = None if layer is None else field_shape(layer)
        self._nuclei = [x for x in nuclei_layers(self._viewer) if field_shape(x) == shape]
        self._shapes = [] if layer is None else shapes_for(self._viewer, layer)
        at = index_of(self._nuclei, labels)
        if layer is not None and (at < 0 or not self._chose):
            at = self._proposed(layer)
        fill(self.nuclei, [x.name for x in self._nuclei], at)
        choices: list[tuple[str, Any]] = [(_WHOLE, _WHOLE), (_AROUND, _AROUND)]
        choices += [(x.name, weakref.ref(x)) for x in self._shapes]
        if layer is not None and not (self._chose and reviewed in [data for _, data in choices]):
            names = [x.name for x in self._shapes]
            own = index_of(names, f"{layer.name} · reviewed")
            reviewed = choices[own + 2][1] if own >= 0 else _WHOLE
            if own < 0 and 0 <= at < len(self._nuclei):
                # what nobody has looked at is what the model itself has said
                done = corrected_nuclei(self._viewer, layer, self._nuclei[at])
                reviewed = _AROUND if done else _WHOLE
        fill_data(self.reviewed, choices, reviewed)

    def _areas(
        self, layer: Image, nuclei: Labels, labels: np.ndarray, plane: tuple[int, ...]
    ) -> tuple[Area, ...] | None:
        """Give the areas where every nucleus is right; None stands for the whole image."""
        chosen = self.reviewed.currentData()
        if chosen == _WHOLE:
            return None
        if chosen == _AROUND:
            return tuple(around_nuclei(labels, corrected_nuclei(self._viewer, layer, nuclei)))
        shapes = chosen()
        return () if shapes is None else areas_on(layer, shapes, plane)

    def _proposed(self, layer: Image) -> int:
        """Where the nuclei are that most likely were corrected; the first of what there is."""
        names = [x.name for x in self._nuclei]
        wanted = (f"{layer.name} · nuclei", f"{layer.name} · truth")
        places = [names.index(name) for name in wanted if name in names]
        return places[0] if places else min(0, len(names) - 1)

    def _choose(self) -> None:
        self._chose = True
        self.changed.emit()

    def _show_source(self) -> None:
        is_folder = self.kind == "folder"
        self._folder_row.setVisible(is_folder)
        self._top.labelForField(self._folder_row).setVisible(is_folder)
        self._layers.setVisible(not is_folder)
        self.changed.emit()

    def take_folder(self, folder: Path) -> None:
        """Learn from a folder."""
        self.source.setCurrentIndex(self.source.findData("folder"))
        self.folder.setText(str(folder))
        self.changed.emit()

    def _ask_for_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(
            self, "Choose a folder of corrected micrographs", self.folder.text()
        )
        if found:
            self.folder.setText(found)
            self.changed.emit()
