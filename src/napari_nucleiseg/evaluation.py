"""Evaluation: label images of a folder against the true ones, image by image and pooled."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .comparison import Comparison, Kind, classify, compare
from .errors import FileError, SettingError, ShapeError
from .events import Event, LeftOut, Notice
from .io import LooksLikeMicrograph, pixel_size_of, read_labels
from .label_files import (
    check_complete,
    find_micrographs,
    in_short,
    match_files,
    read_index,
    read_true,
)
from .metrics import METRICS, outline_distances, scores_of_nuclei
from .metrics._matching import THRESHOLDS, Overlaps
from .metrics.average_precision import ap_at
from .reviewed import within_reviewed


@dataclass(frozen=True)
class Files:
    """Where the label images of an image lie, and its micrograph where one was given."""

    prediction: Path
    truth: Path
    micrograph: Path | None = None


@dataclass(frozen=True)
class ImageCompared(Event):
    """One predicted label image was compared with the true one.

    Attributes
    ----------
    name : str
        Name of the image, without suffix and ``_labels``.
    group : str
        Its modality in the index, or what its column ``group`` says; else empty.
    true_count, found_count : int
        Numbers of nuclei.
    scores : dict of float
        By the metric's name.
    ap : dict of float
        AP at each IoU threshold, by ``"0.50"``, ``"0.55"``, ...
    distances_px : dict of float
        Of the foregrounds' outlines, by the metric's name; not a number where one is empty.
    kinds : dict of int
        Number of nuclei that are correct, missed, extra, merged, split, with a poor outline.
    done, total : int
        Images compared so far, and in all.
    nuclei : dict of (R,) ndarray
        The table of `napari_nucleiseg.comparison.Comparison.table`.
    kind_of_predictions : dict of dict of int
        That of `napari_nucleiseg.comparison.Comparison.kind_of_predictions`.
    files : Files
    """

    name: str
    group: str
    true_count: int
    found_count: int
    scores: dict[str, float]
    ap: dict[str, float]
    distances_px: dict[str, float]
    kinds: dict[str, int]
    done: int
    total: int
    nuclei: dict[str, np.ndarray] = field(repr=False)
    kind_of_predictions: dict[str, dict[str, int]]
    files: Files

    def record(self) -> dict[str, Any]:
        """Its scores as plain values, for a JSON file."""
        return {
            "name": self.name,
            "group": self.group,
            "true_count": self.true_count,
            "found_count": self.found_count,
            "scores": self.scores,
            "ap": self.ap,
            "distances_px": _plain(self.distances_px),
            "kinds": self.kinds,
        }


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
    mean_distances_px : dict of float
        Mean of each distance over the images where it is a number; there may be none.
    kinds : dict of int
        Number of nuclei of each kind in all images.
    """

    images: int
    true_count: int
    found_count: int
    mean: dict[str, float]
    mean_ap: dict[str, float]
    pooled: dict[str, float]
    pooled_ap: dict[str, float]
    mean_distances_px: dict[str, float]
    kinds: dict[str, int]

    def record(self) -> dict[str, Any]:
        """All of it as plain values, for a JSON file."""
        return {**vars(self), "mean_distances_px": _plain(self.mean_distances_px)}


@dataclass(frozen=True)
class Evaluated(Event):
    """All images are compared.

    Attributes
    ----------
    summaries : dict of Summary
        ``"all"``, and each group where an index names them.
    images : tuple of ImageCompared
    threshold : float
        Least IoU of a match that the kinds of nuclei were named with.
    """

    summaries: dict[str, Summary]
    images: tuple[ImageCompared, ...]
    threshold: float = 0.5

    def record(self) -> dict[str, Any]:
        """All of it as plain values, for a JSON file."""
        return {
            "threshold": self.threshold,
            "summary": {name: summary.record() for name, summary in self.summaries.items()},
            "images": [image.record() for image in self.images],
        }


def evaluate(
    prediction: Path,
    truth: Path,
    *,
    index: Path | None = None,
    split: str | None = None,
    group: str | None = None,
    images: Path | None = None,
    pixel_size_um: float | None = None,
    threshold: float = 0.5,
) -> Iterator[Event]:
    """Compare predicted label images with true ones.

    Parameters
    ----------
    prediction, truth : Path
        Two label images, or two folders of them, matched by file name without suffix and without
        a trailing ``_labels``. In a true label image pixels below 0 are ignored. A project as
        truth stands for its corrections, of which the reviewed part counts.
    index : Path or None
        CSV file with the columns ``image_id`` and, as far as wanted, ``modality`` and ``split``:
        only images listed there count, and each modality gets its own summary.
    split : str or None
        Only images of this split of the index count.
    group : str or None
        Column of the index that images are summed up by, instead of ``modality``.
    images : Path or None
        The micrograph, or a folder of them with the same names, for pictures in a report.
    pixel_size_um : float or None
        Side of a pixel in µm; by itself that of the micrograph or of the label image.
    threshold : float
        Least IoU at which a nucleus is correct, 0.5 to 1. Scores have their own thresholds.

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
        If the index does not say what is asked of it, or if the threshold is out of range.
    ShapeError
        If two label images differ in size.
    """
    for what, value in (("split", split), ("group", group)):
        if value is not None and index is None:
            raise SettingError(
                f"A {what} needs an index that says what belongs to it", value, "Add --index"
            )
    if not 0.5 <= threshold <= 1:
        raise SettingError("An IoU threshold must lie between 0.5 and 1", str(threshold))
    pairs = match_files(prediction, truth)
    micrographs = {} if images is None else find_micrographs(images)
    if index is not None:
        groups = read_index(index, split, group)
    else:
        groups = {name: "" for name, (_, true) in pairs.items() if true is not None}
        if extra := [name for name in pairs if name not in groups]:
            yield LeftOut(
                f"{len(extra)} of {len(pairs)} predictions have no true label image and do not "
                f"count: {in_short(extra)}"
            )
    names = sorted(groups)
    check_complete(pairs, names, prediction, truth)
    if images is not None and images.is_file() and len(names) == 1:
        micrographs = {names[0]: images}
    if images is not None and (without := [n for n in names if n not in micrographs]):
        yield Notice(f"{len(without)} images have no micrograph in {images}: {in_short(without)}")
    compared: list[ImageCompared] = []
    tables: list[Overlaps] = []
    for name in names:
        found_path, true_path = pairs[name]
        if found_path is None or true_path is None:
            raise TypeError(f"{name} passed the check and is not complete")
        files = Files(found_path, true_path, micrographs.get(name))
        size = (pixel_size_um,) * 2 if pixel_size_um is not None else _pixel_size(files)
        true, found, notices = _read(files)
        for text in notices:
            yield Notice(text)
        comparison = compare(true, found, pixel_size_um=size)
        tables.append(comparison.overlaps)
        event = _compared(
            comparison, files, name, groups[name], threshold, (len(compared) + 1, len(names))
        )
        compared.append(event)
        yield event
    summaries = {"all": summarise(compared, tables)}
    for one in sorted({groups[n] for n in names} - {""}):
        mine = [i for i, image in enumerate(compared) if image.group == one]
        summaries[one] = summarise([compared[i] for i in mine], [tables[i] for i in mine])
    yield Evaluated(summaries, tuple(compared), threshold)


def _pixel_size(files: Files) -> tuple[float, float] | None:
    """That of the micrograph, where it says one, else that of either label image."""
    for path in (files.micrograph, files.truth, files.prediction):
        if path is not None and path.is_file() and (size := pixel_size_of(path)) is not None:
            return size
    return None


def _read(files: Files) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """True and predicted label image, and what was converted on the way."""
    true, notices = read_true(files.truth)
    if any(isinstance(text, LooksLikeMicrograph) for text in notices):
        raise FileError(
            "The true label image looks like a micrograph, with grey values as numbers",
            str(files.truth),
            "Give label images as truth, with 0 as background and a number for each nucleus",
        )
    found, more = read_labels(files.prediction)
    if true.shape != found.shape:
        raise ShapeError(
            "True and predicted label image differ in size",
            f"{files.truth} is {_size(true)}, {files.prediction} is {_size(found)}",
            "Compare label images of the same field of view",
        )
    return true, found, (*notices, *more)


def _compared(
    comparison: Comparison,
    files: Files,
    name: str,
    group: str,
    threshold: float,
    progress: tuple[int, int],
) -> ImageCompared:
    kinds = classify(comparison.overlaps, threshold)
    return ImageCompared(
        name,
        group,
        len(comparison.overlaps.true_areas),
        len(comparison.overlaps.found_areas),
        _scores(comparison.overlaps),
        _by_threshold(ap_at(comparison.overlaps)),
        outline_distances(comparison.truth, comparison.prediction),
        kinds.counts(),
        *progress,
        comparison.table(kinds),
        comparison.kind_of_predictions(kinds),
        files,
    )


def summarise(images: list[ImageCompared], tables: list[Overlaps]) -> Summary:
    """Mean and pooled scores of one image or more."""
    pooled = Overlaps.joined(tables)
    return Summary(
        images=len(images),
        true_count=len(pooled.true_areas),
        found_count=len(pooled.found_areas),
        mean=_mean([image.scores for image in images]),
        mean_ap=_mean([image.ap for image in images]),
        pooled=_scores(pooled),
        pooled_ap=_by_threshold(ap_at(pooled)),
        mean_distances_px=_mean([image.distances_px for image in images]),
        kinds={kind.words: sum(i.kinds[kind.words] for i in images) for kind in Kind},
    )


def _mean(records: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each value over the images where it is a number."""
    means = {}
    for name in records[0]:
        known = [record[name] for record in records if not math.isnan(record[name])]
        means[name] = float(np.mean(known)) if known else math.nan
    return means


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """As JSON has it: nothing where there is no number."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}


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
    table = Overlaps.between(truth, within_reviewed(truth, found))
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
