"""Which planes of a stack: the one shown, or all of them, joined."""

from __future__ import annotations

from napari.layers import Image
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from ..config import JoinConfig
from ..session import Session
from . import memory
from .axes import axes_of
from .forms import ElidedComboBox, Form, shrink
from .joined import PLANES
from .layers import level_of
from .widgets import add_row, fill_data, show_row

JOIN = ("join_overlap", "join_length", "join_gap")
_CHOICES = {
    "Z": "all, joined through depth",
    "T": "all, joined to tracks",
}


class PlaneChooser(QObject):
    """A row of a dock in which planes are chosen, and a form of how their nuclei are joined.

    Parameters
    ----------
    session : Session
    form : QFormLayout
        Where to add the row.
    owner : QWidget
        The dock.
    running : str
        Letter of the axis whose planes are segmented already.

    Attributes
    ----------
    changed : Signal(str)
        Letter of the axis along which all planes are taken; empty for the plane shown.
    settings : Form
        How nuclei of successive planes are joined.
    """

    changed = Signal(str)

    def __init__(
        self, session: Session, form: QFormLayout, owner: QWidget, running: str = ""
    ) -> None:
        super().__init__(owner)
        self._running = running
        self._session, self._form = session, form
        self.planes = shrink(ElidedComboBox())
        self.planes.activated.connect(lambda _: self._tell())
        meaning = "Find the nuclei of one plane, or of all and which of them are the same"
        add_row(form, "Planes", self.planes, meaning)
        self.settings = Form(session.joining, JOIN)
        self.settings.changed.connect(self._change)
        self.show_layer(None)

    @property
    def letter(self) -> str:
        """Letter of the axis along which all planes are taken; empty for the plane shown."""
        return self.planes.currentData() or ""

    @property
    def joining(self) -> JoinConfig:
        """What is chosen, as the command line has it."""
        return self._session.joining.model_copy(update={"join": self.letter.lower() or "none"})

    def show_layer(self, layer: Image | None) -> None:
        """Offer what there is in an image; the choice stays where it can."""
        axes = "" if layer is None else axes_of(layer)
        found = [(words, letter) for letter, words in _CHOICES.items() if letter in axes]
        # until something is offered, what runs already is chosen
        chosen = self.letter if self.planes.count() > 1 else self._running or self.letter
        fill_data(self.planes, [("this plane", ""), *found], chosen)
        show_row(self._form, self.planes, bool(found))
        self._tell()

    def set_enabled(self, enabled: bool) -> None:
        """Let the user choose, or not."""
        self.planes.setEnabled(enabled)
        self.settings.setEnabled(enabled)

    def reset(self) -> None:
        """Take back how nuclei are joined."""
        self._session.joining = JoinConfig()
        memory.remember_joining(self._session.joining)
        self.settings.show_config(self._session.joining)

    def title(self, layer: Image) -> str:
        """Say what the main button does: "Segment all 20 focal planes"."""
        count = level_of(layer).shape[axes_of(layer).index(self.letter)]
        return f"Segment all {count} {PLANES[self.letter]}"

    def _tell(self) -> None:
        self.settings.setVisible(bool(self.letter))
        self.changed.emit(self.letter)

    def _change(self, name: str, value: object) -> None:
        self._session.joining = self._session.joining.model_copy(update={name: value})
        memory.remember_joining(self._session.joining)
