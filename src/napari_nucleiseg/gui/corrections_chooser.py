"""What to learn from: an open image with its corrected nuclei, or a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from ..errors import SettingError
from ..lessons import CORRECTIONS, write_corrections
from .bridge import Bridge
from .forms import ElidedComboBox, shrink
from .image_chooser import ImageChooser
from .layers import field_shape, plane_of, read_labels_layer, read_layer
from .reviewed_shapes import areas_on
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
            "Where every nucleus is right: only there it learns. Draw areas in a shapes layer, or "
            "let the whole image count"
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
        drawn = self.reviewed.currentIndex() - 1
        areas = areas_on(layer, self._shapes[drawn], plane) if drawn >= 0 else None
        settings = images.settings
        folder = out / CORRECTIONS

        def prepare() -> None:
            loaded = micrograph() if callable(micrograph) else micrograph
            write_corrections(folder, loaded, labels, areas, **settings)

        return folder, prepare

    # --- what is shown -----------------------------------------------------------------------

    def show_layers(self) -> None:
        """List nuclei and areas that fit the image, and keep the choice."""
        layer, nuclei, drawn = self.layer, self.nuclei.currentIndex(), self.reviewed.currentIndex()
        labels = self._nuclei[nuclei] if 0 <= nuclei < len(self._nuclei) else None
        shapes = self._shapes[drawn - 1] if 0 < drawn <= len(self._shapes) else None
        all_layers = list(reversed(self._viewer.layers))
        self._nuclei = [
            x
            for x in all_layers
            if isinstance(x, Labels) and layer is not None and field_shape(x) == field_shape(layer)
        ]
        self._shapes = [x for x in all_layers if isinstance(x, Shapes)]
        at = index_of(self._nuclei, labels)
        if layer is not None and (at < 0 or not self._chose):
            at = self._proposed(layer)
        fill(self.nuclei, [x.name for x in self._nuclei], at)
        at = index_of(self._shapes, shapes)
        if layer is not None and (at < 0 or not self._chose):
            names = [x.name for x in self._shapes]
            at = index_of(names, f"{layer.name} · reviewed")
        fill(self.reviewed, [_WHOLE, *(x.name for x in self._shapes)], at + 1)

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
