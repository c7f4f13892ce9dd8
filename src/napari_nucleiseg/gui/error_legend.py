"""What the colours and lines of the error layers mean, with counts, and the scale of IoU."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from ..comparison import Kind
from ..marks import FILL, LINES
from .error_layers import colours_of_levels

_PENS = {
    Kind.MISSED: [3, 1.5],
    Kind.EXTRA: [1, 1.5],
    Kind.SPLIT: [3, 1.2, 1, 1.2],
}


def swatch(kind: Kind) -> QPixmap:
    """Draw a small nucleus as the errors layer draws this kind."""
    picture = QPixmap(22, 16)
    picture.fill(QColor(0, 0, 0, 0))
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(QColor(kind.colour), 1.2 if kind == Kind.CORRECT else 2.4)
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    if kind in _PENS:
        pen.setDashPattern(_PENS[kind])
    painter.setPen(pen)
    inside = QColor(kind.colour)
    inside.setAlphaF(FILL[kind])
    painter.setBrush(inside)
    painter.drawEllipse(2, 2, 18, 12)
    painter.end()
    return picture


class Legend(QWidget):
    """All kinds of nuclei, with how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Legend of the errors")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(4)
        layout.setVerticalSpacing(1)
        self.counts: dict[Kind, QLabel] = {}
        for at, kind in enumerate(Kind):
            line, column = divmod(at, 2)
            sign, said = QLabel(), QLabel(kind.words)
            sign.setPixmap(swatch(kind))
            for label in (sign, said):
                label.setToolTip(f"{kind.words}: {LINES[kind]}")
            self.counts[kind] = QLabel("")
            self.counts[kind].setAlignment(Qt.AlignmentFlag.AlignRight)
            for place, label in enumerate((sign, said, self.counts[kind])):
                layout.addWidget(label, line, 4 * column + place)
        layout.setColumnMinimumWidth(3, 12)
        for stretched in (1, 5):
            layout.setColumnStretch(stretched, 1)

    def show_counts(self, counts: Mapping[str, int]) -> None:
        """Say how many there are of each kind, by its words."""
        for kind, label in self.counts.items():
            label.setText(str(counts[kind.words]))


class ColourBar(QWidget):
    """The scale of the layers of IoU and Dice, from 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Colours of IoU and Dice from 0 to 1")
        self.setToolTip("Colours of the layers IoU and Dice")
        self.setFixedHeight(30)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the colours, and numbers below."""
        painter = QPainter(self)
        bar = self.rect().adjusted(10, 0, -10, -18)
        gradient = QLinearGradient(bar.left(), 0, bar.right(), 0)
        colours = colours_of_levels()[1:]
        for at in range(0, len(colours), 5):
            gradient.setColorAt(at / (len(colours) - 1), QColor.fromRgbF(*map(float, colours[at])))
        painter.fillRect(bar, gradient)
        painter.setPen(self.palette().text().color())
        for value in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = round(bar.left() + value * bar.width())
            painter.drawLine(x, bar.bottom(), x, bar.bottom() + 3)
            place = self.rect().adjusted(x - 20, 14, 0, 0)
            place.setWidth(40)
            said = f"{value:g}" + (" IoU" if value == 1 else "")
            painter.drawText(place, Qt.AlignmentFlag.AlignHCenter, f"{value:g}" if said else "")
        painter.end()
