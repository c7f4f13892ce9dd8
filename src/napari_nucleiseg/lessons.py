"""What one fine-tuning is made of, kept beside its checkpoints so that it can go on later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import numpy as np

from .channels import choose_pixels
from .config import FinetuneConfig
from .errors import FileError, ModelError, SettingError, ShapeError, TrainingError, reason
from .files import write_bytes, write_text, write_whole
from .io import write_labels
from .micrograph import Micrograph
from .model_names import next_name
from .reviewed import Area, apply_reviewed
from .store import ModelCard, list_models, read_card, user_folder

RECORD = "lesson.json"
CORRECTIONS = "lesson-pairs"
_CHECKPOINTS = ("last.pt", "best.pt", "finetune.json")


@dataclass(frozen=True)
class Lesson:
    """One fine-tuning: from what, how, and where.

    Attributes
    ----------
    data : Path
        Folder of micrographs with label images, or a project.
    config : FinetuneConfig
        With the name of the new model.
    out : Path
        Folder of checkpoints and of the new model.
    source : str
        What a person calls the corrections; empty where that is the folder's name.
    learned : float
        Share of the learning that is done, where it was stopped.
    """

    data: Path
    config: FinetuneConfig
    out: Path
    source: str = ""
    learned: float = 0.0

    @property
    def stopped_at(self) -> datetime | None:
        """When its checkpoint was written."""
        path = self.out / "last.pt"
        return datetime.fromtimestamp(path.stat().st_mtime) if path.is_file() else None

    def keep(self) -> None:
        """Write it down in its folder.

        Raises
        ------
        FileError
            If the folder cannot be written to.
        """
        record = {
            "data": str(self.data),
            "config": self.config.model_dump(mode="json"),
            "source": self.source,
            "learned": self.learned,
        }
        write_text(self.out / RECORD, json.dumps(record, indent=1) + "\n")

    def end(self, *, discard: bool = False) -> None:
        """Remove what is needed to go on; the new model stays, unless all is discarded.

        Nothing is touched in a folder that is not a fine-tuning's own.

        Raises
        ------
        FileError
            If its record cannot be read, so that nobody knows whose files these are.
        """
        if not (self.out / RECORD).is_file():
            return
        _read(self.out)
        folds = [p for p in self.out.glob("fold*") if (p / "last.pt").is_file()]
        for folder in (*folds, self.out / CORRECTIONS):
            shutil.rmtree(folder, ignore_errors=True)
        for name in (*_CHECKPOINTS, RECORD):
            (self.out / name).unlink(missing_ok=True)
        if discard and self.out.is_dir() and not any(self.out.iterdir()):
            self.out.rmdir()


def lessons_folder() -> Path:
    """Where fine-tunings are kept until their models are used: inside the user's models."""
    return user_folder() / "learning"


def unfinished(out: Path) -> Lesson | None:
    """Give the fine-tuning in a folder that was stopped before its end, if there is one.

    Raises
    ------
    FileError
        If its record cannot be read.
    """
    if not (out / RECORD).is_file() or not (out / "last.pt").is_file():
        return None
    return _read(out)


def _read(out: Path) -> Lesson:
    path = out / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        config: FinetuneConfig = FinetuneConfig.parse(record["config"], source=str(path))
        return Lesson(
            Path(record["data"]),
            config,
            out,
            str(record.get("source", "")),
            float(record.get("learned", 0.0)),
        )
    except (OSError, ValueError, KeyError, TypeError, SettingError) as error:
        raise FileError(
            "The record of a fine-tuning is damaged, so nothing of it is used or removed",
            f"{path} ({reason(error)})",
            "Remove the folder yourself, or give the new model another name",
        ) from error


def all_unfinished(folder: Path | None = None) -> tuple[list[Lesson], list[FileError]]:
    """Give the fine-tunings in a folder that were stopped before their end, the latest first.

    Parameters
    ----------
    folder : Path, optional
        By default where fine-tunings are kept.

    Returns
    -------
    list of Lesson
    list of FileError
        What is wrong with those whose record is damaged.
    """
    records = (lessons_folder() if folder is None else folder).glob(f"*/{RECORD}")
    found, damaged = [], []
    for path in sorted(records, key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            lesson = unfinished(path.parent)
        except FileError as error:
            damaged.append(error)
        else:
            found += [] if lesson is None else [lesson]
    return found, damaged


def free_name(model: str) -> str:
    """Name for a child of a model that no other model has, used or not."""
    taken = {card.name for card in list_models()} | _not_used_yet()
    name = next_name(Path(model).stem if model.endswith(".safetensors") else model)
    while name in taken:
        name = next_name(name)
    return name


def _model_in(out: Path, name: str) -> Path:
    return out / f"{name}.safetensors"


def _not_used_yet() -> set[str]:
    """Names of models that are made and that nobody has put among the models."""
    return {path.stem for path in lessons_folder().glob("*/*.safetensors")}


def check_name(name: str, out: Path | None = None) -> None:
    """Refuse a name that another model has, or whose file in a folder would be replaced.

    Parameters
    ----------
    name : str
        Of the new model.
    out : Path, optional
        Folder it is going to be made in; None where it is made already.

    Raises
    ------
    ModelError
    FileError
        If the folder holds a training that is none of a dock's.
    """
    if out is not None and (out / "last.pt").is_file() and not (out / RECORD).is_file():
        raise FileError(
            "The folder holds another training", str(out), "Choose another folder or name"
        )
    if any(card.name == name for card in list_models()) or (
        out is not None and (name in _not_used_yet() or _model_in(out, name).exists())
    ):
        raise ModelError(
            "A model of this name is there already", name, "Give the new one another name"
        )


def write_corrections(
    folder: Path,
    micrograph: Micrograph,
    labels: np.ndarray,
    areas: Sequence[Area] | None,
    channel: str | None = None,
    colour: str = "auto",
    merge: str = "none",
) -> None:
    """Write an open micrograph and its corrected nuclei as a pair of files to learn from.

    Parameters
    ----------
    folder : Path
    micrograph : Micrograph
    labels : (H, W) integer ndarray
    areas : sequence of Area or None
        What was reviewed; None: everything.
    channel, colour, merge : str
        See `choose_pixels`.

    Raises
    ------
    NucleisegError
        If they do not fit, if nothing was reviewed, or if the disk is full.
    """
    import tifffile

    if labels.shape != micrograph.shape:
        raise ShapeError(
            "The nuclei have another size than the image",
            "{}×{} px, not {}×{} px".format(*labels.shape, *micrograph.shape),
            "Choose the nuclei of this image",
        )
    counted = labels if areas is None else apply_reviewed(labels, areas)
    if not (counted >= 0).any():
        raise TrainingError(
            "Nothing was reviewed",
            micrograph.name,
            "Draw an area around nuclei that are right, or let the whole image count",
        )
    chosen, _ = choose_pixels(micrograph, channel, colour, merge)
    kind = "rgb" if chosen.is_colour else "minisblack"

    def write(file: IO[bytes]) -> None:
        tifffile.imwrite(file, chosen.pixels, photometric=kind)

    write_whole(folder / "image.tif", write)
    write_labels(folder / "image_labels.tif", counted)


def adopt(path: Path) -> ModelCard:
    """Put a fine-tuned model among the user's models, where it can be chosen by its name.

    Parameters
    ----------
    path : Path
        Its weights.

    Raises
    ------
    NucleisegError
        If another model has its name, or the disk is full.
    """
    card = read_card(path)
    place = user_folder() / path.name
    if place != path:
        check_name(card.name)
        # the card last: weights alone are no model yet
        for file in (path, path.with_suffix(".yaml")):
            write_bytes(user_folder() / file.name, file.read_bytes())
    return read_card(place)
