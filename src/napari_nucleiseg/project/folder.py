"""A project: which micrographs it is about, where their corrections, models and runs lie."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import FileError
from ..files import file_hash, write_text
from .corrections import Corrections, read_record
from .lock import Lock

NAME = ".nucleiseg"
FORMAT, VERSION = "nucleiseg-project", 1
RECORD = "project.json"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class MicrographReference:
    """A micrograph of a project.

    Attributes
    ----------
    folder : str
        Where in ``corrections/`` its corrections lie.
    path : str
        Relative to the folder that holds the project, with ``/``; absolute on another drive.
    sha256 : str
        Of the file.
    bytes : int
        Its size.
    split : str
        train, val or test.
    """

    folder: str
    path: str
    sha256: str
    bytes: int
    split: str = "train"


def is_project(folder: Path) -> bool:
    """Whether a folder is a project itself."""
    return (folder / RECORD).is_file()


def find_project(folder: Path) -> Path | None:
    """Give the project that a folder is or holds, or None."""
    for place in (folder, folder / NAME):
        if is_project(place):
            return place
    return None


class Project:
    """A project folder, opened.

    Parameters
    ----------
    folder : Path
        The project itself, ``.nucleiseg`` beside the micrographs or a place the user chose. It is
        made if missing.
    writable : bool
        Whether to ask for the right to write; only one process has it.

    Attributes
    ----------
    folder : Path
    notice : str
        Why it is open for reading only, in one sentence; else empty.

    Raises
    ------
    FileError
        If it is damaged or of a newer version, or is missing and cannot be made.
    """

    def __init__(self, folder: Path, *, writable: bool = True) -> None:
        self.folder = folder
        self.notice = ""
        self._lock: Lock | None = None
        self._open: dict[str, Corrections] = {}
        self._images: list[MicrographReference] = []
        if writable:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise FileError(
                    "The project folder cannot be made",
                    f"{folder} ({error.strerror or error})",
                    "Choose another place for it",
                ) from error
            lock = Lock(folder)
            self.notice = lock.refusal
            self._lock = None if lock.refusal else lock
        try:
            if is_project(folder):
                self._images = self._read()
            elif self.is_writable:
                self._write()
            else:
                raise FileError("There is no project", str(folder), "Check the path")
        except BaseException:
            self.close()
            raise

    @property
    def is_writable(self) -> bool:
        """Whether this process holds the project."""
        return self._lock is not None

    @property
    def models(self) -> Path:
        """Folder of the models made in this project."""
        return self.folder / "models"

    @property
    def runs(self) -> Path:
        """Folder of its trainings."""
        return self.folder / "runs"

    @property
    def micrographs(self) -> tuple[MicrographReference, ...]:
        """All micrographs, in the order they were added."""
        return tuple(self._images)

    def path_of(self, reference: MicrographReference) -> Path:
        """Where the file of a micrograph should be."""
        return Path(os.path.normpath(self.folder.absolute().parent / reference.path))

    def check(self, reference: MicrographReference) -> str:
        """Say in one sentence what is wrong with the file of a micrograph; empty if nothing is."""
        path = self.path_of(reference)
        if not path.is_file():
            return (
                f"{path} is not there any more. If it was moved, open it at its new place: it is "
                "recognised by its content"
            )
        if path.stat().st_size != reference.bytes or file_hash(path) != reference.sha256:
            return (
                f"{path} has changed since it was corrected. Its corrections may not fit it; put "
                "the earlier file back, or correct the new one under another name"
            )
        return ""

    def find(self, path: Path) -> tuple[MicrographReference | None, str]:
        """Find a micrograph by its path or, if it was moved, by its content.

        Returns
        -------
        MicrographReference or None
            None if it is not part of the project.
        str
            What the user should know, in one sentence; else empty.
        """
        relative = self._relative(path)
        for reference in self._images:
            if reference.path == relative:
                return reference, self.check(reference)
        size = path.stat().st_size
        same = [r for r in self._images if r.bytes == size]
        digest = file_hash(path) if same else ""
        for reference in same:
            old = self.path_of(reference)
            if reference.sha256 == digest and not old.is_file():
                moved = replace(reference, path=relative)
                if self.is_writable:
                    self._images[self._images.index(reference)] = moved
                    self._write()
                return moved, f"{old} was moved to {path}; its corrections were found again"
        return None, ""

    def add(self, path: Path, split: str = "train") -> MicrographReference:
        """Make a micrograph part of the project; one that is already stays as it is."""
        found, _ = self.find(path)
        if found is not None:
            return found
        self._check_writable()
        relative = self._relative(path)
        mark = hashlib.sha256(os.fsencode(relative)).hexdigest()[:8]
        name = re.sub(r"[^\w-]+", "_", path.stem)[:40]
        taken = {r.folder for r in self._images}
        folder, n = f"{name}-{mark}", 1
        while folder in taken:  # another file had this path before it was moved away
            n += 1
            folder = f"{name}-{mark}-{n}"
        size = path.stat().st_size
        reference = MicrographReference(folder, relative, file_hash(path), size, split)
        self._images.append(reference)
        self._write()
        return reference

    def set_split(self, reference: MicrographReference, split: str) -> MicrographReference:
        """Say what a micrograph is for: train, val or test."""
        self._check_writable()
        if split not in SPLITS:
            raise FileError("Unknown split", repr(split), f"Known: {', '.join(SPLITS)}")
        changed = replace(reference, split=split)
        self._images[self._images.index(reference)] = changed
        self._write()
        return changed

    def corrections(self, reference: MicrographReference) -> Corrections:
        """Corrections of a micrograph; always the same object for the same one."""
        if reference.folder not in self._open:
            folder = self.folder / "corrections" / reference.folder
            self._open[reference.folder] = Corrections(folder, writable=self.is_writable)
        return self._open[reference.folder]

    def close(self) -> None:
        """Write what is left, and let others write."""
        try:
            for corrections in self._open.values():
                corrections.close()
        finally:
            self._open = {}
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_writable(self) -> None:
        if not self.is_writable:
            raise FileError("The project is open for reading only", str(self.folder), self.notice)

    def _relative(self, path: Path) -> str:
        path = path.absolute()
        try:
            return Path(os.path.relpath(path, self.folder.absolute().parent)).as_posix()
        except ValueError:  # another drive
            return path.as_posix()

    def _read(self) -> list[MicrographReference]:
        path = self.folder / RECORD
        record = read_record(path, FORMAT, VERSION)
        try:
            found = [MicrographReference(**entry) for entry in record["micrographs"]]
        except (KeyError, TypeError) as error:
            raise FileError(
                "The project cannot be read", f"{path} ({error})", "Restore a copy"
            ) from error
        for reference in found:
            if Path(reference.folder).name != reference.folder or reference.folder in ("", ".."):
                raise FileError("The project names a folder outside of it", str(path))
        return found

    def _write(self) -> None:
        record: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "micrographs": [asdict(r) for r in self._images],
        }
        write_text(self.folder / RECORD, json.dumps(record, indent=1) + "\n")
