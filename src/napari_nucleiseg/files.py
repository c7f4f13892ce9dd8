"""Files written beside their place and moved there when complete: never half a file."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from .errors import FileError


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside its place; it is moved there when the context ends without an error.

    Parameters
    ----------
    path : Path
        Where the file goes; its folder is made. An earlier file stays untouched until the end.

    Yields
    ------
    binary file

    Raises
    ------
    FileError
        If the disk is full or the folder cannot be written to.
    """
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".part-", suffix=path.suffix, delete=False
        ) as file:
            name = file.name
            yield cast("IO[bytes]", file)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except OSError as error:
        raise FileError(
            "The file could not be written",
            f"{path} ({error.strerror or error})",
            "Check free space and permissions; an earlier version of the file is untouched",
        ) from error
    finally:
        if name and os.path.exists(name):
            os.unlink(name)


def write_whole(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file beside its place and move it there when it is complete; see `whole_file`.

    Parameters
    ----------
    path : Path
    write : callable
        Writes into the open binary file it is given.

    Raises
    ------
    FileError
        If the disk is full or the folder cannot be written to.
    """
    with whole_file(path) as file:
        write(file)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8; see `write_whole`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whose content is at hand; see `write_whole`."""

    def write(file: IO[bytes]) -> None:
        file.write(content)

    write_whole(path, write)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write several files of a folder; all are complete before the first one takes its place.

    Parameters
    ----------
    folder : Path
        Made if missing.
    files : mapping of bytes
        Contents by name.

    Raises
    ------
    FileError
        If the disk is full or the folder cannot be written to; earlier files are untouched.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as beside:
            for name, content in files.items():
                write_bytes(Path(beside, name), content)
            for name in files:
                os.replace(Path(beside, name), folder / name)
    except OSError as error:
        raise FileError(
            "The folder cannot be written to",
            f"{folder} ({error.strerror or error})",
            "Choose another folder, or check free space and permissions",
        ) from error
