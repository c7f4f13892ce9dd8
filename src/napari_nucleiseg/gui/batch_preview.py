"""Patches of a training batch as a picture, exactly as the network sees them."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPixmap, QResizeEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from ..preview import BatchDrawn, draw_grid
from .widgets import column, pixmap, text


class Picture(QLabel):
    """A picture as wide as there is room, up to its own size and a half more."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = QPixmap()
        self.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_picture(self, picture: QPixmap) -> None:
        """Show another picture."""
        self._whole = picture
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Fit the picture to the new width."""
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Size of the picture as it is shown."""
        return self.pixmap().size() if self.pixmap() is not None else QSize(0, 0)

    def _fit(self) -> None:
        if self._whole.isNull():
            return
        width = min(max(self.width(), 120), self._whole.width() * 3 // 2)
        smooth = Qt.TransformationMode.SmoothTransformation
        shown = self._whole.scaledToWidth(width, smooth)
        self.setPixmap(shown)
        self.setFixedHeight(shown.height())


class BatchPreview(QWidget):
    """The patches of one step, and what is to be known of them."""

    def __init__(self) -> None:
        super().__init__()
        self.said = text()
        self.picture = Picture()
        self.picture.setAccessibleName("Patches of a training batch")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(column(self.picture, self.said, spacing=4))
        self.hide()

    def show_batch(self, batch: BatchDrawn) -> None:
        """Show the patches of a step."""
        self.show()
        self.picture.show_picture(pixmap(draw_grid(batch.images, batch.labels)))
        side, count = batch.labels.shape[-1], len(batch.labels)
        words = [
            f"Batch {batch.step + 1}: {count} patches of {side} px, turned and varied as the "
            "network sees them. Yellow: what it is to find"
            + (". Dark: not reviewed, does not count." if (batch.labels < 0).any() else ".")
        ]
        if batch.replay:
            words.append(
                f"About {100 * batch.replay:.0f} % are crops that come with the program and keep "
                "the old skill."
            )
        words += [f"{told.rstrip('.')}." for told in batch.left_out]
        self.said.setText("\n".join(words))
