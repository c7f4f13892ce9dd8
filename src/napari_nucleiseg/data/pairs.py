"""Folders of micrographs with label images: which belong together, which train and which do not."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..channels import choose_pixels
from ..errors import FileError, NucleisegError, TrainingError, reason
from ..events import Event, LeftOut, Notice
from ..intensity import NormaliseConfig, normalise
from ..io import SUFFIXES, read_labels, read_micrograph
from ..project import Corrections, Project, find_project, training_labels
from .classes import with_class
from .masks import why_no_instances

if TYPE_CHECKING:
    from .patches import TrainingImage

CLASS_FILE = re.compile(r"class([1-9]\d?)\.", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """A micrograph and its label image, or a folder of them.

    Attributes
    ----------
    name : str
    micrograph, labels : Path
        ``labels`` may be a folder with one file per nucleus, or one with a label image per class.
    split : str
    class_files : tuple of (int, Path)
        Class, from 1, and its label image; empty where there is but one label image.
    is_corrected : bool
        Whether ``labels`` is the folder of its corrections in a project.
    """

    name: str
    micrograph: Path
    labels: Path
    split: str = "train"
    class_files: tuple[tuple[int, Path], ...] = ()
    is_corrected: bool = False


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


def _find_class_folders(folder: Path, notices: list[str]) -> dict[str, Pair]:
    """Pairs of all folders, at any depth, that hold an image and a label image per class."""
    found: dict[str, Pair] = {}
    inner = {p.parent for p in folder.rglob("*") if p.is_file() and CLASS_FILE.match(p.name)}
    for place in sorted(inner):
        files = {n: p for n, p in _files(place, notices).items() if p.is_file()}
        named = ((CLASS_FILE.match(p.name), p) for p in files.values())
        classes = tuple(sorted((int(m[1]), p) for m, p in named if m))
        if not classes:
            continue
        if "image" not in files:
            notices.append(f"{place} has files of classes but no image beside them")
            continue
        inside = place.relative_to(folder).as_posix()
        name = folder.resolve().name if inside == "." else inside
        found[name] = Pair(name, files["image"], place, class_files=classes)
    return found


def _find_corrected(project_folder: Path, notices: list[str]) -> dict[Path, Pair]:
    """Corrected micrographs of a project, by their files."""
    found: dict[Path, Pair] = {}
    with Project(project_folder, writable=False) as project:
        for reference in project.micrographs:
            corrections = project.corrections(reference)
            if not corrections.exist:
                continue
            problem = project.check(reference)
            if problem:
                notices.append(f"{problem}. It is left out")
                continue
            path = project.path_of(reference)
            name = Path(reference.path).with_suffix("").as_posix()
            found[path] = Pair(name, path, corrections.folder, reference.split, is_corrected=True)
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


def _find_in_folder(folder: Path, corrected: set[Path], notices: list[str]) -> dict[str, Pair]:
    """Pairs of files, by name; corrected micrographs need no label image."""

    def is_free(path: Path) -> bool:
        return Path(os.path.abspath(path)) not in corrected

    found: dict[str, tuple[Path, Path]] = {}
    by_class: dict[str, Pair] = {}
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        images, masks = _files(folder / "images", notices), _files(folder / "masks", notices)
        masks = {name.removesuffix("_labels"): path for name, path in masks.items()}
        found = {n: (images[n], masks[n]) for n in images if n in masks}
        notices += [
            f"{images[n]} has no label image in masks/"
            for n in images
            if n not in masks and is_free(images[n])
        ]
        notices += [f"{masks[n]} has no micrograph in images/" for n in masks if n not in images]
    else:
        by_class = _find_class_folders(folder, notices)
        is_class_folder = any(pair.labels == folder for pair in by_class.values())
        files = {n: p for n, p in _files(folder, notices).items() if p.is_file()}
        for name, path in files.items():
            if name.endswith("_labels") or is_class_folder:
                continue
            if f"{name}_labels" in files:
                found[name] = (path, files[f"{name}_labels"])
            elif is_free(path):
                notices.append(f"{path} has no {name}_labels beside it")
        for inner in sorted(p for p in folder.iterdir() if (p / "masks").is_dir()):
            if (inner / "images").is_dir():
                images = _files(inner / "images", notices)
                for name, path in images.items():
                    # many such sets call every micrograph the same
                    title = inner.name if len(images) == 1 else f"{inner.name}/{name}"
                    found[title] = (path, inner / "masks")
    return {**{n: Pair(n, *f) for n, f in found.items()}, **by_class}


def _is_reviewed(pair: Pair) -> bool:
    """Whether a person has decided on anything in a corrected micrograph."""
    try:
        return Corrections(pair.labels, writable=False).load().is_reviewed
    except FileError:
        return True  # whoever reads it will name what is damaged


def find_pairs(folder: Path) -> tuple[list[Pair], tuple[str, ...]]:
    """Find the training pairs of a folder.

    Understood are ``images/`` and ``masks/`` with the same stems, with an optional ``index.csv``
    (columns ``image_id`` and ``split``); ``x.tif`` beside ``x_labels.tif``; ``ID/images`` with
    ``ID/masks`` holding one file per nucleus, as in the Data Science Bowl 2018; and folders at any
    depth that hold ``image.tif`` and a label image for each class, ``class1.tif``, ... Corrections
    in a project (the folder itself, or ``.nucleiseg`` in it) take the place of the label images
    once something in them was reviewed.

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
    project = find_project(folder)
    corrected = {} if project is None else _find_corrected(project, notices)
    pairs = {} if project == folder else _find_in_folder(folder, set(corrected), notices)
    index = folder / "index.csv"
    splits = _read_splits(index) if index.is_file() and project != folder else {}
    if splits:
        unlisted = sorted(set(pairs) - set(splits))
        notices += [f"{pairs[n].micrograph} is not in index.csv and is left out" for n in unlisted]
        pairs = {n: replace(p, split=splits[n]) for n, p in pairs.items() if n in splits}
    names = {Path(os.path.abspath(pair.micrograph)): name for name, pair in pairs.items()}
    for path, pair in corrected.items():
        name = names.get(path)
        if name is None:
            # x.png and x.tif, or one of that name elsewhere
            unique = pair.name if pair.name not in pairs else path.as_posix()
            pairs[unique] = replace(pair, name=unique)
        elif _is_reviewed(pair):
            # a micrograph that is kept for tests stays so
            split = pairs[name].split if splits else pair.split
            pairs[name] = replace(pair, name=name, split=split)
    if not pairs:
        raise TrainingError(
            "No pairs of micrograph and label image found",
            str(folder),
            "Use images/ and masks/ with the same file names, x.tif beside x_labels.tif, or "
            "for each micrograph a folder with image.tif and class1.tif, class2.tif, ...",
        )
    return [pairs[n] for n in sorted(pairs)], tuple(notices)


def read_truth(pair: Pair, classes: int) -> tuple[np.ndarray, list[str]]:
    """Read the label image of a pair; its numbers carry the class, see `data.classes`.

    Parameters
    ----------
    pair : Pair
    classes : int
        How many classes there are.

    Returns
    -------
    (H, W) integer ndarray, list of str
        The label image, and what the user should know of it.

    Raises
    ------
    NucleisegError
        If a file cannot be read, or if the label images of the classes differ in size.
    """
    texts: list[str] = []
    if pair.is_corrected:
        labels, notes = training_labels(pair.labels)
        return labels, list(notes)
    if not pair.class_files:
        labels, notices = read_labels(pair.labels)
        if classes > 1:
            texts.append("has no files of classes; its nuclei count as class 1")
            labels = np.where(labels > 0, with_class(labels, np.ones_like(labels), classes), labels)
        return labels, [*notices, *texts]
    merged = np.zeros((0, 0), np.int32)
    count = shared = 0
    for number, path in pair.class_files:
        labels, notices = read_labels(path)
        texts += [f"{path.name}: {text}" for text in notices]
        if not merged.size:
            merged = np.zeros(labels.shape, np.int32)
        if labels.shape != merged.shape:
            raise TrainingError(
                "The label images of the classes differ in size",
                "{} is {}×{}, {} is {}×{}".format(
                    path, *labels.shape, pair.class_files[0][1].name, *merged.shape
                ),
                "Crop them to the same field of view",
            )
        inside = labels > 0
        shared += int((inside & (merged > 0)).sum())
        names, rank = np.unique(labels[inside], return_inverse=True)
        kinds = np.full(rank.shape, number)
        merged[inside] = with_class(count + 1 + rank, kinds, classes)
        merged[(labels < 0) & (merged == 0)] = -1
        count += len(names)
    if shared:
        texts.append(f"{shared} pixels are in several classes and went to the last of them")
    return merged, texts


def load_pairs(pairs: list[Pair], config: NormaliseConfig) -> Iterator[Event | TrainingImage]:
    """Read pairs one by one.

    Yields
    ------
    TrainingImage or Event
        An image for each good pair, `LeftOut` for each that cannot be used, and `Notice` for what
        was converted.
    """
    # torch is not for those who only look for pairs
    from .patches import TrainingImage

    classes = max((number for p in pairs for number, _ in p.class_files), default=1)
    for pair in pairs:
        try:
            micrograph = read_micrograph(pair.micrograph)
            labels, notices = read_truth(pair, classes)
            if labels.shape != micrograph.shape:
                raise TrainingError(
                    "Micrograph and label image differ in size",
                    "{} is {}×{}, {} is {}×{}".format(
                        pair.micrograph, *micrograph.shape, pair.labels, *labels.shape
                    ),
                    "Crop both to the same field of view",
                )
            why = why_no_instances(labels)
            if why:
                raise TrainingError(
                    "The label image does not tell nuclei apart",
                    f"{pair.labels}: {why}",
                    "nucleiseg check says how many pieces it has, and --fix gives each a number",
                )
        except NucleisegError as error:
            yield LeftOut(f"{pair.name} is left out. {error}")
            continue
        chosen, proposed = choose_pixels(micrograph)
        for text in (*micrograph.notices, *notices, *proposed):
            yield Notice(f"{pair.name}: {text}")
        image = normalise(chosen.pixels, config)
        image = image if chosen.is_colour else image[:1]
        yield TrainingImage(image.astype(np.float16), labels, pair.name, classes)
