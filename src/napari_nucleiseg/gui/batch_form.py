"""Rows of a dock in which the files of a folder and their results are chosen."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QWidget

from ..batch_config import BatchConfig
from ..export import EXPORTERS, ending_of
from .forms import shrink
from .widgets import add_row, button, form_layout, row, small

RESULTS = "nuclei"


class BatchForm(QWidget):
    """Folder, pattern, folder of the results, and what is written.

    Attributes
    ----------
    changed : Signal()
        The user chose something else.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.form = form_layout()
        self.setLayout(self.form)
        self.folder = self._field("Folder", "Folder with the images to segment", "images")
        self.pattern = shrink(QLineEdit())
        self.pattern.setPlaceholderText("all images")
        self.pattern.editingFinished.connect(self.changed.emit)
        self.recursive = self._box("folders inside", "Look into the folders inside, too")
        about = "Which file names count: * stands for anything, as in *_dapi.tif"
        add_row(self.form, "Names", self.pattern, about, self.recursive)
        self.out = self._field("Results", "Folder for the label images", "results")
        self.overlay = self._box("outlines", "Write a picture with the outlines of the nuclei")
        self.table = self._box("tables", "Measure the nuclei, a table (CSV) for each image")
        outputs = _side_by_side(self.overlay, self.table)
        self.form.addRow("Also write", outputs)
        about = "Label images, and records of how they were made, are always written"
        self.form.labelForField(outputs).setToolTip(about)
        self.exports = {name: self._export_box(name) for name in EXPORTERS.names()}
        programs = _side_by_side(*self.exports.values())
        self.form.addRow("Export to", programs)
        about = "Nuclei as files for other programs, one for each image"
        self.form.labelForField(programs).setToolTip(about)
        self.resume = self._box(
            "Leave out files that are done",
            "Files whose results are there, made with the same settings, are not done again",
        )
        self.form.addRow(self.resume)

    def _field(self, title: str, about: str, what: str) -> QLineEdit:
        field = shrink(QLineEdit())
        field.editingFinished.connect(self.changed.emit)
        browse = small(button("...", lambda: self._ask(field), f"Choose the folder of the {what}"))
        add_row(self.form, title, field, about, browse)
        return field

    def _box(self, title: str, about: str) -> QCheckBox:
        box = QCheckBox(title)
        box.setToolTip(about)
        box.clicked.connect(lambda _: self.changed.emit())
        return box

    def _export_box(self, name: str) -> QCheckBox:
        about = f"Write NAME{ending_of(name)}: {EXPORTERS.description(name)}"
        return self._box(EXPORTERS.module(name).TITLE, about)

    @property
    def config(self) -> BatchConfig:
        """What is chosen; results go into a folder of their own where none is named."""
        folder = Path(self.folder.text().strip()).expanduser()
        out = self.out.text().strip()
        return BatchConfig(
            folder=folder,
            pattern=self.pattern.text().strip(),
            recursive=self.recursive.isChecked(),
            out=Path(out).expanduser() if out else folder / RESULTS,
            overlay=self.overlay.isChecked(),
            table=self.table.isChecked(),
            exports=tuple(name for name, box in self.exports.items() if box.isChecked()),
            resume=self.resume.isChecked(),
        )

    @property
    def has_folder(self) -> bool:
        """Whether a folder is named."""
        return bool(self.folder.text().strip())

    def show_config(self, config: BatchConfig) -> None:
        """Show other choices; nothing is told of it."""
        self.folder.setText("" if config.folder == Path() else str(config.folder))
        is_usual = config.out in (Path(), config.folder / RESULTS)
        self.out.setText("" if is_usual else str(config.out))
        self.pattern.setText(config.pattern)
        for box, is_on in (
            (self.recursive, config.recursive),
            (self.overlay, config.overlay),
            (self.table, config.table),
            (self.resume, config.resume),
            *((box, name in config.exports) for name, box in self.exports.items()),
        ):
            box.setChecked(is_on)
        self.show_results_folder()

    def show_results_folder(self) -> None:
        """Say where results go if nobody names a folder."""
        name = Path(self.folder.text().strip()).name
        self.out.setPlaceholderText(str(Path(name) / RESULTS) if name else "beside the images")

    def _ask(self, field: QLineEdit) -> None:
        found = QFileDialog.getExistingDirectory(self, "Choose a folder", field.text())
        if found:
            field.setText(found)
            self.changed.emit()


def _side_by_side(*boxes: QCheckBox) -> QWidget:
    made = row(*boxes)
    made.layout().setStretch(0, 0)
    made.layout().addStretch(1)
    return made
