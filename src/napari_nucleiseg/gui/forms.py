"""Config class -> form: one labelled row for each setting, checked, explained, with its unit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..config import Config

_UNIT = re.compile(r"\s*\((px|px²|µm|%|min|s)\)$")
_LARGEST = 1_000_000


class ElidedComboBox(QComboBox):
    """A menu that ends a choice with "…" where it is too long to be shown.

    Attributes
    ----------
    elide : Qt.TextElideMode
        Where the "…" is, for choices that differ at their ends.
    """

    elide = Qt.TextElideMode.ElideRight

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw it as the style does, with a text that fits."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        style = self.style()
        place = style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, self.elide, place.width() - 4
        )
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def title_of(name: str, config: type[Config] | None = None) -> str:
    """Name of a setting for people: its title, or ``tile_px`` becomes "Tile"."""
    title = None if config is None else config.model_fields[name].title
    if title is not None:
        return title
    words = [w for w in name.split("_") if w not in ("px", "um")]
    return " ".join(words).capitalize()


def _limits(metadata: Sequence[Any], least: float, most: float) -> tuple[float, float]:
    for limit in metadata:
        least = getattr(limit, "ge", getattr(limit, "gt", None)) or least
        most = getattr(limit, "le", getattr(limit, "lt", None)) or most
    return least, most


def shrink(widget: QComboBox | QLineEdit) -> QComboBox | QLineEdit:
    """Let a field be narrower than its text: a long file name must not widen the dock."""
    widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    widget.setMinimumWidth(60)
    return widget


class Form(QWidget):
    """Fields for some settings of a `Config` class.

    Parameters
    ----------
    config : Config
        First values; its class knows the fields.
    names : sequence of str
        Settings to show, in this order.

    Attributes
    ----------
    changed : Signal(str, object)
        Name and new value of a setting that the user changed.
    """

    changed = Signal(str, object)

    def __init__(self, config: Config, names: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._fields: dict[str, QWidget] = {}
        for name in names:
            field = self._field(config, name)
            title = title_of(name, type(config))
            text = type(config).model_fields[name].description or title
            explained = _UNIT.sub("", text[0].upper() + text[1:])
            field.setToolTip(explained)
            field.setAccessibleName(title)
            field.setAccessibleDescription(explained)
            self._fields[name] = field
            layout.addRow(title, field)
            layout.labelForField(field).setToolTip(explained)
        self.show_config(config)

    def field(self, name: str) -> QWidget:
        """Give the widget of a setting."""
        return self._fields[name]

    def show_config(self, config: Config) -> None:
        """Show other values; nothing is told of it."""
        for name, field in self._fields.items():
            value = getattr(config, name)
            field.blockSignals(True)
            if isinstance(field, QComboBox):
                field.setCurrentIndex(field.findData(value))
            elif isinstance(field, QLineEdit):
                field.setText("" if value is None else str(value))
            else:
                field.setValue(value)
            field.blockSignals(False)

    def _field(self, config: Config, name: str) -> QWidget:
        """Make the widget that fits a setting's type and limits."""
        info = type(config).model_fields[name]
        unit = _UNIT.search(info.description or "")
        suffix = f" {unit[1]}" if unit else " px" if name.endswith("_px") else ""
        if get_origin(info.annotation) is Literal:
            field = shrink(ElidedComboBox())
            for choice in get_args(info.annotation):
                field.addItem(str(choice), choice)
            field.currentIndexChanged.connect(
                lambda at, f=field: self.changed.emit(name, f.itemData(at))
            )
        elif info.annotation is int:
            field = QSpinBox()
            least, most = _limits(info.metadata, 0, _LARGEST)
            field.setRange(int(least), int(most))
            field.setSuffix(suffix)
            field.setSingleStep(64 if most >= 1024 and least >= 16 else 1)
            field.setKeyboardTracking(False)
            field.valueChanged.connect(lambda value: self.changed.emit(name, value))
        elif info.annotation is float:
            field = QDoubleSpinBox()
            field.setRange(*_limits(info.metadata, 0.0, _LARGEST))
            field.setDecimals(2)
            field.setSingleStep(0.05)
            field.setSuffix(suffix)
            field.setKeyboardTracking(False)
            field.valueChanged.connect(lambda value: self.changed.emit(name, value))
        else:
            field = shrink(QLineEdit())
            field.editingFinished.connect(
                lambda f=field: self.changed.emit(name, f.text().strip() or None)
            )
        return field


class Fold(QWidget):
    """A heading that shows or hides what is under it.

    Attributes
    ----------
    toggled : Signal(bool)
        Whether it is open now.
    """

    toggled = Signal(bool)

    def __init__(self, title: str, content: QWidget, tooltip: str = "") -> None:
        super().__init__()
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setToolTip(tooltip)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setStyleSheet("QToolButton { border: none; padding: 2px; }")
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._content = content
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(content)
        self.button.toggled.connect(self._show)
        self._show(False)

    @property
    def is_open(self) -> bool:
        """Whether the content can be seen."""
        return self.button.isChecked()

    def open(self, shown: bool) -> None:
        """Open or close it."""
        self.button.setChecked(shown)

    def _show(self, shown: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self._content.setVisible(shown)
        self.toggled.emit(shown)
