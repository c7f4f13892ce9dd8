"""What the dock "Correct nuclei" offers: actions, their keys, their buttons, the legend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QSizePolicy, QWidget

from .. import editing
from .keys import shown
from .states_layer import COLOURS
from .widgets import button


@dataclass(frozen=True)
class Action:
    """One thing to do with a key or a button.

    Attributes
    ----------
    title : str
    key : str
        None of napari's own, whatever layer is chosen.
    tooltip : str
    operation : callable or None
        Of `editing`, for the nucleus that is looked at.
    """

    title: str
    key: str
    tooltip: str
    operation: Callable[..., Any] | None = None


ACTIONS = {
    "previous": Action("Previous", "Shift-N", "Look at the nucleus before"),
    "next": Action("Next", "N", "Look at the next nucleus"),
    "confirm": Action("Confirm", "Q", "This nucleus is right"),
    "confirm view": Action(
        "All in view", "Shift-Q", "Confirm all nuclei that lie wholly in the view"
    ),
    "add": Action("Add", "U", "Click where a nucleus was missed, or drag a box around it"),
    "delete": Action("Delete", "Shift-D", "Remove this nucleus", editing.delete),
    "merge": Action("Merge two", "J", "Click two nuclei to join them"),
    "line": Action("Split: line", "K", "Draw a line through a nucleus to cut it"),
    "waist": Action(
        "Split: waist", "W", "Cut this nucleus where it is narrowest", editing.split_at_waist
    ),
    "holes": Action("Fill holes", "H", "Fill the background inside", editing.fill_holes),
    "grow": Action("Grow", "G", "Grow this nucleus by a pixel", editing.grow),
    "shrink": Action("Shrink", "Shift-G", "Shrink this nucleus by a pixel", editing.shrink),
    "smooth": Action("Smooth", "Shift-S", "Smooth the outline of this nucleus", editing.smooth),
}
# key and tooltip of what is no step of its own
UNDO = {
    "undo": ("Control-Z", "Undo the last step: of a nucleus, a state or a reviewed area"),
    "redo": ("Control-Shift-Z", "Do again what was undone"),
}
END_KEY = "Escape"
KEYS = {
    **{action.key: name for name, action in ACTIONS.items()},
    **{key: name for name, (key, _) in UNDO.items()},
    END_KEY: "end",
}
TOOL_HINTS = {
    "merge": "click the first of two nuclei · J or Esc ends",
    "line": "draw a line through a nucleus · K or Esc ends",
    "add": "click a missed nucleus, or drag a box · U or Esc ends",
}
ORDER_TITLES = {
    "reading": "in reading order",
    "size": "smallest first",
    "uncertain": "least certain first",
}
REVIEWED = (
    "Inside, everything counts when a model learns: nuclei and background. Draw areas in the layer "
    "“reviewed”, or:"
)
# title and tooltip of what makes an area reviewed
REVIEWS = {
    "view": ("This view", "What the window shows"),
    "image": ("Whole image", "All of this plane"),
    "around": ("Around confirmed", "The surroundings of confirmed and edited nuclei"),
    "clear": ("Clear", "No area is reviewed"),
}
COLUMNS = 2


class ToolButtons(QWidget):
    """A button for each action, with its key.

    Parameters
    ----------
    act : callable
        Called with the name of the action.
    """

    def __init__(self, act: Callable[[str], None]) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        self.of: dict[str, QPushButton] = {}
        for i, (name, action) in enumerate(ACTIONS.items()):
            key = shown(action.key)
            made = button("", partial(act, name), f"{action.tooltip} ({key})")
            made.setAccessibleName(action.title)
            made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            made.setCheckable(name in TOOL_HINTS)
            inner = QGridLayout(made)
            inner.setContentsMargins(8, 0, 8, 0)
            title, sign = QLabel(action.title), QLabel(key)
            for column, label in enumerate((title, sign)):
                label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
                label.setStyleSheet("background: transparent;")
                inner.addWidget(label, 0, column)
            sign.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            sign.setObjectName("key")
            made.setMinimumHeight(26)
            grid.addWidget(made, i // COLUMNS, i % COLUMNS)
            self.of[name] = made

    def show_tool(self, tool: str) -> None:
        """Show which tool is on."""
        for name in TOOL_HINTS:
            self.of[name].setChecked(name == tool)

    def paint(self, theme: Any) -> None:
        """Take the colours of napari's theme."""
        strong, words = theme.current.as_hex(), theme.text.as_hex()
        self.setStyleSheet(
            f"QPushButton:checked {{ background-color: {strong}; color: {words}; }}"
            f"QLabel#key {{ color: {words}; font-weight: bold; }}"
        )


class Legend(QLabel):
    """What the colours of outlines mean, and how many nuclei have each."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.setToolTip("Outlines show what became of each nucleus; yellow is the one looked at")

    def show_counts(self, predicted: int, edited: int, confirmed: int) -> None:
        """Say how many nuclei there are of each state."""
        counts = {"predicted": predicted, "edited": edited, "confirmed": confirmed}
        self.setText(
            " &nbsp; ".join(
                f'<span style="color: {COLOURS[name]}">■</span>&nbsp;{name}&nbsp;{count}'
                for name, count in counts.items()
            )
        )
