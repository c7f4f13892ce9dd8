"""How to fine-tune: a few rows that everybody understands, and a fold for experts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QFormLayout, QLineEdit, QSpinBox, QWidget

from .. import wording
from ..config import MINUTES, FinetuneConfig
from ..errors import NucleisegError, SettingError
from ..lessons import free_name, lessons_folder
from ..losses import LOSSES
from ..optimizers import OPTIMIZERS
from ..registry import Registry
from ..schedules import SCHEDULES
from ..session import Session
from .forms import ElidedComboBox, shrink
from .model_chooser import ModelChooser
from .widgets import add_row, align, button, fill_data, form_layout, listen, small

FORGETTING = (
    ("nothing it knew", "nothing"),
    ("a little of it", "a little"),
    ("anything: only my images count", "anything"),
)
VARIATION = (("as proposed", 1.0), ("half as strong", 0.5), ("none", 0.0))
DEVICES = ("auto", "cpu", "cuda", "mps")


class LearningSettings(QWidget):
    """Settings of a fine-tuning; the model to begin with is the session's.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    expert : QWidget
        Rows for experts, for a fold of the dock.
    changed : Signal()
        The user changed something.
    failed : Signal(Exception)
        The models cannot be read.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        form = form_layout()
        self.setLayout(form)
        self.models = ModelChooser(session, form, self, "Begin with")
        self.models.failed.connect(self.failed.emit)
        self.name = shrink(QLineEdit())
        self.name.editingFinished.connect(self.changed.emit)
        add_row(form, "New name", self.name, "What the new model will be called")
        lengths = [(f"{n} · about {m:.0f} min", n) for n, m in MINUTES.items()]
        about = "On a laptop without a graphics card, comparing with the old model included"
        self.length = self._menu(form, "How long", lengths, about)
        about = "How much of what the old model can do the new one may unlearn"
        self.may_forget = self._menu(form, "May forget", list(FORGETTING), about)
        align(form)
        self.expert = self._build_expert()
        self.models.show_models()
        self.show_name()
        listen(self, [(session.config_changed, self.show_name)], bare=True)

    def _build_expert(self) -> QWidget:
        widget = QWidget()
        form = form_layout()
        widget.setLayout(form)
        self.optimizer = self._registry(form, "Optimizer", OPTIMIZERS)
        self.rate = shrink(QLineEdit())
        self.rate.setPlaceholderText("auto")
        self.rate.editingFinished.connect(self.changed.emit)
        about = (
            "Step size of the optimizer at its peak. Auto: from 3 min on found by a short test, "
            "else a share of what the optimizer's source advises"
        )
        add_row(form, "Learning rate", self.rate, about)
        self.schedule = self._registry(form, "Scheduler", SCHEDULES, "auto")
        self.loss = self._registry(form, "Loss", LOSSES, "the network's own")
        about = "Share of the layers, from the first on, that learn nothing"
        self.frozen = self._number(form, "Frozen layers", 0, 90, about, " %", 10)
        about = "How patches are turned, scaled, blurred, ... while it learns"
        self.variation = self._menu(form, "Augmentation", list(VARIATION), about)
        about = "Patches that are learned from together; fewer need less memory"
        self.batch = self._number(form, "Batch size", 1, 256, about)
        about = "The same seed on the same data and computer gives the same model"
        self.seed = self._number(form, "Seed", 0, 1_000_000, about)
        devices = [(wording.device_name(d), d) for d in DEVICES]
        self.device = self._menu(form, "Device", devices, "Where the network learns")
        self.folder = shrink(QLineEdit())
        self.folder.editingFinished.connect(self.changed.emit)
        browse = small(button("...", self._ask_for_folder, "Choose a folder"))
        about = "Where the new model is written and an unfinished one is kept"
        add_row(form, "Keep in", self.folder, about, browse)
        self.own_process = QCheckBox("in a process of its own")
        self.own_process.setToolTip(
            "It cannot make the window stutter or end napari, and frees its memory at the end. "
            "Without, it learns on a thread of napari"
        )
        self.own_process.toggled.connect(lambda _: self.changed.emit())
        form.addRow("", self.own_process)
        self.show_config(FinetuneConfig())
        return widget

    # --- what is chosen ----------------------------------------------------------------------

    def config(self) -> FinetuneConfig:
        """Give the settings.

        Raises
        ------
        SettingError
            If one is not allowed.
        """
        rate = self.rate.text().strip().replace(",", ".")
        try:
            learning_rate = float(rate) if rate not in ("", "auto") else None
        except ValueError as error:
            raise SettingError(
                "The learning rate is not a number", rate, "Write 0.001, or leave it empty for auto"
            ) from error
        proposed = FinetuneConfig()
        values = {
            "model": self._session.model,
            "name": self.name.text().strip() or self.name.placeholderText(),
            "length": self.length.currentData(),
            "may_forget": self.may_forget.currentData(),
            "optimizer": self.optimizer.currentData(),
            "learning_rate": learning_rate,
            "schedule": self.schedule.currentData(),
            "loss": self.loss.currentData(),
            "frozen": self.frozen.value() / 100,
            "augment": proposed.augment.weakened(self.variation.currentData()),
            "batch_size": self.batch.value(),
            "seed": self.seed.value(),
            "device": self.device.currentData(),
        }
        return FinetuneConfig(**values)

    def out(self, name: str) -> Path:
        """Folder of the fine-tuning of a model: always one of its own."""
        chosen = self.folder.text().strip()
        return (Path(chosen).expanduser() if chosen else lessons_folder()) / name

    @property
    def wishes(self) -> dict[str, Any]:
        """What to remember for the next time."""
        menus = {n: field.currentData() for n, field in self._menus().items()}
        return {
            **menus,
            "rate": self.rate.text(),
            "frozen": self.frozen.value(),
            "batch": self.batch.value(),
            "seed": self.seed.value(),
            "keep_in": self.folder.text(),
            "own_process": self.own_process.isChecked(),
        }

    def recall(self, wishes: dict[str, Any]) -> None:
        """Choose what was remembered, where it can still be chosen."""
        for name, field in self._menus().items():
            at = field.findData(wishes.get(name))
            if name in wishes and at >= 0:
                field.setCurrentIndex(at)
        self.rate.setText(str(wishes.get("rate") or ""))
        self.folder.setText(str(wishes.get("keep_in") or ""))
        for name in ("frozen", "batch", "seed"):
            if isinstance(wishes.get(name), int):
                getattr(self, name).setValue(wishes[name])
        self.own_process.setChecked(bool(wishes.get("own_process", True)))

    def reset(self) -> None:
        """Choose what is proposed."""
        self.show_config(FinetuneConfig())
        self.name.clear()
        self.changed.emit()

    # --- what is shown -----------------------------------------------------------------------

    def show_config(self, config: FinetuneConfig) -> None:
        """Show other settings, but for the name."""
        for name, field in self._menus().items():
            if name != "variation":
                field.setCurrentIndex(max(0, field.findData(getattr(config, name))))
        self.variation.setCurrentIndex(0)
        self.rate.setText("" if config.learning_rate is None else f"{config.learning_rate:g}")
        self.frozen.setValue(round(100 * config.frozen))
        self.batch.setValue(config.batch_size)
        self.seed.setValue(config.seed)
        self.folder.clear()
        self.own_process.setChecked(True)

    def show_name(self) -> None:
        """Propose a name after the model's."""
        try:
            self.name.setPlaceholderText(free_name(self._session.model))
        except NucleisegError as error:
            self.failed.emit(error)

    def _menus(self) -> dict[str, ElidedComboBox]:
        names = ("length", "may_forget", "optimizer", "schedule", "loss", "variation", "device")
        return {name: getattr(self, name) for name in names}

    def _menu(
        self, form: QFormLayout, title: str, choices: list[tuple[str, Any]], about: str
    ) -> ElidedComboBox:
        field = shrink(ElidedComboBox())
        fill_data(field, choices)
        field.currentIndexChanged.connect(lambda _: self.changed.emit())
        add_row(form, title, field, about)
        return field

    def _registry(
        self, form: QFormLayout, title: str, registry: Registry, first: str = ""
    ) -> ElidedComboBox:
        """Make a menu of all that a folder of the program offers, with what each is."""
        names = registry.names()
        choices = [(first, None)] if first else []
        field = self._menu(form, title, [*choices, *((n, n) for n in names)], "")
        for at, name in enumerate(names, len(choices)):
            role = Qt.ItemDataRole.ToolTipRole
            field.setItemData(at, registry.description(name), role)
        field.setToolTip(f"The {registry.kind}; each tells what it is in the menu")
        return field

    def _number(
        self,
        form: QFormLayout,
        title: str,
        least: int,
        most: int,
        about: str,
        unit: str = "",
        step: int = 1,
    ) -> QSpinBox:
        field = QSpinBox()
        field.setRange(least, most)
        field.setSuffix(unit)
        field.setSingleStep(step)
        field.setKeyboardTracking(False)
        field.valueChanged.connect(lambda _: self.changed.emit())
        add_row(form, title, field, about)
        return field

    def _ask_for_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Keep the new model in", self.folder.text())
        if found:
            self.folder.setText(found)
            self.changed.emit()
