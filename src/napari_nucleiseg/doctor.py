"""The dataset doctor: looks at all training pairs of a folder or project before they train."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .channels import choose_pixels
from .data.pairs import Pair, find_pairs, read_truth
from .diagnosis import Finding, check_fixes, examine, fix
from .errors import FileError, NucleisegError
from .events import Event, Saved
from .files import write_text
from .instances import diameters
from .intensity import NormaliseConfig, normalise
from .io import SUFFIXES, BinaryMask, ColourMask, LooksLikeMicrograph, read_micrograph, write_labels
from .micrograph import Micrograph
from .project import Corrections
from .store import ModelCard, find_model

OTHER_FILES = {"index.csv"}


@dataclass(frozen=True)
class ImageChecked(Event):
    """One pair was looked at.

    Attributes
    ----------
    name : str
    micrograph : Path
    count : int
        Nuclei in its label image.
    diameter_px : float
        Their median diameter; 0 without any.
    findings : tuple of Finding
    fixed : tuple of str
        What was done about them, in the copy.
    done, total : int
    pair : Pair
        What was looked at.
    """

    name: str
    micrograph: Path
    count: int
    diameter_px: float
    findings: tuple[Finding, ...]
    fixed: tuple[str, ...]
    done: int
    total: int
    pair: Pair


@dataclass(frozen=True)
class PairRead(Event):
    """A pair was read, to be looked at by a person.

    Attributes
    ----------
    pair : Pair
    micrograph : Micrograph
    labels : (H, W) int32 ndarray
        0 background, -1 ignored.
    """

    pair: Pair
    micrograph: Micrograph
    labels: np.ndarray


@dataclass(frozen=True)
class Checked(Event):
    """All pairs were looked at.

    Attributes
    ----------
    images : tuple of ImageChecked
    findings : tuple of Finding
        What concerns the folder: files without a partner, files that are no images.
    """

    images: tuple[ImageChecked, ...]
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> int:
        """How many findings are problems."""
        own = sum(f.is_problem for f in self.findings)
        return own + sum(f.is_problem for image in self.images for f in image.findings)

    def record(self) -> dict[str, Any]:
        """All values, for JSON."""
        return {
            "problems": self.problems,
            "findings": [asdict(f) for f in self.findings],
            "images": [
                {
                    "name": image.name,
                    "micrograph": str(image.micrograph),
                    "nuclei": image.count,
                    "median_diameter_px": image.diameter_px,
                    "findings": [asdict(f) for f in image.findings],
                    "fixed": list(image.fixed),
                }
                for image in self.images
            ],
        }


def check(
    data: Path,
    model: ModelCard | None = None,
    *,
    fixes: Collection[str] | Mapping[str, Collection[str]] = (),
    out: Path | None = None,
) -> Iterator[Event]:
    """Look at all training pairs; the originals are never changed.

    Parameters
    ----------
    data : Path
        A folder or project; see `napari_nucleiseg.data.pairs.find_pairs`.
    model : ModelCard, optional
        What is to be fine-tuned; sizes are compared with what it knows.
    fixes : collection of str, or mapping of str to collection of str
        Safe remedies to apply, of `napari_nucleiseg.diagnosis.FIXES`, or "all"; or for each pair
        by its name the remedies that were chosen for it. Pairs that are not named stay as they are.
    out : Path, optional
        Where a training folder with the remedied pairs is written; needed for ``fixes``.

    Yields
    ------
    Event
        `ImageChecked` for each pair, `Saved` for the new folder, and last `Checked`.

    Raises
    ------
    TrainingError
        If the folder does not exist or holds no pair.
    SettingError, FileError
        If a remedy is unknown, or ``out`` cannot be used.
    """
    if isinstance(fixes, Mapping):
        chosen = {name: check_fixes(own) for name, own in fixes.items()}
        everywhere: tuple[str, ...] = ()
    else:
        chosen, everywhere = {}, check_fixes(fixes)
    is_copied = bool(everywhere or any(chosen.values()))
    if is_copied:
        _check_out(out)
    pairs, notices = find_pairs(data)
    general = [Finding("no partner", text, "Add it, or leave it") for text in notices]
    general += _other_files(data)
    seen: dict[str, Pair] = {}
    images: list[ImageChecked] = []
    kept: list[tuple[str, str]] = []
    for n, pair in enumerate(pairs, start=1):
        result, array, labels = _look_at(pair, model, seen)
        done: list[str] = []
        names = chosen.get(pair.name, everywhere)
        if is_copied and out is not None and array is not None and labels is not None:
            if pair.class_files:
                done.append("left out of the copy: it has a label image for each class")
            elif "duplicates" in names and any(f.fix == "duplicates" for f in result):
                done.append("left out of the copy")
            else:
                fixed, done = fix(array, labels, result, names)
                name = _copy(pair, fixed, out)
                kept.append((name, pair.split))
        elif is_copied:
            done.append("left out of the copy")
        count = 0 if labels is None else len(diameters(labels))
        median = float(np.median(diameters(labels))) if labels is not None and count else 0.0
        found = tuple(result)
        images.append(
            ImageChecked(
                pair.name, pair.micrograph, count, median, found, tuple(done), n, len(pairs), pair
            )
        )
        yield images[-1]
    if is_copied and out is not None and kept:
        rows = "".join(f'"{name}",{split}\n' for name, split in kept)
        write_text(out / "index.csv", "image_id,split\n" + rows)
        yield Saved(out, f"{len(kept)} pairs")
    yield Checked(tuple(images), tuple(general))


def check_for(
    data: Path, model: str, fixes: Mapping[str, Collection[str]], out: Path | None
) -> Iterator[Event]:
    """Do the same with a model by its name and values alone, for a child process.

    Parameters
    ----------
    data, fixes, out
        See `check`.
    model : str
        A name or the path of a file.
    """
    yield from check(data, find_model(model), fixes=fixes, out=out)


def read_pair(pair: Pair) -> Iterator[Event]:
    """Read a pair for a person to look at.

    Yields
    ------
    Event
        `PairRead`.

    Raises
    ------
    NucleisegError
        If one of its files cannot be read.
    """
    micrograph = read_micrograph(pair.micrograph)
    labels, _ = read_truth(pair, 1)
    yield PairRead(pair, micrograph, np.asarray(labels, np.int32))


def _check_out(out: Path | None) -> None:
    if out is None:
        raise FileError(
            "Remedies are applied to copies", "no folder for them was named", "Add --out FOLDER"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileError(
            "Copies go to a new folder, so that nothing is overwritten",
            f"{out} is there and not empty",
            "Name another one",
        )


def _other_files(data: Path) -> list[Finding]:
    """Files among the images that are none; they are skipped."""
    found = []
    for folder in (data, data / "images", data / "masks"):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            is_image = path.suffix.lower() in SUFFIXES or path.name in OTHER_FILES
            if path.is_file() and not is_image and not path.name.startswith("."):
                text = f"{path} is no image and is skipped"
                found.append(Finding("other file", text, "Nothing to do", is_problem=False))
    return found


def _look_at(
    pair: Pair, model: ModelCard | None, seen: dict[str, Pair]
) -> tuple[list[Finding], np.ndarray | None, np.ndarray | None]:
    """Findings of a pair, its normalised image and its labels, where they can be read."""
    found: list[Finding] = []
    try:
        micrograph = read_micrograph(pair.micrograph)
    except NucleisegError as error:
        return [_unreadable(error)], None, None
    pixels = np.ascontiguousarray(micrograph.pixels)
    mark = hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode() + pixels.tobytes()).hexdigest()
    first = seen.setdefault(mark, pair)
    if first is not pair:
        across = f", which is in the split {first.split!r}" if first.split != pair.split else ""
        text = f"It has the same pixels as {first.name}{across}"
        found.append(Finding("duplicate", text, "Keep one: --fix duplicates", "duplicates"))
    try:
        unreviewed = _reviewed(pair) if pair.is_corrected else []
        found += unreviewed
        if any(f.is_problem for f in unreviewed):
            return found, None, None
        labels, notices = read_truth(pair, 1)
    except NucleisegError as error:
        return [*found, _unreadable(error)], None, None
    found += _conversions(notices)
    if labels.shape != micrograph.shape:
        text = "The micrograph is {}×{}, its label image {}×{}".format(
            *micrograph.shape, *labels.shape
        )
        return (
            [*found, Finding("other size", text, "Crop both to the same field of view")],
            None,
            labels,
        )
    chosen, _ = choose_pixels(micrograph)
    normalisation = NormaliseConfig() if model is None else model.normalise
    image = normalise(chosen.pixels, normalisation)
    found += examine(image, labels, None if model is None else model.median_diameter_px)
    return found, image, labels


def _unreadable(error: NucleisegError) -> Finding:
    return Finding("unreadable", f"{error.what}: {error.where}", error.remedy or "Leave it out")


def _reviewed(pair: Pair) -> list[Finding]:
    corrected = Corrections(pair.labels, writable=False).load()
    if corrected.reviewed:
        return []
    if corrected.is_reviewed:
        text = "No area is marked as reviewed; only the surroundings of confirmed and edited " + (
            "nuclei will be learned from"
        )
        return [Finding("not reviewed", text, "Mark what you looked at", is_problem=False)]
    text = "Nothing is confirmed and no area is marked as reviewed; it will not be learned from"
    return [Finding("not reviewed", text, "Confirm nuclei or mark what you looked at")]


def _conversions(notices: Collection[str]) -> list[Finding]:
    found = []
    for text in notices:
        if isinstance(text, (BinaryMask, ColourMask)):
            kind = "binary mask" if isinstance(text, BinaryMask) else "colours"
            remedy = "Right if no nuclei touch in it. Write them as numbers: --fix split"
            found.append(Finding(kind, text.rstrip("."), remedy, "split"))
        elif isinstance(text, LooksLikeMicrograph):
            remedy = "Choose the label image instead"
            found.append(Finding("no labels", text.rstrip("."), remedy))
    return found


def _copy(pair: Pair, labels: np.ndarray, out: Path) -> str:
    """Write a pair into the new folder, and give its name there."""
    name = pair.name.replace("../", "").replace("/", "_")
    source = pair.micrograph
    target = out / "images" / f"{name}{source.suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise FileError("Two micrographs would have the same name", str(target), "Rename one")
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise FileError(
            "The copy could not be written",
            f"{target} ({error.strerror or error})",
            "Check free space and permissions",
        ) from error
    write_labels(out / "masks" / f"{os.path.splitext(target.name)[0]}.tif", labels)
    return os.path.splitext(target.name)[0]
