"""The journal of strokes: appended at once, each record with its length and its check sum.

A record that was cut off by a crash is recognised and left out; records before it are untouched,
since nothing is ever written but at the end.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import struct
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..editing import Change, Emptying, State
from ..errors import FileError, reason
from ..reviewed import Area, as_records, from_records

MAGIC = b"nucleiseg journal 1\n"
SYNC_S = 1.0
RETRY_S = 1.0
_FRAME = struct.Struct("<II")
_HEADER = struct.Struct("<I")
_MOST_BYTES = 1 << 31


@dataclass(frozen=True)
class Stroke:
    """One step of a correction; what is None stays as it is.

    Attributes
    ----------
    change : Change or None
        Of the label image.
    states : mapping of int to (State or None), or None
        New states of the nuclei that get one; None forgets that of a nucleus.
    reviewed : tuple of Area or None
        All reviewed areas from now on.
    emptied : Emptying or None
        Places that a person emptied, or filled again.
    """

    change: Change | None = None
    states: Mapping[int, State | None] | None = None
    reviewed: tuple[Area, ...] | None = None
    emptied: Emptying | None = None

    def __bool__(self) -> bool:
        """Whether it says anything."""
        parts = (self.change, self.states, self.reviewed, self.emptied)
        return any(part is not None for part in parts)


def _steps(indices: np.ndarray) -> bytes:
    """Ascending numbers as differences, which are small."""
    return np.diff(indices, prepend=0).astype("<i8").tobytes()


def encode(stroke: Stroke) -> bytes:
    """A stroke as a record of the journal."""
    header: dict[str, Any] = {}
    arrays = b""
    if stroke.change is not None:
        change = stroke.change
        header["shape"], header["pixels"] = list(change.shape), len(change)
        arrays = _steps(change.indices) + change.after.astype("<i4").tobytes()
    if stroke.states is not None:
        header["states"] = {
            str(n): None if s is None else State(s).name.lower() for n, s in stroke.states.items()
        }
    if stroke.reviewed is not None:
        header["reviewed"] = as_records(stroke.reviewed)
    if stroke.emptied is not None:
        gained, lost = stroke.emptied.gained, stroke.emptied.lost
        header["emptied"] = [len(gained), len(lost)]
        arrays += _steps(gained) + _steps(lost)
    head = json.dumps(header).encode()
    payload = zlib.compress(_HEADER.pack(len(head)) + head + arrays, 1)
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _decode(payload: bytes, source: str) -> Stroke:
    content = zlib.decompress(payload)
    (size,) = _HEADER.unpack_from(content)
    at = _HEADER.size + size
    header = json.loads(content[_HEADER.size : at])

    def take(kind: str, count: int) -> np.ndarray:
        nonlocal at
        found = np.frombuffer(content, kind, count, at)
        at += found.nbytes
        return found

    change = emptied = None
    if "pixels" in header:
        indices = np.cumsum(take("<i8", header["pixels"]))
        after = take("<i4", header["pixels"]).astype(np.int32)
        # old numbers are those of the image that the journal is replayed onto
        change = Change(indices, np.zeros_like(after), after, tuple(header["shape"]))
    if "emptied" in header:
        gained, lost = (np.cumsum(take("<i8", count)) for count in header["emptied"])
        emptied = Emptying(gained, lost)
    states = header.get("states")
    if states is not None:
        states = {int(n): None if s is None else State[s.upper()] for n, s in states.items()}
    reviewed = header.get("reviewed")
    if reviewed is not None:
        reviewed = tuple(from_records(reviewed, source))
    return Stroke(change, states, reviewed, emptied)


def read_journal(path: Path) -> tuple[list[Stroke], int]:
    """Read all complete records of a journal.

    Returns
    -------
    list of Stroke
        Their changes know new numbers alone; `Change.before` is 0.
    int
        Bytes at the end that are no complete record: a stroke that a crash cut off.

    Raises
    ------
    FileError
        If the file cannot be read or is no journal.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError("The journal cannot be read", f"{path} ({reason(error)})") from error
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data):
            return [], len(data)
        raise FileError(
            "This is no journal of corrections",
            str(path),
            "If a newer version of this program made it, update",
        )
    strokes: list[Stroke] = []
    at = len(MAGIC)
    while at + _FRAME.size <= len(data):
        length, check = _FRAME.unpack_from(data, at)
        payload = data[at + _FRAME.size : at + _FRAME.size + length]
        if length > _MOST_BYTES or len(payload) < length or zlib.crc32(payload) != check:
            break
        strokes.append(_decode(payload, str(path)))
        at += _FRAME.size + length
    return strokes, len(data) - at


@dataclass(frozen=True)
class _Rotate:
    path: Path


@dataclass(frozen=True)
class _Barrier:
    reached: threading.Event
    last: bool = False


class Journal:
    """Writes strokes on a thread of its own, so that whoever draws never waits for the disk.

    Each record goes to the system at once, which is what outlives the end of this process, and to
    the disk at most once a second, which is what outlives a power cut. When the disk refuses, the
    strokes wait in memory, `problem` says why, and writing is tried again each second. When
    anything else ends the thread, they wait as well: the next call begins another one.

    Parameters
    ----------
    path : Path
        A new file.
    """

    def __init__(self, path: Path) -> None:
        self.problem: FileError | None = None
        self._path, self._file, self._end = path, -1, 0
        self._queue: queue.SimpleQueue[Stroke | _Rotate | _Barrier] = queue.SimpleQueue()
        self._unsynced, self._synced_at = False, 0.0
        # what was received and is not performed yet; the next thread goes on with it
        self._waiting: deque[Stroke | _Rotate | _Barrier] = deque()
        self._closed = False
        self._starting = threading.Lock()
        self._thread = self._start()
        atexit.register(self.close)

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="nucleiseg-journal", daemon=True)
        thread.start()
        return thread

    def _put(self, job: Stroke | _Rotate | _Barrier) -> None:
        """Hand over to the thread; begin another one if it ended."""
        self._queue.put(job)
        with self._starting:
            if not self._thread.is_alive():
                self._thread = self._start()

    def append(self, stroke: Stroke) -> None:
        """Keep a stroke; returns at once. Its arrays must not be changed afterwards."""
        if self._closed:
            raise FileError("The corrections are closed", str(self._path), "Open them again")
        self._put(stroke)

    def rotate(self, path: Path) -> None:
        """Go on in another new file; strokes appended before this stay in the earlier one."""
        self._put(_Rotate(path))

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until all is on the disk.

        Raises
        ------
        FileError
            If the disk refuses, or takes too long.
        """
        barrier = _Barrier(threading.Event())
        self._put(barrier)
        deadline = time.monotonic() + timeout_s
        while not barrier.reached.wait(0.05):
            if self.problem is not None:
                raise self.problem
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise FileError("The disk does not answer", str(self._path), "Check the drive")

    def close(self) -> None:
        """Write what is left, and end.

        Raises
        ------
        FileError
            If the disk refused to the end: the last strokes are not kept.
        """
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._put(_Barrier(threading.Event(), last=True))
        self._thread.join()
        if not self._queue.empty():  # it ended of something else just before
            self._thread = self._start()
            self._thread.join()
        if self.problem is not None:
            raise self.problem

    def _run(self) -> None:
        try:
            self._work()
        finally:
            # whatever ends the thread, out of memory for one, is told of by the next call
            error = sys.exc_info()[1]
            if isinstance(error, Exception):
                self.problem = self._refused(error, "They are kept in memory and tried again")

    def _work(self) -> None:
        is_last = False
        while not is_last:
            self._receive()
            is_last = any(isinstance(job, _Barrier) and job.last for job in self._waiting)
            try:
                while self._waiting:
                    self._perform(self._waiting[0])
                    self._waiting.popleft()
                if self._unsynced and time.monotonic() - self._synced_at >= SYNC_S:
                    self._sync()
                self.problem = None
            except OSError as error:
                self.problem = self._refused(
                    error,
                    "Check free space and permissions; they are kept in memory and tried again",
                )
        self._leave()

    def _refused(self, error: Exception, advice: str) -> FileError:
        why = "out of memory" if isinstance(error, MemoryError) else reason(error)
        place = f"{self._path} ({why})"
        return FileError("Corrections cannot be written to the project", place, advice)

    def _receive(self) -> None:
        """Wait for work, as long as there is none that waits already."""
        timeout = None
        if self._waiting or self.problem is not None:
            timeout = RETRY_S
        elif self._unsynced:
            timeout = max(0.0, self._synced_at + SYNC_S - time.monotonic())
        try:
            self._waiting.append(self._queue.get(timeout=timeout))
            while True:
                self._waiting.append(self._queue.get_nowait())
        except queue.Empty:
            return

    def _perform(self, job: Stroke | _Rotate | _Barrier) -> None:
        if isinstance(job, Stroke):
            self._write(encode(job))
        elif isinstance(job, _Rotate):
            self._leave()
            self._path = job.path
        else:
            self._sync()
            job.reached.set()

    def _write(self, record: bytes) -> None:
        if self._file < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._file, self._end = os.open(self._path, flags, 0o666), 0
        data = record if self._end else MAGIC + record
        # what an earlier, refused try left behind goes first
        os.ftruncate(self._file, self._end)
        os.lseek(self._file, self._end, os.SEEK_SET)
        written = 0
        while written < len(data):
            written += os.write(self._file, data[written:])
        self._end += written
        self._unsynced = True

    def _sync(self) -> None:
        if self._file >= 0 and self._unsynced:
            os.fsync(self._file)
        self._unsynced, self._synced_at = False, time.monotonic()

    def _leave(self) -> None:
        """Close the file, if one is open."""
        if self._file >= 0:
            try:
                if self.problem is None:
                    self._sync()
            finally:
                os.close(self._file)
                self._file = -1
