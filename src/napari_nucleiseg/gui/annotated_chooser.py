"""Which micrographs with known nuclei: open layers, a folder, or the samples."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QFormLayout,
    QHeaderView,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from ..comparing import Annotated, annotated_folder, annotated_samples, splits_of
from ..errors import NucleisegError, SettingError
from .bridge import Bridge
from .forms import ElidedComboBox, shrink
from .layers import field_shape, kind_of, path_of, plane_of, read_labels_layer, read_layer
from .widgets import (
    add_row,
    button,
    fill,
    fill_data,
    index_of,
    layer_list_signals,
    listen,
    show_row,
    small,
    text,
)

SOURCES = (("open layers", "layers"), ("a folder", "folder"), ("samples", "samples"))
_ROWS_SHOWN = 3


class AnnotatedChooser(QWidget):
    """Rows of a dock in which annotated micrographs are chosen.

    Parameters
    ----------
    bridge : Bridge

    Attributes
    ----------
    changed : Signal()
        The user chose something else.
    failed : Signal(Exception)
        A folder cannot be used.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge, self._viewer = bridge, bridge.viewer
        self._images: list[Image] = []
        self._truths: list[Labels] = []
        # what the user chose for an image: its truth, and whether it counts
        self._wishes: weakref.WeakKeyDictionary[Image, tuple[Any, bool]] = (
            weakref.WeakKeyDictionary()
        )
        self._planes: dict[str, tuple[Any, tuple[int, ...]]] = {}
        self._paths: dict[str, Path] = {}

        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.source = shrink(ElidedComboBox())
        fill_data(self.source, list(SOURCES))
        self.source.currentIndexChanged.connect(lambda _: self._show_source())
        add_row(self._form, "Images", self.source, "Micrographs whose true nuclei are known")
        self.pairs = self._build_pairs()
        self._form.addRow(self.pairs)
        self.folder = shrink(QLineEdit())
        self.folder.editingFinished.connect(self._show_folder)
        self.browse = small(button("...", self._ask_for_folder, "Choose a folder"))
        about = "Holds images/ and masks/ with the same file names, or x.tif beside x_labels.tif"
        add_row(self._form, "Folder", self.folder, about, self.browse)
        self.split = shrink(ElidedComboBox())
        self.split.currentIndexChanged.connect(lambda _: self._choose_split())
        add_row(self._form, "Split", self.split, "Which part of the folder's index.csv")
        self.count = text()
        self._form.addRow(self.count)

        heard = [(signal, self.show_layers) for signal in layer_list_signals(self._viewer)]
        listen(self, heard, bare=True)
        self.show_layers()
        self.source.setCurrentIndex(0 if self._images else 2)
        self._show_source()

    def _build_pairs(self) -> QTableWidget:
        table = QTableWidget(0, 2)
        table.setHorizontalHeaderLabels(["Image", "True nuclei"])
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(26)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setAccessibleName("Images and their true nuclei")
        table.itemChanged.connect(lambda _: self._remember_wishes())
        return table

    # --- what is chosen ------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """Where the micrographs are from: ``layers``, ``folder`` or ``samples``."""
        return str(self.source.currentData())

    @property
    def wishes(self) -> dict[str, Any]:
        """What to remember for the next time."""
        return {
            "source": self.kind,
            "folder": self.folder.text(),
            "split": self.split.currentData(),
        }

    def recall(self, wishes: dict[str, Any]) -> None:
        """Choose what was remembered, where it is still there."""
        folder = wishes.get("folder")
        if isinstance(folder, str) and Path(folder).is_dir():
            self.folder.setText(folder)
            self._show_folder()
            at = self.split.findData(wishes.get("split"))
            self.split.setCurrentIndex(max(at, 0))
        at = self.source.findData(wishes.get("source"))
        usable = {"layers": bool(self._images), "folder": bool(self.folder.text())}
        if at >= 0 and usable.get(self.source.itemData(at), True):
            self.source.setCurrentIndex(at)

    def items(self) -> list[Annotated]:
        """Give the chosen micrographs.

        Raises
        ------
        NucleisegError
            If there is none, or if a layer or the folder cannot be used.
        """
        if self.kind == "layers":
            return self._layer_items()
        if self.kind == "samples":
            items = annotated_samples()
        else:
            if not self.folder.text().strip():
                raise SettingError("No folder is chosen", "", "Choose one with the button ...")
            items, _ = annotated_folder(self._place(), self.split.currentData())
        self._paths = {i.name: i.micrograph for i in items if isinstance(i.micrograph, Path)}
        self._planes = {}
        return items

    @property
    def places(self) -> tuple[dict[str, tuple[Any, tuple[int, ...]]], dict[str, Path]]:
        """Where the micrographs of the last `items` are: layers with planes, and files."""
        return self._planes, self._paths

    @places.setter
    def places(self, places: tuple[dict[str, Any], dict[str, Any]]) -> None:
        self._planes, self._paths = places

    def layer_of(self, name: str) -> tuple[Image | None, tuple[int, ...]]:
        """Give the layer that shows a micrograph of the last `items`, and the plane it is."""
        found, plane = self._planes.get(name, (lambda: None, ()))
        layer = found()
        if layer is not None and layer in self._viewer.layers:
            return layer, plane
        path = self._paths.get(name)
        for layer in reversed(self._viewer.layers):
            if path is not None and isinstance(layer, Image) and path_of(layer) == path:
                return layer, ()
        return None, ()

    def file_of(self, name: str) -> Path | None:
        """Give the file of a micrograph of the last `items`."""
        return self._paths.get(name)

    def _layer_items(self) -> list[Annotated]:
        point, items = self._viewer.dims.current_step, []
        planes: dict[str, tuple[Any, tuple[int, ...]]] = {}
        for at, layer in enumerate(self._images):
            truth = self._truth(at)
            if truth is None or not self._is_ticked(at):
                continue
            kind = kind_of(layer)
            plane = plane_of(layer, point) if kind == "stack" else ()
            true = read_labels_layer(truth, point)
            items.append(Annotated(layer.name, read_layer(layer, kind, plane), true))
            planes[layer.name] = weakref.ref(layer), plane
        if not items:
            raise SettingError(
                "No image with true nuclei is chosen",
                "",
                "Tick an image and choose its true nuclei, or take a folder or the samples",
            )
        # of the last comparison that could begin: its table still asks for them
        self._planes, self._paths = planes, {}
        return items

    # --- what is shown -------------------------------------------------------------------------

    def show_layers(self) -> None:
        """List the images, each with the labels that can be its true nuclei."""
        self._images = [x for x in reversed(self._viewer.layers) if isinstance(x, Image)]
        self._truths = self._bridge.truth_layers()
        self.pairs.blockSignals(True)
        self.pairs.setRowCount(len(self._images))
        for at, layer in enumerate(self._images):
            fitting = [t for t in self._truths if _fits(layer, t)]
            truth, ticked = self._wishes.get(layer, (None, True))
            truth = None if truth is None else truth()
            if index_of(fitting, truth) < 0:
                truth = _proposed(layer, fitting)
            item = QTableWidgetItem(layer.name)
            item.setToolTip(layer.name)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            is_on = ticked and truth is not None
            item.setCheckState(Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked)
            self.pairs.setItem(at, 0, item)
            field = shrink(ElidedComboBox())
            field.setAccessibleName(f"True nuclei of {layer.name}")
            names = [t.name for t in fitting]
            fill(field, ["none", *names], index_of(fitting, truth) + 1)
            for place, one in enumerate(fitting, 1):
                field.setItemData(place, weakref.ref(one))
            field.activated.connect(lambda _, n=at: self._choose_truth(n))
            self.pairs.setCellWidget(at, 1, field)
        self.pairs.blockSignals(False)
        rows = min(max(len(self._images), 1), _ROWS_SHOWN)
        self.pairs.setFixedHeight(30 + 26 * rows)
        self._count()

    def _truth(self, at: int) -> Labels | None:
        found = self.pairs.cellWidget(at, 1).currentData()
        return None if found is None else found()

    def _is_ticked(self, at: int) -> bool:
        return self.pairs.item(at, 0).checkState() == Qt.CheckState.Checked

    def _choose_truth(self, at: int) -> None:
        has_truth = self._truth(at) is not None
        tick = Qt.CheckState.Checked if has_truth else Qt.CheckState.Unchecked
        self.pairs.item(at, 0).setCheckState(tick)
        self._remember_wishes()

    def _remember_wishes(self) -> None:
        for at, layer in enumerate(self._images):
            truth = self._truth(at)
            found = None if truth is None else weakref.ref(truth)
            self._wishes[layer] = found, self._is_ticked(at) or truth is None
        self._count()
        self.changed.emit()

    def _place(self) -> Path:
        return Path(self.folder.text().strip()).expanduser()

    def _show_source(self) -> None:
        is_folder = self.kind == "folder"
        self.pairs.setVisible(self.kind == "layers")
        show_row(self._form, self.folder.parentWidget(), is_folder)
        show_row(self._form, self.split, is_folder and self.split.count() > 1)
        self._count()
        self.changed.emit()

    def _choose_split(self) -> None:
        self._count()
        self.changed.emit()

    def _show_folder(self) -> None:
        """List the splits of the folder."""
        before = self.split.currentData()
        splits: tuple[str, ...] = ()
        if self.folder.text().strip():
            try:
                splits = splits_of(self._place())
            except NucleisegError as error:
                self.failed.emit(error)
        if before not in splits:
            # what models have learned from says little about them
            before = next((s for s in splits if s != "train"), None)
        fill_data(self.split, [("all", None), *((s, s) for s in splits)], before)
        self._show_source()

    def _count(self) -> None:
        """Say how many micrographs are chosen, or what is missing."""
        if self.kind == "layers":
            count = sum(
                self._truth(i) is not None and self._is_ticked(i) for i in range(len(self._images))
            )
            words = "Tick images and choose their true nuclei."
            if not self._images:
                words = "Open an image."
            elif self._truths and not any(_fits(i, t) for i in self._images for t in self._truths):
                words = "No labels layer is as large as an image: true nuclei have its size."
        elif self.kind == "samples":
            count, words = len(annotated_samples()), ""
        else:
            count, words = 0, "Choose a folder of images and label images."
            if self.folder.text().strip():
                try:
                    count = len(annotated_folder(self._place(), self.split.currentData())[0])
                except NucleisegError as error:
                    words = str(error)
        self.count.setVisible(not count or self.kind != "layers")
        if count:
            words = f"{count} image{'' if count == 1 else 's'} with true nuclei"
        self.count.setText(words)

    def _ask_for_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(
            self, "Choose a folder of micrographs with label images", self.folder.text()
        )
        if found:
            self.folder.setText(found)
            self._show_folder()

    def set_enabled(self, enabled: bool) -> None:
        """Let the user choose, or not."""
        for widget in (self.source, self.pairs, self.folder.parentWidget(), self.split):
            widget.setEnabled(enabled)


def _fits(layer: Image, truth: Labels) -> bool:
    return field_shape(layer) == field_shape(truth)


def _proposed(layer: Image, fitting: list[Labels]) -> Labels | None:
    """Propose the true nuclei: those named after the image, or the only ones of its size."""
    named = [t for t in fitting if t.name == f"{layer.name} · truth"]
    return named[0] if named else fitting[0] if len(fitting) == 1 else None
