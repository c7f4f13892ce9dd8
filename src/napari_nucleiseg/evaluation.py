"""Evaluation: label images of a folder against the true ones, image by image and pooled."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import FileError, SettingError, ShapeError, reason
from .events import Event, LeftOut, Notice
from .io import SUFFIXES, LooksLikeMicrograph, name_of, read_labels, refuse_zarr
from .metrics import METRICS, scores_of_nuclei
from .metrics._matching import THRESHOLDS, Overlaps
from .metrics.average_precision import ap_at

_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class ImageCompared(Event):
    """One predicted label image was compared with the true one.

    Attributes
    ----------
    name : str
        Name of the image, without suffix and ``_labels``.
    group : str
        Its modality in the index, else empty.
    true_count, found_count : int
        Numbers of nuclei.
    scores : dict of float
        By the metric's name.
    ap : dict of float
        AP at each IoU threshold, by ``"0.50"``, ``"0.55"``, ...
    done, total : int
        Images compared so far, and in all.
    """

    name: str
    group: str
    true_count: int
    found_count: int
    scores: dict[str, float]
    ap: dict[str, float]
    done: int
    total: int


@dataclass(frozen=True)
class Summary:
    """Scores of many images.

    Attributes
    ----------
    images, true_count, found_count : int
    mean : dict of float
        Mean over images of each metric.
    mean_ap : dict of float
        Mean over images of the AP at each threshold.
    pooled : dict of float
        Each metric with the nuclei of all images taken together.
    pooled_ap : dict of float
        The same for the AP at each threshold.
    """

    images: int
    true_count: int
    found_count: int
    mean: dict[str, float]
    mean_ap: dict[str, float]
    pooled: dict[str, float]
    pooled_ap: dict[str, float]


@dataclass(frozen=True)
class Evaluated(Event):
    """All images are compared.

    Attributes
    ----------
    summaries : dict of Summary
        ``"all"``, and each modality where an index names them.
    images : tuple of ImageCompared
    """

    summaries: dict[str, Summary]
    images: tuple[ImageCompared, ...]

    def record(self) -> dict[str, Any]:
        """All of it as plain values, for a JSON file."""
        images = [
            {k: v for k, v in vars(i).items() if k not in ("done", "total")} for i in self.images
        ]
        return {
            "summary": {name: dict(vars(summary)) for name, summary in self.summaries.items()},
            "images": images,
        }


def evaluate(
    prediction: Path, truth: Path, *, index: Path | None = None, split: str | None = None
) -> Iterator[Event]:
    """Compare predicted label images with true ones.

    Parameters
    ----------
    prediction, truth : Path
        Two label images, or two folders of them, matched by file name without suffix and without
        a trailing ``_labels``. In a true label image pixels below 0 are ignored.
    index : Path or None
        CSV file with the columns ``image_id`` and, as far as wanted, ``modality`` and ``split``:
        only images listed there count, and each modality gets its own summary.
    split : str or None
        Only images of this split of the index count.

    Yields
    ------
    Event
        `Notice`, `LeftOut` for predictions without a true label image, `ImageCompared` after each
        image, and last `Evaluated`.

    Raises
    ------
    FileError
        If an image lacks its true or predicted label image, or if one cannot be read, or if a
        true one looks like a micrograph.
    SettingError
        If the index does not say what is asked of it.
    ShapeError
        If two label images differ in size.
    """
    if split is not None and index is None:
        raise SettingError(
            "A split needs an index that says what belongs to it", split, "Add --index"
        )
    pairs = _match(prediction, truth)
    if index is not None:
        groups = _read_index(index, split)
    else:
        groups = {name: "" for name, (_, true) in pairs.items() if true is not None}
        if extra := [name for name in pairs if name not in groups]:
            yield LeftOut(
                f"{len(extra)} of {len(pairs)} predictions have no true label image and do not "
                f"count: {_list(extra)}"
            )
    names = sorted(groups)
    _check_complete(pairs, names, prediction, truth)
    compared: list[ImageCompared] = []
    tables: list[Overlaps] = []
    for name in names:
        found_path, true_path = pairs[name]
        if found_path is None or true_path is None:
            raise TypeError(f"{name} passed the check and is not complete")
        true, notices = read_labels(true_path)
        if any(isinstance(text, LooksLikeMicrograph) for text in notices):
            raise FileError(
                "The true label image looks like a micrograph, with grey values as numbers",
                str(true_path),
                "Give label images as truth, with 0 as background and a number for each nucleus",
            )
        found, more = read_labels(found_path)
        for text in (*notices, *more):
            yield Notice(text)
        if true.shape != found.shape:
            raise ShapeError(
                "True and predicted label image differ in size",
                f"{true_path} is {_size(true)}, {found_path} is {_size(found)}",
                "Compare label images of the same field of view",
            )
        if (true < 0).any():
            found = np.where(true < 0, 0, found)
        table = Overlaps.between(true, found)
        tables.append(table)
        event = ImageCompared(
            name,
            groups[name],
            len(table.true_areas),
            len(table.found_areas),
            _scores(table),
            _by_threshold(ap_at(table)),
            len(compared) + 1,
            len(names),
        )
        compared.append(event)
        yield event
    summaries = {"all": summarise(tables)}
    for group in sorted({groups[n] for n in names} - {""}):
        mine = [t for t, n in zip(tables, names, strict=True) if groups[n] == group]
        summaries[group] = summarise(mine)
    yield Evaluated(summaries, tuple(compared))


def summarise(tables: list[Overlaps]) -> Summary:
    """Mean and pooled scores of one image or more."""
    each = [_scores(table) for table in tables]
    pooled = Overlaps.joined(tables)
    return Summary(
        images=len(tables),
        true_count=len(pooled.true_areas),
        found_count=len(pooled.found_areas),
        mean={name: float(np.mean([scores[name] for scores in each])) for name in each[0]},
        mean_ap=_by_threshold(np.mean([ap_at(table) for table in tables], axis=0)),
        pooled=_scores(pooled),
        pooled_ap=_by_threshold(ap_at(pooled)),
    )


def score_image(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """All scores of one label image, as one row of a table.

    Parameters
    ----------
    truth, found : (H, W) integer ndarray
        Label images; where ``truth`` is below 0, nothing counts.

    Returns
    -------
    dict of float
        Each metric by its name, ``ap50`` and ``ap75``, and both numbers of nuclei.
    """
    table = Overlaps.between(truth, np.where(truth < 0, 0, found))
    ap = _by_threshold(ap_at(table))
    return {
        **_scores(table),
        "ap50": ap["0.50"],
        "ap75": ap["0.75"],
        "true_count": len(table.true_areas),
        "found_count": len(table.found_areas),
    }


def _scores(table: Overlaps) -> dict[str, float]:
    return {name: float(METRICS.module(name).score(table)) for name in scores_of_nuclei()}


def _by_threshold(values: np.ndarray) -> dict[str, float]:
    return {f"{t:.2f}": float(v) for t, v in zip(THRESHOLDS, values, strict=True)}


def _size(labels: np.ndarray) -> str:
    return "×".join(str(side) for side in labels.shape)


def _list(names: list[str]) -> str:
    """Some names, and how many more there are."""
    shown = ", ".join(names[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def _match(prediction: Path, truth: Path) -> dict[str, tuple[Path | None, Path | None]]:
    """Predicted and true label image of each name, None where one is missing."""
    for path in (prediction, truth):
        if not path.exists():
            raise FileError("There is no such file or folder", str(path), "Check the path")
        refuse_zarr(path)
    if prediction.is_file() and truth.is_file():
        return {_name(truth): (prediction, truth)}
    found, true = _label_files(prediction), _label_files(truth)
    if prediction.is_file() or truth.is_file():
        # one file against a folder: the rest of the folder is not missing
        wanted = found if prediction.is_file() else true
        found, true = ({n: p for n, p in files.items() if n in wanted} for files in (found, true))
    return {n: (found.get(n), true.get(n)) for n in sorted({*found, *true})}


def _name(path: Path) -> str:
    """Name that a true and a predicted label image share."""
    return (path.name if path.is_dir() else name_of(path)).removesuffix("_labels")


def _label_files(folder: Path) -> dict[str, Path]:
    """Label images of a folder by name; where there are none, its folders (a file per nucleus)."""
    if folder.is_file():
        return {_name(folder): folder}
    files = sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in SUFFIXES and p.is_file() and p.name[0] != "."
    )
    files = [p for p in files if not p.name.endswith("_overlay.png")]
    # beside x_labels.tif, x.tif is the micrograph
    labelled = {_name(p) for p in files if name_of(p).endswith("_labels")}
    files = [p for p in files if name_of(p).endswith("_labels") or _name(p) not in labelled]
    found: dict[str, Path] = {}
    for path in files or sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        other = found.setdefault(_name(path), path)
        if other != path:
            raise FileError(
                "Two label images have the same name",
                f"{other.name} and {path.name} in {folder}",
                "Move one of them away",
            )
    if not found:
        raise FileError("The folder holds no label images", str(folder), "Check the path")
    return found


def _check_complete(
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
                f"{_list(missing)} (looked for in {folder})",
                "Files belong together whose names are equal without suffix and without _labels",
            )
    if not names:
        raise FileError(
            "No predicted label image has a true one of the same name",
            f"{prediction} and {truth}",
            "Files belong together whose names are equal without suffix and without _labels",
        )


def _read_index(index: Path, split: str | None) -> dict[str, str]:
    """Modality of each image that counts."""
    try:
        with index.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError("The index cannot be read", f"{index} ({reason(error)})") from error
    columns = {"image_id"} if split is None else {"image_id", "split"}
    if not rows or not columns <= rows[0].keys():
        raise SettingError(f"The index lacks {' or '.join(sorted(columns))}", str(index))
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
    return {row["image_id"]: (row.get("modality") or "").strip() for row in rows}
