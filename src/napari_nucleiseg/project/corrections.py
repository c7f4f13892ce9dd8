"""What a person corrected in one micrograph: labels, states, reviewed areas, and the journal.

In a folder of its own lie numbered files. ``state.json`` names the label image that was saved last
and the first journal that came after it; whoever reads takes that image and performs on it, in
their order, all journals from that number on. A save begins a new journal, writes a new label image
and then replaces ``state.json``: killed before, the old image and all journals are still there;
killed after, what is left over has lower numbers and is not read any more.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..editing import Change, Emptying, State, as_runs, from_runs, nowhere
from ..errors import FileError, TrainingError, reason
from ..files import write_text, write_whole
from ..io._decoding import damaged, decoding, listening
from ..reviewed import Area, apply_reviewed, around_nuclei, as_records, from_records
from .journal import Journal, Stroke, read_journal

FORMAT, VERSION = "nucleiseg-corrections", 1
STATE = "state.json"
_NUMBERED = re.compile(r"(?:labels|journal)-(\d+)\.(?:tif|bin)")


@dataclass(frozen=True)
class Corrected:
    """Corrections as they were left.

    Attributes
    ----------
    labels : int32 ndarray
        The label image; (H, W), or a stack.
    states : dict of int to State
    reviewed : tuple of Area
    strokes : int
        Strokes since the last save: more than 0 after a crash.
    notices : tuple of str
        What the user should know, one sentence each.
    emptied : (N,) int64 ndarray
        Flat indices of pixels of nuclei that a person made background.
    """

    labels: np.ndarray
    states: dict[int, State]
    reviewed: tuple[Area, ...]
    strokes: int = 0
    notices: tuple[str, ...] = ()
    emptied: np.ndarray = field(default_factory=nowhere)

    @property
    def is_reviewed(self) -> bool:
        """Whether a person has confirmed, edited or marked anything."""
        return bool(self.reviewed) or any(s != State.PREDICTED for s in self.states.values())

    @property
    def holds_work(self) -> bool:
        """Whether a person has done anything that a new prediction does not give."""
        return bool(self.strokes or self.is_reviewed or self.emptied.size)


def check_format(record: Any, path: Path, name: str, version: int) -> None:
    """Refuse what is not of a format, or of a newer version of it."""
    if not isinstance(record, dict) or record.get("format") != name:
        raise FileError("The file is not what a project holds here", str(path), "Restore a copy")
    if not isinstance(record.get("version"), int) or record["version"] > version:
        raise FileError(
            "The project was made by a newer version of this program",
            f"{path} has version {record.get('version')}, known is {version}",
            "Update napari-nucleiseg",
        )


def read_record(path: Path, name: str, version: int) -> dict[str, Any]:
    """Read a JSON file of the project."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError("The project cannot be read", f"{path} ({reason(error)})") from error
    check_format(record, path, name, version)
    return dict(record)


class Corrections:
    """Corrections of one micrograph.

    Parameters
    ----------
    folder : Path
        Where they lie, or will.
    writable : bool
        Whether this process holds the project.
    """

    def __init__(self, folder: Path, *, writable: bool = True) -> None:
        self.folder, self._is_writable = folder, writable
        self._is_closed = False
        self._journal: Journal | None = None
        self._saving = threading.Lock()
        # held for a moment only: whoever draws waits for it
        self._taking = threading.Lock()
        self._saved, self._given = -1, 0

    @property
    def is_writable(self) -> bool:
        """Whether strokes can be kept: not any more once it was closed."""
        return self._is_writable and not self._is_closed

    @property
    def exist(self) -> bool:
        """Whether anything was saved yet."""
        return (self.folder / STATE).is_file()

    @property
    def problem(self) -> FileError | None:
        """Why strokes cannot be written now; they wait in memory."""
        return None if self._journal is None else self._journal.problem

    def load(self, *, replay: bool = True) -> Corrected:
        """Read what was saved last, and what was drawn since.

        Parameters
        ----------
        replay : bool
            Whether to perform the strokes of the journal. To leave them for good, save what this
            gives without them.

        Raises
        ------
        FileError
            If a file is damaged.
        """
        while True:
            record = read_record(self.folder / STATE, FORMAT, VERSION)
            try:
                return self._load(record, replay)
            except FileError:
                # another process may have saved, and so deleted what was just named
                if read_record(self.folder / STATE, FORMAT, VERSION) == record:
                    raise

    def _load(self, record: dict[str, Any], replay: bool) -> Corrected:
        path = self.folder / STATE
        image = str(record["labels"])
        if not _NUMBERED.fullmatch(image):
            raise FileError("The project names a file outside of it", str(path))
        labels = _read_array(self.folder / image)
        states = {int(n): State[str(s).upper()] for n, s in record["states"].items()}
        reviewed = tuple(from_records(record["reviewed"], str(path)))
        emptied = from_runs(record.get("emptied", ()), labels.size, str(path))
        strokes, notices = 0, []
        for number, journal in self._journals(int(record["journal"])):
            read, torn = read_journal(journal)
            if torn:
                notices.append(
                    f"The last stroke of journal {number} was cut off by a crash ({torn} bytes) "
                    "and is left out"
                )
            for stroke in read:
                strokes += 1
                if not replay:
                    continue
                if stroke.change is not None and stroke.change.shape != labels.shape:
                    # one stray stroke must not hide all others
                    notices.append("A stroke on a label image of another size is left out")
                    continue
                if stroke.change is not None:
                    stroke.change.apply(labels)
                for nucleus, state in (stroke.states or {}).items():
                    states.pop(nucleus, None)
                    if state is not None:
                        states[nucleus] = state
                reviewed = reviewed if stroke.reviewed is None else stroke.reviewed
                emptied = emptied if stroke.emptied is None else stroke.emptied.apply(emptied)
        return Corrected(labels, states, reviewed, strokes, tuple(notices), emptied)

    def record(
        self,
        change: Change | None = None,
        states: Mapping[int, State | None] | None = None,
        reviewed: Iterable[Area] | None = None,
        emptied: Emptying | None = None,
    ) -> None:
        """Keep one stroke; returns at once.

        Parameters
        ----------
        change : Change, optional
            Of the label image; an undo is one, too.
        states : mapping of int to (State or None), optional
            States of the nuclei that get a new one; None forgets it.
        reviewed : iterable of Area, optional
            All reviewed areas from now on.
        emptied : Emptying, optional
            Places that a person emptied by it, or filled.

        Raises
        ------
        FileError
            If the project is open for reading only or was closed, or nothing was saved to begin
            with.
        """
        areas = None if reviewed is None else tuple(reviewed)
        self.keep(Stroke(change, None if states is None else dict(states), areas, emptied))

    def keep(self, stroke: Stroke) -> None:
        """Keep one stroke as `record` does."""
        with self._taking:
            self._check_writable()
            if not self.exist:
                raise FileError(
                    "Corrections need a label image to begin with",
                    str(self.folder),
                    "Save the label image once, then record what changes in it",
                )
            if self._journal is None:
                self._journal = Journal(self.folder / f"journal-{self._next():06d}.bin")
            self._journal.append(stroke)

    def save(
        self,
        labels: np.ndarray,
        states: Mapping[int, State],
        reviewed: Iterable[Area],
        emptied: np.ndarray | None = None,
    ) -> None:
        """Save all of it; the strokes up to now are then part of the label image."""
        self.prepare_save(labels, states, reviewed, emptied)()

    def prepare_save(
        self,
        labels: np.ndarray,
        states: Mapping[int, State],
        reviewed: Iterable[Area],
        emptied: np.ndarray | None = None,
    ) -> Callable[[], None]:
        """Take a copy of all of it; what is returned writes it, on whatever thread.

        Strokes recorded after this call stay in the journal.

        Raises
        ------
        FileError
            If the project is open for reading only or was closed; the writing, if the disk refuses
            or the project was closed meanwhile.
        """
        with self._taking:
            self._check_writable()
            number = self._next()
            if self._journal is None:
                self._journal = Journal(self.folder / f"journal-{number:06d}.bin")
            else:
                self._journal.rotate(self.folder / f"journal-{number:06d}.bin")
        record: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "labels": f"labels-{number:06d}.tif",
            "journal": number,
            "states": {str(n): State(s).name.lower() for n, s in sorted(states.items())},
            "reviewed": as_records(reviewed),
        }
        if emptied is not None and emptied.size:
            record["emptied"] = as_runs(emptied)
        return partial(self._save, number, labels.astype(np.int32), record)

    def _save(self, number: int, labels: np.ndarray, record: dict[str, Any]) -> None:
        with self._saving:
            # another window may have it by now
            self._check_writable()
            if number <= self._saved:  # a later save was faster
                return
            write_whole(self.folder / str(record["labels"]), partial(_write_array, labels))
            write_text(self.folder / STATE, json.dumps(record, indent=1) + "\n")
            self._saved = number
            for path, other in self._files():
                if other < number:
                    # Windows does not delete what is still open; the next save does
                    with suppress(PermissionError):
                        path.unlink(missing_ok=True)

    def flush(self) -> None:
        """Wait until every stroke is on the disk."""
        if self._journal is not None:
            self._journal.flush()

    def close(self) -> None:
        """Write what is left, and end: nothing is taken any more."""
        with self._saving, self._taking:
            self._is_closed = True
            journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()

    def _check_writable(self) -> None:
        if self._is_closed:
            raise FileError(
                "The project was closed; what is done now is not kept",
                str(self.folder.parent.parent),
                "Save the label image as a file, or open the image again",
            )
        if not self._is_writable:
            raise FileError(
                "The project is open for reading only",
                str(self.folder.parent.parent),
                "Close the other window that has it open, then open it again",
            )

    def _files(self) -> list[tuple[Path, int]]:
        found = ((p, _NUMBERED.fullmatch(p.name)) for p in self.folder.glob("*-*"))
        return [(path, int(match[1])) for path, match in found if match]

    def _journals(self, first: int) -> list[tuple[int, Path]]:
        """Journals from a number on, in their order."""
        return sorted((n, p) for p, n in self._files() if n >= first and p.suffix == ".bin")

    def _next(self) -> int:
        """A number that no file has, nor any that is still to be written."""
        self._given = max([self._given, *(n for _, n in self._files())]) + 1
        return self._given


def _write_array(labels: np.ndarray, file: IO[bytes]) -> None:
    import tifffile

    axes = "TZYX"[-labels.ndim :] if labels.ndim <= 4 else None
    metadata = {"axes": axes} if axes else None
    tifffile.imwrite(file, labels, photometric="minisblack", compression="zlib", metadata=metadata)


def _read_array(path: Path) -> np.ndarray:
    import tifffile

    try:
        with (
            decoding(path, "label image", tifffile.TiffFileError),
            listening("tifffile") as heard,
        ):
            labels = tifffile.imread(path)
    except OSError as error:
        raise FileError(
            "The corrected label image cannot be read",
            f"{path} ({reason(error)})",
            "Restore a copy of the project",
        ) from error
    if heard:  # it goes on with zeros where data are missing
        raise damaged(path, "label image")
    return np.array(labels, np.int32)


def training_labels(folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Corrections as a label image to learn from: what was not reviewed is ignored (-1).

    Where no area is marked as reviewed, the surroundings of confirmed and edited nuclei are.

    Parameters
    ----------
    folder : Path
        Of the corrections of one micrograph.

    Returns
    -------
    (H, W) int32 ndarray, tuple of str

    Raises
    ------
    TrainingError
        If nothing in it was reviewed, or it is a stack.
    """
    corrected = Corrections(folder, writable=False).load()
    if corrected.labels.ndim != 2:
        raise TrainingError(
            "Corrections of a stack cannot be learned from yet",
            str(folder),
            "Correct single planes",
        )
    areas, notices = list(corrected.reviewed), list(corrected.notices)
    if not areas:
        numbers = [n for n, s in corrected.states.items() if s != State.PREDICTED]
        areas = around_nuclei(corrected.labels, numbers)
        notices.append(
            "no area is marked as reviewed; the surroundings of its "
            f"{len(numbers)} confirmed and edited nuclei count"
        )
    if not areas:
        raise TrainingError(
            "Nothing in this micrograph was reviewed",
            str(folder),
            "Confirm nuclei or mark a reviewed area",
        )
    return apply_reviewed(corrected.labels, areas), tuple(notices)
