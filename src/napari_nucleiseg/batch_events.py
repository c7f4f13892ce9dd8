"""What working through a folder tells, file by file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .events import Event


@dataclass(frozen=True)
class FileBegun(Event):
    """A file's turn has come; files count from 0."""

    number: int


@dataclass(frozen=True)
class FileNoticed(Event):
    """Something that should be known about a file, in one sentence."""

    number: int
    text: str


@dataclass(frozen=True)
class FileFinished(Event):
    """Results of a file are there.

    Attributes
    ----------
    number : int
    labels, manifest : Path
    nuclei : int
    seconds : float
        0 if it was done already.
    was_done : bool
    notices : tuple of str
        What should be known about it, a sentence each.
    words : str
        One line about it; empty if it was done already.
    median_diameter_px : float or None
        Median equivalent-circle diameter; None where an earlier version did not say.
    pixel_size_um : (float, float) or None
        Height and width of a pixel in µm.
    overlay, table : Path or None
        The picture with outlines and the table of measurements, where asked for.
    exports : tuple of Path
        The files for other programs that were asked for.
    """

    number: int
    labels: Path
    manifest: Path
    nuclei: int
    seconds: float
    was_done: bool
    notices: tuple[str, ...] = ()
    words: str = ""
    median_diameter_px: float | None = None
    pixel_size_um: tuple[float, float] | None = None
    overlay: Path | None = None
    table: Path | None = None
    exports: tuple[Path, ...] = ()


@dataclass(frozen=True)
class FileFailed(Event):
    """A file could not be segmented; the others go on.

    Attributes
    ----------
    number : int
    reason : str
        A sentence that names the file.
    is_foreseen : bool
        Whether the sentence tells a user all there is to know.
    traceback : str
        Where in the program it happened.
    """

    number: int
    reason: str
    is_foreseen: bool = True
    traceback: str = ""


@dataclass(frozen=True)
class BatchEnded(Event):
    """All files had their turn.

    Attributes
    ----------
    total : int
        Number of files.
    segmented, were_done, failed : int
    nuclei : int
        In all files with results.
    seconds : float
    gallery : Path or None
        The page with all files, where one was written.
    """

    total: int
    segmented: int
    were_done: int
    failed: int
    nuclei: int
    seconds: float
    gallery: Path | None = None
