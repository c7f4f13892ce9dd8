"""What happens when a window or a dock closes: questions before it, and nothing left after it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QWidget

PROVIDER = "Correct nuclei"


class Asking:
    """One reason to ask, for one window.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(viewer)
        self._id: Any = None

    def show(self, reason: str) -> None:
        """Give the reason in words, or take it back by an empty one."""
        viewer = self._viewer()
        window = getattr(viewer, "window", None)
        manager = getattr(window, "_task_status_manager", None)
        if manager is None:  # another napari: it asks in general, if its user wants that
            return
        from napari.utils.task_status import Status

        if self._id is not None:
            status = Status.BUSY if reason else Status.COMPLETED
            manager.update_task_status(self._id, status, reason)
        elif reason:
            self._id = manager.register_task_status(PROVIDER, Status.BUSY, reason)


class _Leaving(QObject):
    """Ends what hangs on a dock that napari has taken out of its window."""

    def __init__(self, dock: QWidget, end: Callable[[Any], None]) -> None:
        super().__init__(dock)
        self._end = end

    def eventFilter(self, dock: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        if event.type() == QEvent.Type.ParentChange:
            # a dock that is moved has another parent by then
            QTimer.singleShot(0, partial(_end_if_left, weakref.ref(dock), self._end))
        return False


def _end_if_left(reference: weakref.ref[Any], end: Callable[[Any], None]) -> None:
    dock = reference()
    try:
        if dock is not None and dock.parent() is None:
            end(dock)
    except RuntimeError:
        # Qt has deleted it already
        return


def when_closed(dock: QWidget, end: Callable[[Any], None]) -> None:
    """Call something with a dock after its X was pressed.

    Parameters
    ----------
    dock : QWidget
    end : callable
        It must not keep the dock alive.
    """
    dock.installEventFilter(_Leaving(dock, end))


def end_when_closed(dock: QWidget) -> None:
    """Delete a dock after its X was pressed, so that keys, callbacks and layers of its own go.

    napari only takes its widget out of the window, and what hangs on the widget would live on.
    """
    when_closed(dock, QWidget.deleteLater)
