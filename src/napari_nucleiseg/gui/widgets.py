"""Small widgets that all docks are made of, and how docks listen without being kept alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QGuiApplication, QImage, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

# --- to read and to press -------------------------------------------------------------------


def text(words: str = "") -> QLabel:
    """Make a label that wraps and can be copied from."""
    label = QLabel(words)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
    label.setMinimumWidth(150)
    return label


def button(words: str, does: Callable[[], Any], tooltip: str) -> QPushButton:
    """Make a button."""
    made = QPushButton(words)
    made.setToolTip(tooltip)
    made.clicked.connect(lambda: does())
    return made


def small(made: QPushButton) -> QPushButton:
    """Make a button fit beside a field."""
    made.setFixedWidth(28)
    made.setAccessibleName(made.toolTip())
    return made


def paint_main(pressed: QPushButton, theme: Any) -> None:
    """Give the main button of a dock the strong colour of napari's theme."""
    strong, words = theme.current.as_hex(), theme.text.as_hex()
    pressed.setStyleSheet(
        f"QPushButton:enabled {{ background-color: {strong}; color: {words}; font-weight: bold; }}"
        f"QPushButton:hover {{ background-color: {theme.highlight.as_hex()}; }}"
        f"QPushButton:focus {{ border: 1px solid {words}; }}"
    )


def pixmap(picture: np.ndarray) -> QPixmap:
    """Make of an (H, W, 3) uint8 array what Qt can show."""
    height, width, _ = picture.shape
    rows = picture.tobytes()  # in C order, whatever the array's is
    # Qt's image borrows the bytes; the pixmap has its own
    return QPixmap.fromImage(QImage(rows, width, height, 3 * width, QImage.Format.Format_RGB888))


def copy(words: str) -> None:
    """Put a text on the clipboard."""
    QGuiApplication.clipboard().setText(words)


# --- arrangements ---------------------------------------------------------------------------


def row(*widgets: QWidget) -> QWidget:
    """Put widgets side by side; the first takes the room that is left."""
    made = QWidget()
    layout = QHBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for i, widget in enumerate(widgets):
        layout.addWidget(widget, stretch=int(i == 0))
    return made


def column(*widgets: QWidget, indent: int = 0, spacing: int = 2) -> QWidget:
    """Put widgets one under the other."""
    made = QWidget()
    layout = QVBoxLayout(made)
    layout.setContentsMargins(indent, 0, 0, 4 if indent else 0)
    layout.setSpacing(spacing)
    for widget in widgets:
        layout.addWidget(widget)
    return made


def form_layout() -> QFormLayout:
    """Make the rows of a dock: titles on the left, fields as wide as there is room."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def add_row(
    form: QFormLayout, title: str, field: QWidget, tooltip: str, beside: QWidget | None = None
) -> None:
    """Add a titled, explained field to a form, with a small button beside it."""
    field.setToolTip(tooltip)
    field.setAccessibleName(title)
    field.setAccessibleDescription(tooltip)
    form.addRow(title, field if beside is None else row(field, beside))


def align(*forms: QFormLayout, width: int = 78) -> None:
    """Let the fields of forms that stand one under the other begin at the same place."""
    for form in forms:
        for at in range(form.rowCount()):
            item = form.itemAt(at, QFormLayout.ItemRole.LabelRole)
            if item is not None and item.widget() is not None:
                item.widget().setMinimumWidth(width)


def show_row(form: QFormLayout, field: QWidget, shown: bool) -> None:
    """Show or hide a field of a form with its title."""
    field.setVisible(shown)
    form.labelForField(field).setVisible(shown)


def scrolled(content: QWidget) -> QScrollArea:
    """Let the content of a dock scroll on screens too small for all its open folds."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(content)
    return area


class TextWindow(QDialog):
    """A text to read and copy: the card of a model, a traceback.

    Parameters
    ----------
    title : str
    words : str
        HTML where it begins with a tag.
    parent : QWidget
    """

    def __init__(self, title: str, words: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = QTextEdit()
        self.text.setReadOnly(True)
        if words.startswith("<"):
            self.text.setHtml(words)
        else:
            self.text.setLineWrapMode(QTextEdit.LineWrapMode.NoWrap)
            self.text.setPlainText(words)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(
            row(
                button("Copy", lambda: copy(self.text.toPlainText()), "Copy the text"),
                button("Close", self.close, "Close this window"),
            )
        )
        self.resize(560, 480)


# --- choices --------------------------------------------------------------------------------


def index_of(things: list[Any], wanted: Any) -> int:
    """Where something is in a list by identity or, for text, by equality; -1 where it is not."""
    for i, thing in enumerate(things):
        if thing is wanted or (isinstance(thing, str) and thing == wanted):
            return i
    return -1


def fill(field: QComboBox, titles: list[str] | None, chosen: int) -> None:
    """List choices (None: those there are) and choose one, without telling anybody."""
    field.blockSignals(True)
    if titles is not None:
        field.clear()
        field.addItems(titles)
    field.setCurrentIndex(chosen)
    field.blockSignals(False)


def fill_data(field: QComboBox, choices: list[tuple[str, Any]], chosen: Any = None) -> None:
    """List choices with a value each and choose one, without telling anybody."""
    field.blockSignals(True)
    field.clear()
    for title, value in choices:
        field.addItem(title, value)
    values = [value for _, value in choices]
    field.setCurrentIndex(values.index(chosen) if chosen in values else 0)
    field.blockSignals(False)


# --- listening ------------------------------------------------------------------------------


def listen(
    owner: QObject, heard: Iterable[tuple[Any, Callable[..., Any]]], bare: bool = False
) -> None:
    """Let methods of a widget hear signals of things that live longer, until Qt deletes it.

    Parameters
    ----------
    owner : QObject
        The widget; the signals do not keep it alive.
    heard : iterable of (signal, method)
    bare : bool
        Whether the methods want to know that something happened and not what.
    """
    connected = [(signal, _weakly(method, bare)) for signal, method in heard]
    for signal, slot in connected:
        signal.connect(slot)
    owner.destroyed.connect(partial(_disconnect, connected))


def layer_list_signals(viewer: Any) -> list[Any]:
    """Give the signals that tell that other layers can be chosen, or by other names."""
    events = viewer.layers.events
    return [events.inserted, events.removed, events.reordered, events.renamed]


def _weakly(method: Callable[..., Any], bare: bool) -> Callable[..., None]:
    reference = weakref.WeakMethod(method)

    def call(*args: Any) -> None:
        alive = reference()
        if alive is not None:
            alive(*(() if bare else args))

    return call


def _disconnect(connected: list[tuple[Any, Callable[..., None]]], *_: Any) -> None:
    for signal, slot in connected:
        signal.disconnect(slot)
