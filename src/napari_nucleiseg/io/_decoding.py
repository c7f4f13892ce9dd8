"""What all formats share while they decode: damage becomes one sentence, size is checked first."""

from __future__ import annotations

import ctypes
import logging
import os
import struct
import sys
import threading
import tokenize
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import FileError

# Decoders meet damaged bytes with whatever their arithmetic runs into, and document none of it.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,  # those of imagecodecs
    SyntaxError,  # Pillow, for a broken PNG
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,  # NumPy, for a broken header
    zlib.error,
)

# words of decoders that refuse a file which is not damaged
_WHOLE_BUT_REFUSED = (
    (
        "MAX_TEXT",
        "The picture holds a text too long for a picture",
        "Save it again without its texts (metadata)",
    ),
    (
        "Python objects",
        "The array holds objects of Python, not numbers",
        "Save it again as an array of numbers",
    ),
)


def damaged(path: Path, kind: str, detail: str = "") -> FileError:
    """The error for a file whose bytes are not a whole picture."""
    return FileError(
        f"The {kind} file is damaged or incomplete",
        f"{path.name} ({detail})" if detail else path.name,
        "Copy or download it again, or export it again from the microscope's program",
    )


@contextmanager
def decoding(path: Path, kind: str, *own: type[Exception]) -> Iterator[None]:
    """Turn what a decoder raises into a `FileError` that names the file.

    Parameters
    ----------
    path : Path
        The file that is being read.
    kind : str
        Name of the format, for the message.
    own : exception types
        Those of the decoder's library.
    """
    damage: tuple[type[Exception], ...] = (*DAMAGE, *own)
    # what the decoder says is for programmers; it stays in the traceback
    try:
        yield
    except MemoryError as error:
        raise FileError(
            "The picture does not fit into the memory",
            path.name,
            "Close other programs, or crop the picture",
        ) from error
    except damage as error:
        for sign, what, remedy in _WHOLE_BUT_REFUSED:
            if sign in str(error):
                raise FileError(what, path.name, remedy) from error
        raise damaged(path, kind) from error


@contextmanager
def listening(logger: str) -> Iterator[list[str]]:
    """Collect what a library logs in this thread, instead of letting it reach the user.

    Parameters
    ----------
    logger : str
        Name of the library's logger.

    Yields
    ------
    list of str
        The messages of level warning and above, growing while the block runs.
    """
    heard: list[str] = []
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        if record.levelno >= logging.WARNING:
            heard.append(record.getMessage())
        return False

    source = logging.getLogger(logger)
    source.addFilter(keep)
    try:
        yield heard
    finally:
        source.removeFilter(keep)


def available_bytes() -> int | None:
    """Memory that a new array can take, or None where the system does not say."""
    if sys.platform == "win32":

        class Status(ctypes.Structure):
            _fields_ = (
                ("length", ctypes.c_ulong),
                ("load", ctypes.c_ulong),
                *((name, ctypes.c_ulonglong) for name in ("total", "available", *"abcde")),
            )

        status = Status(length=ctypes.sizeof(Status))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.available)
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def check_size(path: Path, pixels_bytes: int) -> None:
    """Refuse a picture that cannot fit, before anything is allocated.

    Parameters
    ----------
    path : Path
        The file whose header was read.
    pixels_bytes : int
        What the header claims the pixels take.

    Raises
    ------
    FileError
        If that is more than the computer has free.
    """
    free = available_bytes()
    if free is not None and pixels_bytes > free:
        raise FileError(
            "The picture is larger than the free memory",
            f"{path.name} claims {pixels_bytes / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free",
            "Crop it, or save it again at a lower magnification",
        )
