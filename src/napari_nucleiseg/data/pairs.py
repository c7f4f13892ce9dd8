"""Folders of micrographs with label images: which belong together, which train and which do not."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..channels import choose_pixels
from ..errors import NucleisegError, TrainingError, reason
from ..events import Event, LeftOut, Notice
from ..intensity import NormaliseConfig, normalise
from ..io import SUFFIXES, read_labels, read_micrograph
from .patches import TrainingImage


@dataclass(frozen=True)
class Pair:
    """A micrograph and its label image (or a folder with one file per nucleus)."""

    name: str
    micrograph: Path
    labels: Path
    split: str = "train"


def _files(folder: Path, notices: list[str]) -> dict[str, Path]:
    """Image files of a folder by stem, and its sub-folders (one file per nucleus) by name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or (path.is_file() and path.suffix.lower() not in SUFFIXES):
            continue
        name = path.stem if path.is_file() else path.name
        if name in found:
            notices.append(f"{path} is left out: {found[name].name} has the same name")
        else:
            found[name] = path
    return found


def _read_splits(index: Path) -> dict[str, str]:
    try:
        with index.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(
            "The index cannot be read",
            f"{index} ({reason(error)})",
            "Save it again as CSV in UTF-8, or remove it to train on everything",
        ) from error
    if not rows or not {"image_id", "split"} <= rows[0].keys():
        raise TrainingError(
            "The index lacks the columns image_id and split",
            str(index),
            "Add them, or remove the file to train on everything",
        )
    return {row["image_id"]: (row["split"] or "").strip().lower() for row in rows}


def find_pairs(folder: Path) -> tuple[list[Pair], tuple[str, ...]]:
    """Find the training pairs of a folder.

    Understood are ``images/`` and ``masks/`` with the same stems, with an optional ``index.csv``
    (columns ``image_id`` and ``split``); ``x.tif`` beside ``x_labels.tif``; and ``ID/images`` with
    ``ID/masks`` holding one file per nucleus, as in the Data Science Bowl 2018.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of Pair, tuple of str
        The pairs, sorted by name, and one sentence for each micrograph or label image without its
        partner.

    Raises
    ------
    TrainingError
        If the folder does not exist or holds no pair.
    """
    if not folder.is_dir():
        raise TrainingError("There is no such training folder", str(folder), "Check the path")
    notices: list[str] = []
    found: dict[str, tuple[Path, Path]] = {}
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        images, masks = _files(folder / "images", notices), _files(folder / "masks", notices)
        masks = {name.removesuffix("_labels"): path for name, path in masks.items()}
        found = {n: (images[n], masks[n]) for n in images if n in masks}
        notices += [f"{images[n]} has no label image in masks/" for n in images if n not in masks]
        notices += [f"{masks[n]} has no micrograph in images/" for n in masks if n not in images]
    else:
        files = {n: p for n, p in _files(folder, notices).items() if p.is_file()}
        for name, path in files.items():
            if name.endswith("_labels"):
                continue
            if f"{name}_labels" in files:
                found[name] = (path, files[f"{name}_labels"])
            else:
                notices.append(f"{path} has no {name}_labels beside it")
        for inner in sorted(p for p in folder.iterdir() if (p / "masks").is_dir()):
            if (inner / "images").is_dir():
                images = _files(inner / "images", notices)
                for name, path in images.items():
                    # many such sets call every micrograph the same
                    title = inner.name if len(images) == 1 else f"{inner.name}/{name}"
                    found[title] = (path, inner / "masks")
    if not found:
        raise TrainingError(
            "No pairs of micrograph and label image found",
            str(folder),
            "Use images/ and masks/ with the same file names, or x.tif beside x_labels.tif",
        )
    index = folder / "index.csv"
    splits = _read_splits(index) if index.is_file() else {}
    if splits:
        unlisted = sorted(set(found) - set(splits))
        notices += [f"{found[n][0]} is not in index.csv and is left out" for n in unlisted]
        found = {n: f for n, f in found.items() if n in splits}
    pairs = [Pair(n, *found[n], split=splits.get(n, "train")) for n in sorted(found)]
    return pairs, tuple(notices)


def load_pairs(pairs: list[Pair], config: NormaliseConfig) -> Iterator[Event | TrainingImage]:
    """Read pairs one by one.

    Yields
    ------
    TrainingImage or Event
        An image for each good pair, `LeftOut` for each that cannot be used, and `Notice` for what
        was converted.
    """
    for pair in pairs:
        try:
            micrograph = read_micrograph(pair.micrograph)
            labels, notices = read_labels(pair.labels)
            if labels.shape != micrograph.shape:
                raise TrainingError(
                    "Micrograph and label image differ in size",
                    "{} is {}×{}, {} is {}×{}".format(
                        pair.micrograph, *micrograph.shape, pair.labels, *labels.shape
                    ),
                    "Crop both to the same field of view",
                )
        except NucleisegError as error:
            yield LeftOut(f"{pair.name} is left out. {error}")
            continue
        chosen, proposed = choose_pixels(micrograph)
        for text in (*micrograph.notices, *notices, *proposed):
            yield Notice(f"{pair.name}: {text}")
        image = normalise(chosen.pixels, config)
        image = image if chosen.is_colour else image[:1]
        yield TrainingImage(image.astype(np.float16), labels, pair.name)
