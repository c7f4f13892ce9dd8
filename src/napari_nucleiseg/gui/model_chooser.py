"""Which model: a menu with scores, and a window with its card."""

from __future__ import annotations

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from .. import wording
from ..errors import NucleisegError
from ..session import Session
from ..store import ModelCard
from .forms import ElidedComboBox, shrink
from .model_card import as_html, tooltip
from .widgets import TextWindow, add_row, button, fill, index_of, listen, small


class ModelChooser(QObject):
    """A row of a dock in which the model of a session is chosen.

    Parameters
    ----------
    session : Session
    form : QFormLayout
        Where to add the row.
    owner : QWidget
        The dock.
    title : str
        What the row is called.

    Attributes
    ----------
    failed : Signal(Exception)
        The models or a card cannot be read.
    """

    failed = Signal(object)

    def __init__(
        self, session: Session, form: QFormLayout, owner: QWidget, title: str = "Model"
    ) -> None:
        super().__init__(owner)
        self._session, self._owner = session, owner
        self._models: list[ModelCard] = []
        self.model = shrink(ElidedComboBox())
        self.model.activated.connect(lambda _: self._choose())
        self.details = small(button("i", self._show_card, "All that is known about this model"))
        add_row(form, title, self.model, "The model that finds the nuclei", self.details)
        listen(self, [(session.config_changed, self._show)], bare=True)

    def show_models(self) -> None:
        """List the models that there are."""
        self._list_models()
        self._show()

    def _list_models(self) -> None:
        try:
            self._models = self._session.models()
        except NucleisegError as error:
            self._models = []
            self.failed.emit(error)
        fill(self.model, [wording.model_title(m) for m in self._models], -1)
        for i, model in enumerate(self._models):
            self.model.setItemData(i, tooltip(model), Qt.ItemDataRole.ToolTipRole)

    def _show(self) -> None:
        """Show the session's choice; one that is not there any more is replaced by the first."""
        if self._session.model not in [m.name for m in self._models]:
            # one that is new since
            self._list_models()
        names = [m.name for m in self._models]
        if self._session.model not in names and names:
            self._session.model = names[0]
            return
        fill(self.model, None, index_of(names, self._session.model))
        about = self.model.itemData(self.model.currentIndex(), Qt.ItemDataRole.ToolTipRole)
        self.model.setToolTip(
            f"{about or 'No model is installed'}\nPress i for all that is known about it."
        )

    def _choose(self) -> None:
        self._session.model = self._models[self.model.currentIndex()].name

    def _show_card(self) -> None:
        try:
            model = self._session.card()
        except NucleisegError as error:
            self.failed.emit(error)
            return
        TextWindow(model.title, as_html(model), self._owner).show()
