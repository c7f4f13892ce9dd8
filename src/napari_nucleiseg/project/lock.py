"""One writer for each project: a lock of the operating system, which ends with its process."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from ..files import write_text


class Lock:
    """The right to write to a project.

    A process that ends in whatever way gives it back, since the operating system holds it.

    Parameters
    ----------
    folder : Path
        Of the project.

    Attributes
    ----------
    refusal : str
        Why it was not got, in one sentence; empty if it was.
    """

    def __init__(self, folder: Path) -> None:
        self.refusal = ""
        self._lock: BaseFileLock | None = None
        self._holder = folder / "lock.json"
        lock = FileLock(folder / "lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            self.refusal = (
                f"The project {folder} is open in another window{self._who()}. Here it is open "
                "for reading only: corrections are not kept. Close the other window first to make "
                "changes here"
            )
            return
        except OSError as error:
            self.refusal = (
                f"The project {folder} cannot be written to ({error.strerror or error}). It is "
                "open for reading only: corrections are not kept. Check who may write there"
            )
            return
        self._lock = lock
        record = {
            "process": os.getpid(),
            "computer": platform.node(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        write_text(self._holder, json.dumps(record) + "\n")

    def _who(self) -> str:
        """Who holds it, as far as that is known."""
        try:
            holder = json.loads(self._holder.read_text(encoding="utf-8"))
            return f" (process {holder['process']} on {holder['computer']} since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            # the file is there for this sentence alone
            return ""

    def release(self) -> None:
        """Give it back."""
        if self._lock is not None:
            self._holder.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None
