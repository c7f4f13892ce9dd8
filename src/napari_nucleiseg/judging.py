"""One predicted label image against its truth, step by step, with all that a window shows of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from .comparison import Comparison, Kind, Kinds, classify, compare, paint
from .errors import NucleisegError, ShapeError
from .evaluation import Evaluated, Files, evaluate
from .events import Event, Notice, Saved
from .io import read_labels, read_micrograph
from .label_files import read_true
from .marks import levels, mark_image
from .metrics import METRICS, outline_distances, scores_of_nuclei
from .metrics._matching import THRESHOLDS, Overlaps
from .metrics.average_precision import ap_at
from .micrograph import Micrograph
from .reviewed import Area, apply_reviewed

STEPS = ("counting overlaps", "outlines of nuclei", "outlines of all", "drawing")


@dataclass(frozen=True)
class Judging(Event):
    """Another step begins."""

    what: str
    done: int
    total: int = len(STEPS)


@dataclass(frozen=True)
class FilesRead(Event):
    """The label images of a file of a folder are read, and its micrograph where there is one."""

    name: str
    prediction: np.ndarray = field(repr=False)
    truth: np.ndarray = field(repr=False)
    micrograph: Micrograph | None
    pixel_size_um: tuple[float, float] | None


@dataclass(frozen=True)
class Judged(Event):
    """A prediction was compared with the truth.

    Attributes
    ----------
    comparison : Comparison
    marks, iou, dice, agreement : (H, W) uint8 ndarray
        See `napari_nucleiseg.marks` and `napari_nucleiseg.comparison.Agreement`.
    table : dict of (R,) ndarray
        That of `Comparison.table`. Only its columns ``kind`` and ``matched`` depend on the
        threshold.
    ap : dict of float
        AP at each IoU threshold.
    distances_px : dict of float
        Of the foregrounds' outlines, by the metric's name.
    scores : dict of float
        Those of `scores_without`.
    """

    comparison: Comparison
    marks: np.ndarray = field(repr=False)
    iou: np.ndarray = field(repr=False)
    dice: np.ndarray = field(repr=False)
    agreement: np.ndarray = field(repr=False)
    table: dict[str, np.ndarray] = field(repr=False)
    ap: dict[float, float]
    distances_px: dict[str, float]
    scores: dict[str, float]

    def kinds(self, threshold: float) -> Kinds:
        """Kind of each nucleus at a threshold."""
        return classify(self.comparison.overlaps, threshold)

    def columns(self, kinds: Kinds) -> dict[str, np.ndarray]:
        """Give the columns of the table that depend on the threshold."""
        words = np.array(["", *(kind.words for kind in Kind)], object)
        extra = int((kinds.found == Kind.EXTRA).sum())
        return {
            "kind": np.concatenate([words[kinds.true], np.full(extra, Kind.EXTRA.words, object)]),
            "matched": np.concatenate([kinds.true_matched, np.zeros(extra, bool)]),
        }

    def row_at(self, y: int, x: int) -> int | None:
        """Row of the table of the nucleus in a pixel, None where there is none.

        A prediction that is not extra stands with the true nucleus it covers best.
        """
        height, width = self.comparison.truth.shape
        if not (0 <= y < height and 0 <= x < width):
            return None
        overlaps = self.comparison.overlaps
        place, true_count = int(self.comparison.places[y, x]), len(overlaps.true_ids)
        if place <= true_count:
            return place - 1 if place else None
        column = place - true_count - 1
        extra = np.flatnonzero(self.kinds(0.5).found == Kind.EXTRA)
        if column in extra:
            return true_count + int(np.searchsorted(extra, column))
        pairs = np.flatnonzero(overlaps.columns == column)
        return int(overlaps.rows[pairs[np.argmax(overlaps.iou[pairs])]])


def judge(
    prediction: np.ndarray,
    truth: np.ndarray,
    areas: tuple[Area, ...] = (),
    pixel_size_um: tuple[float, float] | None = None,
) -> Iterator[Event]:
    """Compare a predicted label image with the true one.

    Parameters
    ----------
    prediction, truth : (H, W) integer ndarray
        Where the truth is below 0, nothing counts.
    areas : tuple of Area
        Where a person looked at everything; elsewhere nothing counts. Without one all counts.
    pixel_size_um : (float, float), optional
        Height and width of a pixel in µm.

    Yields
    ------
    Event
        `Judging` before each step, and last `Judged`.

    Raises
    ------
    ShapeError
        If they differ in size.
    """
    if prediction.shape != truth.shape:
        raise ShapeError(
            "The nuclei and the true ones differ in size",
            "{}×{} and {}×{} px".format(*prediction.shape, *truth.shape),
            "Choose label images of the same field of view",
        )
    yield Judging(STEPS[0], 0)
    if areas:
        truth = apply_reviewed(truth, areas)
    comparison = compare(truth, prediction, pixel_size_um=pixel_size_um)
    yield Judging(STEPS[1], 1)
    table = comparison.table(classify(comparison.overlaps, 0.5))
    yield Judging(STEPS[2], 2)
    distances = outline_distances(comparison.truth, comparison.prediction)
    yield Judging(STEPS[3], 3)
    ids = comparison.overlaps.true_ids
    yield Judged(
        comparison,
        mark_image(comparison),
        paint(comparison.truth, ids, levels(comparison.best_iou)),
        paint(comparison.truth, ids, levels(comparison.best_dice)),
        comparison.agreement_image(),
        table,
        dict(zip(THRESHOLDS, ap_at(comparison.overlaps).tolist(), strict=True)),
        distances,
        scores_without(comparison.overlaps),
    )


def judge_files(
    name: str, files: Files, size: tuple[float, float] | None = None
) -> Iterator[Event]:
    """Read an image of an evaluation of folders and compare it.

    Parameters
    ----------
    name : str
    files : Files
    size : (float, float), optional
        Height and width of a pixel in µm, where the files do not say it.

    Yields
    ------
    Event
        `FilesRead`, then those of `judge`.
    """
    truth, prediction = read_true(files.truth)[0], read_labels(files.prediction).image
    micrograph = None
    if files.micrograph is not None:
        try:
            micrograph = read_micrograph(files.micrograph)
        except NucleisegError as error:
            yield Notice(str(error))
    known = size if micrograph is None else micrograph.pixel_size_um or size
    yield FilesRead(name, prediction, truth, micrograph, known)
    yield from judge(prediction, truth, pixel_size_um=known)


def judge_folders(
    prediction: Path, truth: Path, out: Path, images: Path | None = None, **options: object
) -> Iterator[Event]:
    """Evaluate folders and write the report, as ``nucleiseg evaluate --out`` does.

    Parameters
    ----------
    prediction, truth, out : Path
    images : Path, optional
    **options
        Those of `evaluate`.

    Yields
    ------
    Event
        Those of `evaluate`, and last `Saved` with the page.
    """
    from .batch import prepare_folder
    from .report import write_report

    prepare_folder(out)
    for event in evaluate(prediction, truth, images=images, **options):  # type: ignore[arg-type]
        yield event
        if isinstance(event, Evaluated):
            heading = f"{prediction.name or prediction} compared with {truth.name or truth}"
            yield Saved(write_report(event, out, heading), "report")


def scores_at(overlaps: Overlaps, threshold: float) -> dict[str, float]:
    """Scores of nuclei that depend on an IoU threshold, by the metric's name.

    Parameters
    ----------
    overlaps : Overlaps
    threshold : float
        Least IoU of a match, 0.5 to 1.

    Returns
    -------
    dict of float
        ``ap_at`` is AP at this threshold alone.
    """
    scores = {"ap_at": float(ap_at(overlaps, (threshold,))[0])}
    for name, score in _scorers(at_a_threshold=True).items():
        scores[name] = float(score(overlaps, threshold=threshold))
    return scores


def scores_without(overlaps: Overlaps) -> dict[str, float]:
    """Scores that depend on no IoU threshold, by the metric's name."""
    return {name: float(score(overlaps)) for name, score in _scorers(at_a_threshold=False).items()}


@cache  # to look for metrics takes longer than to compute them
def _scorers(at_a_threshold: bool) -> dict[str, Callable[..., float]]:
    scorers = {name: METRICS.module(name).score for name in scores_of_nuclei()}
    return {
        name: score
        for name, score in scorers.items()
        if ("threshold" in inspect.signature(score).parameters) == at_a_threshold
    }


def training_folder(truth: Path) -> tuple[Path, Path | None]:
    """Give the true label images and the micrographs of a folder that was chosen as truth.

    Parameters
    ----------
    truth : Path
        A folder of label images, or one that holds ``masks/`` and perhaps ``images/``.
    """
    masks, images = truth / "masks", truth / "images"
    if not masks.is_dir():
        return truth, None
    return masks, images if images.is_dir() else None
