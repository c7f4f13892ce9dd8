"""Projects that a window has open, and what is found in them; most of it runs in jobs."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from napari.utils.notifications import show_error

from .. import wording
from ..errors import ShapeError
from ..events import Event
from ..project import NAME, Corrected, Corrections, Project, Stroke, is_project
from ..tasks import Task
from .job import run_in_thread


@dataclass(frozen=True)
class Looked(Event):
    """A project was looked for.

    Attributes
    ----------
    corrections : Corrections or None
        Where the corrections of the image lie, if the project has any.
    corrected : Corrected or None
        Those that were left there.
    when : float
        Of the last stroke, in seconds since 1970.
    notices : tuple of str
    """

    corrections: Corrections | None = None
    corrected: Corrected | None = None
    when: float = 0.0
    notices: tuple[str, ...] = ()
    is_writable: bool = True


class Beginning:
    """The first save of an image's corrections: by a job, or at the end of napari if it is faster.

    Parameters
    ----------
    projects : Projects
    folder, file : Path
        Of the project and of the micrograph.
    save : callable
        Saves what strokes begin with to a `Corrections`.

    Attributes
    ----------
    waiting : deque of Stroke
        Strokes that came meanwhile, of this place alone: another save may be under way.
    """

    def __init__(
        self, projects: Projects, folder: Path, file: Path, save: Callable[[Corrections], None]
    ) -> None:
        self._projects, self._file, self._save = projects, file, save
        self.folder = folder
        self.waiting: deque[Stroke] = deque()
        self._settling = threading.Lock()
        self._project: Project | None = None
        self._corrections: Corrections | None = None
        projects.pending.append(self)

    def perform(self) -> tuple[Project, Corrections | None]:
        """Do it, once; without corrections the project can only be read."""
        with self._projects.turn:
            if self._project is None:
                self._forget()  # where it fails it is not tried again
                project = self._projects.open(self.folder)
                if project.is_writable:
                    corrections = project.corrections(project.add(self._file))
                    self._save(corrections)
                    self._corrections = corrections
                    self._projects.pending.append(self)
                self._project = project
        self._write_waiting()
        return self._project, self._corrections

    def settle(self) -> None:
        """Write what came since it was performed; from now on nothing waits here any more."""
        self._forget()
        self._write_waiting()

    def _write_waiting(self) -> None:
        if self._corrections is not None:
            with self._settling:
                while self.waiting:
                    self._corrections.keep(self.waiting.popleft())

    def _forget(self) -> None:
        if self in self._projects.pending:
            self._projects.pending.remove(self)


class Projects:
    """Projects that one window has open, each of them once."""

    def __init__(self) -> None:
        self._open: dict[Path, Project] = {}
        # one job at a time: what is looked for may be what another one is still making
        self.turn = threading.RLock()
        # saves that no job has come to yet, or of whose end the window has not heard yet
        self.pending: list[Beginning] = []

    def open(self, folder: Path) -> Project:
        """Open a project, or give the one that is open; runs in a job."""
        key = folder.resolve()
        project = self._open.get(key)
        if project is None or not project.is_writable:
            # one that could only be read may be free by now
            if project is not None:
                project.close()
            project = self._open[key] = Project(folder)
        return project

    def let_go(self, folder: Path | None, used: Collection[Path | None]) -> None:
        """Close a project, on a thread, unless one of its images is open still."""
        if folder is None or folder in used:
            return

        def work() -> Iterator[Event]:
            with self.turn:
                self._finish(b for b in list(self.pending) if b.folder == folder)
                project = self._open.pop(folder.resolve(), None)
                if project is not None:
                    project.close()
            yield from ()

        def on_failed(error: Exception) -> None:
            show_error(wording.sentence(error))

        title = f"Closing the project {folder}"
        run_in_thread(Task(title, work(), lambda _: None, on_failed, lambda: None, lambda: None))

    def close(self) -> None:
        """Write what is left, and let other windows write."""
        self._finish(list(self.pending))
        for project in self._open.values():
            project.close()
        self._open = {}

    def _finish(self, beginnings: Iterable[Beginning]) -> None:
        for beginning in beginnings:
            beginning.perform()
            beginning.settle()


def project_in(folder: Path) -> Path:
    """The project that a folder is, or the place for one in it."""
    return folder if is_project(folder) or folder.name == NAME else folder / NAME


def look_in(projects: Projects, folder: Path, file: Path) -> Looked:
    """Look for earlier corrections of a file in a project; makes nothing."""
    if not is_project(folder):
        return Looked()
    project = projects.open(folder)
    said = [f"{project.notice}."] if project.notice else []
    reference, notice = project.find(file)
    if notice:
        said.append(f"{notice}.")
    if reference is None:
        return Looked(notices=tuple(said), is_writable=project.is_writable)
    corrections = project.corrections(reference)
    if not corrections.exist:
        return Looked(corrections, None, 0.0, tuple(said), project.is_writable)
    corrections.flush()  # another layer of this window may have written just now
    corrected = corrections.load()
    said += [f"{sentence}." for sentence in corrected.notices]
    when = max(path.stat().st_mtime for path in corrections.folder.iterdir())
    return Looked(corrections, corrected, when, tuple(said), project.is_writable)


def set_aside(corrections: Corrections) -> Path:
    """Copy corrections to a folder beside them, so that leaving them loses nothing."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    place = corrections.folder.with_name(f"{corrections.folder.name}-discarded-{stamp}")
    corrections.flush()
    shutil.copytree(corrections.folder, place, dirs_exist_ok=True)
    return place


def keep_image(folder: Path, name: str, pixels: np.ndarray) -> Path:
    """Write an image that has no file to a folder, where its corrections will refer to it.

    A file that already holds these pixels is taken; one that holds others stays as it is.

    Parameters
    ----------
    folder : Path
    name : str
    pixels : ndarray

    Returns
    -------
    Path
    """
    import tifffile

    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in name) or "image"
    count = 1
    while True:
        path = folder / (f"{stem}.tif" if count == 1 else f"{stem}_{count}.tif")
        if not path.exists():
            break
        if np.array_equal(tifffile.imread(path), pixels):
            return path
        count += 1
    if pixels.ndim < 2:
        raise ShapeError("The image cannot be kept as a file", name, "Save it yourself first")
    is_colour = pixels.ndim == 3 and pixels.shape[-1] in (3, 4) and pixels.dtype == np.uint8
    tifffile.imwrite(
        path, pixels, photometric="rgb" if is_colour else "minisblack", compression="zlib"
    )
    return path
