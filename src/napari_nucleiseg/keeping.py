"""Label images kept for later: in memory up to a size, the older ones in a temporary folder."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Hashable
from pathlib import Path

import numpy as np

IN_MEMORY_BYTES = 256 << 20


class KeptLabels:
    """Label images by key; safe to fill on one thread and to read on another.

    Parameters
    ----------
    most_bytes : int
        Beyond this the oldest ones go to a temporary folder, which is removed with this object.
    """

    def __init__(self, most_bytes: int = IN_MEMORY_BYTES) -> None:
        self._most_bytes = most_bytes
        self._in_memory: dict[Hashable, np.ndarray] = {}
        self._files: dict[Hashable, Path] = {}
        self._folder: Path | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._in_memory) + len(self._files)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._in_memory or key in self._files

    @property
    def in_memory(self) -> int:
        """How many of them are in memory."""
        return len(self._in_memory)

    def keep(self, key: Hashable, labels: np.ndarray) -> None:
        """Keep a label image; keys are used once."""
        with self._lock:
            self._in_memory[key] = labels
            while sum(a.nbytes for a in self._in_memory.values()) > self._most_bytes:
                oldest = next(iter(self._in_memory))
                path = self._place() / f"{len(self._files)}.npz"
                np.savez_compressed(path, labels=self._in_memory[oldest])
                self._files[oldest] = path
                del self._in_memory[oldest]

    def __getitem__(self, key: Hashable) -> np.ndarray:
        """Give a copy of a label image."""
        with self._lock:
            if key in self._in_memory:
                return self._in_memory[key].copy()
            with np.load(self._files[key]) as file:
                return np.asarray(file["labels"])

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="nucleiseg-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder
