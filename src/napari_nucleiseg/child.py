"""A Python process beside this one, for work that would make a window stutter.

Importing torch holds the interpreter for a quarter of a second at a stretch, also when a thread
does it, and some steps of a segmentation hold it for as long on large micrographs. And OpenVINO on
a thread of Qt's pool ends the whole program under PyQt6: both manage the thread's state of Python.
So a generator of events can run over there: `Child.run` gives its events one by one, as if it ran
here, and closing that closes the generator over there, so that its ``finally`` runs.

Parent and child take turns: the child computes the next event only when it is asked for, so it is
never more than one step ahead of a cancel.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import IO, Any

import numpy as np

from .errors import NucleisegError
from .events import Event
from .wording import sentence

NICENESS = 5
PATIENCE_S = 5.0


class ChildError(Exception):
    """The traceback of an error in the child, as text; the cause of the error raised here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _GoneError(Exception):
    """The other side of the pipe is gone; its own class, since work can raise EOFError, too."""


def _pack(message: Any) -> list[Any]:
    """Pickle a message; arrays lie beside the pickle, uncopied."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    return [head, *(buffer.raw() for buffer in buffers)]


def _unpack(parts: list[np.ndarray]) -> Any:
    """Give the message of what `_pack` gave."""
    head, *buffers = parts
    return pickle.loads(head.tobytes(), buffers=buffers)


def _send(pipe: IO[bytes], parts: list[Any]) -> None:
    """Write one packed message, with the interpreter free for other threads."""
    sizes = struct.pack(f"<{len(parts) + 1}Q", len(parts), *map(len, parts))
    try:
        for part in (sizes, *parts):
            pipe.write(part)
        pipe.flush()
    except (OSError, ValueError) as error:  # ValueError: this side closed it
        raise _GoneError from error


def _read(pipe: IO[bytes], size: int) -> np.ndarray:
    """Read exactly ``size`` bytes into memory that nobody zeroes first."""
    content = np.empty(size, np.uint8)
    view, at = memoryview(content.data), 0
    while at < size:
        try:
            count = pipe.readinto(view[at:])  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:
            raise _GoneError from error
        if not count:
            raise _GoneError
        at += count
    return content


def _receive(pipe: IO[bytes]) -> list[np.ndarray]:
    """Read one packed message; where it fails, nobody knows what the next bytes mean."""
    (count,) = struct.unpack("<Q", _read(pipe, 8).tobytes())
    sizes = struct.unpack(f"<{count}Q", _read(pipe, 8 * count).tobytes())
    return [_read(pipe, size) for size in sizes]


def serve() -> None:
    """Run generators for the parent until it closes the pipe: what the child process does."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    # whatever a library prints must not end up between the messages
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(NICENESS)  # the window goes first where there are fewer cores than work
    # Ctrl-C in the terminal that started napari is the parent's to answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            _send(sink, _pack(_run(source, sink, _receive(source))))
    except _GoneError:
        return  # the parent is gone


def _run(source: IO[bytes], sink: IO[bytes], work: list[np.ndarray]) -> tuple[str, Any]:
    """Send the events, each when asked for; give the last message, ``end`` or ``error``."""
    try:
        function, args = _unpack(work)
        work.clear()  # the arrays belong to the function now
        with closing(function(*args)) as events:
            del args
            for event in events:
                _send(sink, _pack(("event", event)))
                if _unpack(_receive(source)) == "close":
                    break
    except _GoneError:
        raise
    except Exception as error:
        return "error", (_sendable(error), traceback.format_exc())
    return "end", None


def _sendable(error: Exception) -> NucleisegError:
    """The error as one that the parent knows, whatever only this process has imported."""
    if type(error).__module__ == NucleisegError.__module__ and isinstance(error, NucleisegError):
        return error
    if isinstance(error, NucleisegError):
        return NucleisegError(error.what, error.where, error.remedy)
    return NucleisegError(sentence(error))


class Child:
    """One child process; it starts with the first work and stays for the next, all imports done."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None
        self._turn = threading.Lock()
        self._at_work: object | None = None
        self._closed = False

    def run(self, function: Callable[..., Iterator[Event]], *args: Any) -> Iterator[Event]:
        """Run a generator of events over there.

        Parameters
        ----------
        function : callable
            A function at the top of a module; gives an iterator of events.
        *args
            Its arguments; they are pickled.

        Yields
        ------
        Event
            The events of the function, as it gives them.

        Raises
        ------
        NucleisegError
            What the function raised (its traceback is the cause), or that the process died.
        """
        work = _pack((function, args))
        with self._turn:
            source, sink = self._pipes()
            is_at_work = False
            self._at_work = object()
            try:
                self._tell(sink, work)
                is_at_work = True
                while True:
                    kind, value = self._hear(source)
                    is_at_work = kind == "event"
                    if kind == "error":
                        raise value[0] from ChildError(value[1])
                    if kind == "end":
                        return
                    yield value
                    self._tell(sink, _pack("next"))
            finally:
                try:
                    if is_at_work and self._process is not None:
                        # lets the generator over there run its ``finally``
                        self._tell(sink, _pack("close"))
                        kind, value = self._hear(source)
                        if kind == "error":
                            raise value[0] from ChildError(value[1])
                finally:
                    self._at_work = None

    def stop(self, patience_s: float) -> None:
        """End the work under way by force if it has not ended by itself within some seconds.

        A step cannot be interrupted over there, so the process ends with it; the next work starts
        another. Whoever drains `run` gets an error that says so.
        """
        work, process = self._at_work, self._process

        def end() -> None:
            # not a later work, which nobody wants to end
            if work is self._at_work and process is not None:
                process.kill()

        if work is not None:
            timer = threading.Timer(patience_s, end)
            timer.daemon = True
            timer.start()

    def close(self) -> None:
        """End the process, whatever it does; there is no other work for it after that."""
        self._closed = True
        if self._process is not None:
            self._process.kill()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None or self._process.poll() is not None:
            if self._closed:
                raise NucleisegError("The window was closed")
            self._release()
            # the parent's search path as it is now; the current folder is not on it by accident
            code = (
                f"import sys; sys.path[:] = {sys.path!r}; "
                "from napari_nucleiseg.child import serve; serve()"
            )
            self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
                | getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise NucleisegError("The working process has no pipes")
        return self._process.stdout, self._process.stdin

    def _tell(self, sink: IO[bytes], parts: list[Any]) -> None:
        """Send a message; where the process is gone, say how it ended."""
        try:
            _send(sink, parts)
        except _GoneError:
            raise self._death() from None

    def _hear(self, source: IO[bytes]) -> Any:
        """Receive a message; after one that cannot be taken there is no next one."""
        try:
            return _unpack(_receive(source))
        except _GoneError:
            raise self._death() from None
        except BaseException:
            self._end()
            raise

    def _death(self) -> NucleisegError:
        """Say how the process ended, with the last it wrote."""
        process, complaints = self._process, self._complaints
        code: int | None = None
        if process is not None:
            try:
                code = process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()  # it lives, but its pipe is closed
        last = ""
        if complaints is not None:
            complaints.seek(0)
            lines = complaints.read().decode(errors="replace").strip().splitlines()
            last = f": {lines[-1]}" if lines else ""
        self._release()
        if self._closed:
            return NucleisegError("The window was closed")
        # a signal: the system ends what takes too much memory that way
        is_memory = (code is not None and code < 0) or "MemoryError" in last
        return NucleisegError(
            "The working process ended by itself",
            f"{'no answer' if code is None else f'exit code {code}'}{last}",
            "Often memory ran out: close other programs or crop the micrograph, and try again"
            if is_memory
            else "Try again; if it ends again, copy the details and report them",
        )

    def _end(self) -> None:
        """End the process and clear up after it; the next work starts another."""
        if self._process is not None:
            self._process.kill()
        self._release()

    def _release(self) -> None:
        """Close what belongs to a process that has ended."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        continue  # bytes that the dead process never took
            self._process.wait()
        if self._complaints is not None:
            self._complaints.close()
        self._process = self._complaints = None

    def __del__(self) -> None:
        self._closed = True
        self._end()
