"""Lets napari ask before its window closes on something that would be lost."""

from __future__ import annotations

import weakref
from typing import Any

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
