"""The dock "Check training data": what would spoil a training, and where to correct next."""

from __future__ import annotations

from pathlib import Path

from napari.viewer import Viewer
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QFileDialog, QFrame, QLineEdit, QVBoxLayout, QWidget

from . import memory
from .bridge import bridge_of
from .check_view import CheckView
from .closing import end_when_closed
from .forms import shrink
from .next_place import NextPlace
from .widgets import add_row, button, column, form_layout, scrolled, small


class CheckDock(QWidget):
    """Choose a folder, press *Check*; below it, where the open images are worth a correction.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands in a proxy of it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        bridge = bridge_of(napari_viewer)
        self.folder = shrink(QLineEdit())
        self.folder.editingFinished.connect(self._show_folder)
        self.browse = small(button("...", self._ask_for_folder, "Choose a folder"))
        form = form_layout()
        about = "Holds images/ and masks/ with the same file names, x.tif beside x_labels.tif, or "
        add_row(form, "Folder", self.folder, f"{about}a project", self.browse)
        self.view = CheckView(bridge)
        self.view.repaired.connect(lambda place: self._take(str(place)))
        self.next_place = NextPlace(bridge)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)

        top = QWidget()
        top.setLayout(form)
        self._column = column(top, self.view, line, self.next_place, spacing=8)
        self._column.layout().setContentsMargins(8, 6, 8, 6)
        self._column.layout().addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scrolled(self._column))
        end_when_closed(self)
        self.setMinimumWidth(260)
        kept = memory.recall().get("check")
        if isinstance(kept, str) and Path(kept).is_dir():
            self._take(kept)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Width that shows most sentences in few lines."""
        return QSize(340, self._column.sizeHint().height() + 20)

    def _take(self, folder: str) -> None:
        self.folder.setText(folder)
        self._show_folder()

    def _show_folder(self) -> None:
        words = self.folder.text().strip()
        self.view.folder = Path(words).expanduser() if words else None
        memory.remember(check=words)

    def _ask_for_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(
            self, "Choose a folder of images with label images", self.folder.text()
        )
        if found:
            self._take(found)
