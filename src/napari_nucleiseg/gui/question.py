"""A question before something that cannot be taken back."""

from __future__ import annotations

from qtpy.QtWidgets import QMessageBox, QWidget


def agrees(parent: QWidget, question: str, more: str, yes: str, no: str = "Cancel") -> bool:
    """Ask; the harmless answer is the one that Enter and Esc give.

    Parameters
    ----------
    parent : QWidget
    question : str
    more : str
        What follows from it.
    yes, no : str
        Words on the buttons.
    """
    box = QMessageBox(QMessageBox.Icon.Question, "Fine-tune", question, parent=parent)
    box.setInformativeText(more)
    accept = box.addButton(yes, QMessageBox.ButtonRole.AcceptRole)
    reject = box.addButton(no, QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(reject)
    box.setEscapeButton(reject)
    box.exec()
    return box.clickedButton() is accept
