"""Which predicted label image belongs to which true one: files by name, and an index."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .errors import FileError, SettingError, reason
from .io import SUFFIXES, is_zarr, name_of, read_labels
from .project import STATE, find_project, training_labels

_NAMED_AT_MOST = 5


def in_short(names: list[str]) -> str:
    """Some names, and how many more there are."""
    shown = ", ".join(names[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def match_files(prediction: Path, truth: Path) -> dict[str, tuple[Path | None, Path | None]]:
    """Predicted and true label image of each name, None where one is missing."""
    for path in (prediction, truth):
        if not path.exists():
            raise FileError("There is no such file or folder", str(path), "Check the path")
    if is_one(prediction) and is_one(truth):
        return {shared_name(truth): (prediction, truth)}
    found, true = label_files(prediction), true_files(truth)
    if is_one(prediction) or is_one(truth):
        # one file against a folder: the rest of the folder is not missing
        wanted = found if is_one(prediction) else true
        found, true = ({n: p for n, p in files.items() if n in wanted} for files in (found, true))
    return {n: (found.get(n), true.get(n)) for n in sorted({*found, *true})}


def true_files(truth: Path) -> dict[str, Path]:
    """True label images by name; of a project, the folder of the corrections of each micrograph.

    Raises
    ------
    FileError
        If there is none.
    """
    if is_one(truth) or find_project(truth) is None:
        return label_files(truth)
    # those who only match label images need not load what trains
    from .data.pairs import find_pairs

    found = {p.name: p.labels for p in find_pairs(truth)[0] if p.is_corrected}
    if not found:
        raise FileError("The project holds no corrections", str(truth), "Correct some nuclei first")
    return found


def read_true(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a true label image, or the reviewed part of a project's corrections (-1 elsewhere).

    Parameters
    ----------
    path : Path
        One of `true_files`.

    Returns
    -------
    (H, W) integer ndarray, tuple of str
        The label image, and what was converted on the way.
    """
    if path.is_dir() and (path / STATE).is_file():
        return training_labels(path)
    labels, notices = read_labels(path)
    return labels, tuple(notices)


def is_one(path: Path) -> bool:
    """Whether a path is one picture; an OME-Zarr is a folder and nevertheless one."""
    return path.is_file() or is_zarr(path)


def shared_name(path: Path) -> str:
    """Name that a true and a predicted label image share."""
    is_folder = path.is_dir() and not is_zarr(path)
    return (path.name if is_folder else name_of(path)).removesuffix("_labels")


def label_files(folder: Path) -> dict[str, Path]:
    """Label images of a folder by name; where there are none, its folders (a file per nucleus)."""
    if is_one(folder):
        return {shared_name(folder): folder}
    files = sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in SUFFIXES and is_one(p) and p.name[0] != "."
    )
    files = [p for p in files if not p.name.endswith("_overlay.png")]
    # beside x_labels.tif, x.tif is the micrograph
    labelled = {shared_name(p) for p in files if name_of(p).endswith("_labels")}
    files = [p for p in files if name_of(p).endswith("_labels") or shared_name(p) not in labelled]
    found: dict[str, Path] = {}
    for path in files or sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        other = found.setdefault(shared_name(path), path)
        if other != path:
            raise FileError(
                "Two label images have the same name",
                f"{other.name} and {path.name} in {folder}",
                "Move one of them away",
            )
    if not found:
        raise FileError("The folder holds no label images", str(folder), "Check the path")
    return found


def check_complete(
    pairs: Mapping[str, tuple[Path | None, Path | None]],
    names: Sequence[str],
    prediction: Path,
    truth: Path,
) -> None:
    """Raise if an image that counts lacks its prediction or its true label image."""
    kinds = (("prediction", prediction), ("true label image", truth))
    for which, (kind, folder) in enumerate(kinds):
        missing = [n for n in names if n not in pairs or pairs[n][which] is None]
        if missing:
            raise FileError(
                f"{len(missing)} of {len(names)} images have no {kind}",
                f"{in_short(missing)} (looked for in {folder})",
                "Files belong together whose names are equal without suffix and without _labels",
            )
    if not names:
        raise FileError(
            "No predicted label image has a true one of the same name",
            f"{prediction} and {truth}",
            "Files belong together whose names are equal without suffix and without _labels",
        )


def read_index(index: Path, split: str | None, group: str | None) -> dict[str, str]:
    """Group of each image that counts: its value in the column ``group``, or its modality."""
    try:
        with index.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError("The index cannot be read", f"{index} ({reason(error)})") from error
    columns = {"image_id"} if split is None else {"image_id", "split"}
    if not rows or not columns <= rows[0].keys():
        raise SettingError(f"The index lacks {' or '.join(sorted(columns))}", str(index))
    if group is not None and group not in rows[0]:
        known = ", ".join(name for name in rows[0] if name)
        raise SettingError("The index has no such column", repr(group), f"Columns: {known}")
    rows = [row for row in rows if row["image_id"]]
    if not rows:
        raise SettingError("The index lists no image", str(index), "Fill its column image_id")
    splits = sorted({(row.get("split") or "").strip() for row in rows} - {""})
    if split is not None:
        rows = [row for row in rows if (row["split"] or "").strip().casefold() == split.casefold()]
    if not rows:
        raise SettingError(
            f"{index.name} has no split", repr(split), f"Splits: {', '.join(splits)}"
        )
    return {row["image_id"]: (row.get(group or "modality") or "").strip() for row in rows}


def find_micrographs(images: Path) -> dict[str, Path]:
    """Micrographs of a folder by name, or the one file.

    Raises
    ------
    FileError
        If there is no such file or folder.
    """
    if not images.exists():
        raise FileError("There is no such file or folder", str(images), "Check the path")
    if is_one(images):
        return {name_of(images): images}
    return {
        name_of(path): path
        for path in sorted(images.iterdir(), reverse=True)
        if path.suffix.lower() in SUFFIXES and is_one(path) and path.name[0] != "."
    }
