"""Before and after: a table of scores, what it means in words, and what to do now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .. import wording
from ..events import Comparison, Finetuned
from .widgets import button, text

SCORES = (
    ("dice", "Dice", "Agreement of all pixels in nuclei with the truth"),
    ("iou", "IoU", "Overlap of all pixels in nuclei with the truth"),
    ("ap50", "AP@0.5", "Share of nuclei found, none merged or split, at an overlap of 0.5"),
    ("ap", "AP", "The same, mean over overlaps of 0.5 to 0.95: how good outlines are, too"),
    ("pq", "PQ", "Panoptic quality: how many are found, times how well they are outlined"),
)
# Okabe and Ito 2008; the arrows say the same to those who do not see it
_BETTER, _WORSE = "#009E73", "#D55E00"


class ProofView(QWidget):
    """What a fine-tuning brought.

    Parameters
    ----------
    look, use, again : callable
        What the buttons do: show both results, adopt the model, segment again.
    """

    def __init__(
        self,
        look: Callable[[], Any],
        use: Callable[[], Any],
        again: Callable[[], Any],
    ) -> None:
        super().__init__()
        self.verdict = text()
        self.table = QTableWidget(len(SCORES), 0)
        self.table.setAccessibleName("Scores before and after")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.horizontalHeader().setMinimumSectionSize(60)
        self.table.setMinimumWidth(150)
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.words = text()
        self.look_button = button(
            "Show before and after",
            look,
            "Let both models segment the image, and mark the nuclei that differ",
        )
        self.use_button = button("Use this model", use, "Choose it for all that follows")
        self.again_button = button(
            "Segment open images again", again, "With the new model; what you edited is kept"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (
            *(self.verdict, self.table, self.look_button, self.use_button),
            *(self.again_button, self.words),
        ):
            layout.addWidget(widget)
        self._colours = ("", "")
        self.hide()

    def show_result(self, done: Finetuned) -> None:
        """Show another result."""
        if done.recommended:
            self.verdict.setText(f"Recommended. {done.reason}.")
        else:
            self.verdict.setText(f"Not recommended: kept as {done.name}. {done.reason}.")
        self.verdict.setProperty("recommended", done.recommended)
        self.use_button.setText("Use this model" if done.recommended else "Use it all the same...")
        self.use_button.setEnabled(True)
        self.again_button.hide()
        self._fill(done.comparisons)
        said = [f"{_title(c)}: {c.words}." for c in done.comparisons if c.words]
        self.words.setText("\n".join(said))
        self.words.setVisible(bool(said))
        self._paint_verdict()
        self.show()

    def show_adopted(self, name: str, open_images: int) -> None:
        """Say that the model is in use, and offer to segment again."""
        self.use_button.setEnabled(False)
        self.use_button.setText("In use")
        self.verdict.setText(f"{name} is in use now.")
        what = "the open image" if open_images == 1 else f"{open_images} open images"
        self.again_button.setText(f"Segment {what} again")
        self.again_button.setVisible(open_images > 0)

    def paint(self, theme: Any) -> None:
        """Take the colours of a theme."""
        self._colours = theme.current.as_hex(), theme.warning.as_hex()
        self._paint_verdict()

    def _paint_verdict(self) -> None:
        colour = self._colours[0 if self.verdict.property("recommended") else 1]
        self.verdict.setStyleSheet(
            f"QLabel {{ border-left: 3px solid {colour}; padding-left: 4px; font-weight: bold; }}"
        )

    def _fill(self, comparisons: tuple[Comparison, ...]) -> None:
        table = self.table
        table.setColumnCount(len(comparisons))
        table.setHorizontalHeaderLabels([_title(c) for c in comparisons])
        table.setVerticalHeaderLabels([title for _, title, _ in SCORES])
        for line, (name, _, about) in enumerate(SCORES):
            table.verticalHeaderItem(line).setToolTip(about)
            for at, comparison in enumerate(comparisons):
                before, after = comparison.before[name], comparison.after[name]
                change = after - before
                # as it is written: more digits do not fit, and less is chance
                step = round(after, 2) - round(before, 2)
                sign = "▲" if step > 0 else "▼" if step < 0 else "="
                item = QTableWidgetItem(f"{before:.2f} → {after:.2f} {sign}")
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                values = f"{before:.3f} → {after:.3f}, {change:+.3f}"
                item.setToolTip(f"{about}. {comparison.where}: {values}")
                if sign != "=":
                    item.setForeground(QColor(_BETTER if change > 0 else _WORSE))
                table.setItem(line, at, item)
        for at, comparison in enumerate(comparisons):
            about = f"{comparison.where}: {wording.nuclei(comparison.nuclei)}, not learned from"
            table.horizontalHeaderItem(at).setToolTip(about)
        table.setVisible(bool(comparisons))
        table.setFixedHeight(26 + 22 * len(SCORES) + 4)


def _title(comparison: Comparison) -> str:
    """Say in two or three words on which nuclei."""
    if comparison.where.startswith("held-out"):
        return "Your nuclei"
    return "What it knew"
