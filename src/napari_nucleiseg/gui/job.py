"""Job: drains the events of a task on a thread and tells of them on the GUI's thread."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace

from napari.qt.threading import create_worker
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Signal, Slot
from superqt.utils import WorkerBase

from ..tasks import Task


class _Ears(QObject):
    """Lives on the GUI's thread, so what is sent to its slots arrives there, in order."""

    # not "event": that is a method of every QObject
    heard = Signal(object)
    failed = Signal(object)
    ended = Signal()

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._task = task
        self.heard.connect(self._on_event)
        self.failed.connect(self._on_failed)
        self.ended.connect(self._on_end)

    @Slot(object)
    def _on_event(self, event: object) -> None:
        self._task.on_event(event)

    @Slot(object)
    def _on_failed(self, error: object) -> None:
        self._task.on_failed(error)

    @Slot()
    def _on_end(self) -> None:
        self._task.on_end()


def _tell(sender: QObject, signal: str, *args: object) -> None:
    """Send a signal; where Qt has deleted its sender the program is ending, and nobody listens."""
    try:
        getattr(sender, signal).emit(*args)
    except RuntimeError:
        if isalive(sender):
            raise


def _drain(task: Task, ears: _Ears) -> None:
    """Tell of all events; closing them here lets their ``finally`` run on this thread."""
    try:
        with closing(task.events) as events:
            for event in events:
                if task.cancelled:
                    break
                _tell(ears, "heard", event)
    except Exception as error:
        _tell(ears, "failed", error)


class _Work:
    """What napari is given to run: its text is in napari's question before it closes."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self) -> None:
        """Do nothing: the job drains the task."""

    def __str__(self) -> str:
        return self.task.title


class Job(WorkerBase):
    """A task on a thread of Qt's pool; napari asks before it closes on one, and then quits it."""

    def __init__(self, work: _Work) -> None:
        super().__init__()
        self._task = work.task
        self._ears = _Ears(work.task)

    def run(self) -> None:
        """Do the work.

        Overridden since the original changes the warning filters of the whole process meanwhile,
        which is not safe on a thread: napari's proxies change them, too, at every access.
        """
        _tell(self.signals, "started")
        self._running = True
        self.work()
        self._running = False
        _tell(self._ears, "ended")
        _tell(self.signals, "finished")
        _tell(self.signals, "_finished", self)

    def work(self) -> None:
        """Drain the events."""
        _drain(self._task, self._ears)

    def quit(self) -> None:
        """Stop now; napari calls it when its window closes, and then waits for the end."""
        super().quit()
        self._task.cancelled = True
        self._task.stop()


def run_in_thread(task: Task) -> None:
    """Drain a task on a thread; the runner of every session of a viewer."""
    job = create_worker(_Work(task), _worker_class=Job, _ignore_errors=True, _start_thread=False)
    job.start()


# ears of tasks under way: Qt deletes what nobody holds
_heard: set[_Ears] = set()


def run_beside(task: Task) -> None:
    """Drain a task on a thread of its own, about which napari need not ask before it closes.

    For what is short and changes nothing; it waits for no other work either.
    """

    def end() -> None:
        _heard.discard(ears)
        task.on_end()

    def work() -> None:
        _drain(task, ears)
        _tell(ears, "ended")

    ears = _Ears(replace(task, on_end=end))
    _heard.add(ears)
    threading.Thread(target=work, name=task.title, daemon=True).start()
