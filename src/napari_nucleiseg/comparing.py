"""Comparison: several models segment the same annotated micrographs and are scored on them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .config import SegmentConfig
from .data.pairs import Pair, find_pairs, read_truth
from .errors import FileError, ModelError, NucleisegError, SettingError, ShapeError
from .evaluation import score_image
from .events import DeviceChosen, Event, Notice, Segmented, TileDone
from .files import write_text
from .io import LooksLikeMicrograph, read_micrograph
from .micrograph import Micrograph
from .samples import SAMPLES
from .segmentation import segment
from .statistics import LEAST_IMAGES, Difference, paired_bootstrap
from .store import find_model
from .wording import sentence

# what a table shows: name of the score, its title
SCORES = (
    ("dice", "Dice"),
    ("iou", "IoU"),
    ("ap50", "AP@0.5"),
    ("average_precision", "AP"),
    ("panoptic", "PQ"),
)
BEST_BY = "average_precision"
# what a model or a file that is not as it should be can raise; others go on
_FAILURES = (NucleisegError, MemoryError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True, eq=False)
class Annotated:
    """A micrograph whose nuclei are known.

    Attributes
    ----------
    name : str
        What to call it; each has its own.
    micrograph : Micrograph, Path or callable
        A path is read when its turn comes. A callable gives the micrograph; see `loaded`.
    truth : (H, W) integer ndarray or Pair
        True label image, or where it is; pixels below 0 do not count.
    """

    name: str
    micrograph: Micrograph | Path | Callable[[], Micrograph]
    truth: np.ndarray | Pair

    def loaded(self) -> Annotated:
        """Give the same with the pixels of a callable, so that it can go to another process."""
        if callable(self.micrograph):
            return replace(self, micrograph=self.micrograph())
        return self

    def read(self) -> tuple[Micrograph, np.ndarray]:
        """Give micrograph and true label image.

        Raises
        ------
        FileError
            If a file cannot be read, or the true label image looks like a micrograph.
        ShapeError
            If they differ in size.
        """
        whole = self.loaded().micrograph
        micrograph = read_micrograph(whole) if isinstance(whole, Path) else whole
        if not isinstance(micrograph, Micrograph):
            raise TypeError(f"{self.name} is of {type(micrograph).__name__}, not a Micrograph")
        truth = self.truth
        if isinstance(truth, Pair):
            classes = max((number for number, _ in truth.class_files), default=1)
            where = truth.labels
            truth, notices = read_truth(truth, classes)
            if any(isinstance(text, LooksLikeMicrograph) for text in notices):
                raise FileError(
                    "The true label image looks like a micrograph, with grey values as numbers",
                    str(where),
                    "Give a label image, with 0 as background and a number for each nucleus",
                )
        if truth.shape != micrograph.shape:
            raise ShapeError(
                "Micrograph and true label image differ in size",
                "{} is {}×{}, its truth is {}×{} px".format(
                    self.name, *micrograph.shape, *truth.shape
                ),
                "Choose the true nuclei of this image",
            )
        return micrograph, truth


@dataclass(frozen=True)
class Row:
    """How one model did on one micrograph.

    Attributes
    ----------
    model, image : str
    scores : dict of float
        As `evaluation.score_image` gives them.
    seconds : float
        Time of the segmentation, without loading the model.
    megapixels : float
    """

    model: str
    image: str
    scores: dict[str, float]
    seconds: float
    megapixels: float


@dataclass(frozen=True)
class ModelScores:
    """How one model did on all micrographs.

    Attributes
    ----------
    model : str
    images : int
        Micrographs it segmented.
    means : dict of float
        Mean over them of each score.
    seconds : float
        Mean time of a micrograph.
    megapixels_per_second : float
        Of all of them together.
    difference : Difference or None
        Of its AP to that of the best, over the micrographs that both segmented; None for the best
        itself, and where these are too few to tell chance from a difference.
    verdict : str
        The same in words; empty where there is but one model.
    """

    model: str
    images: int
    means: dict[str, float]
    seconds: float
    megapixels_per_second: float
    difference: Difference | None = None
    verdict: str = ""


@dataclass(frozen=True)
class Comparing(Event):
    """What is being worked on: model n of m, image k of n, and its tiles so far.

    Attributes
    ----------
    model, image : str
    model_number, image_number : int
        Counted from 1.
    models, images : int
    tile, tiles : int
        ``tiles`` is 0 as long as nobody knows how many there are.
    """

    model: str
    model_number: int
    models: int
    image: str
    image_number: int
    images: int
    tile: int = 0
    tiles: int = 0

    @property
    def share(self) -> float:
        """Part of all work that is done, 0 to 1."""
        images = (self.model_number - 1) * self.images + self.image_number - 1
        tiles = self.tile / self.tiles if self.tiles else 0.0
        return (images + tiles) / (self.models * self.images)


@dataclass(frozen=True, eq=False)
class Compared(Event):
    """One model segmented one micrograph.

    Attributes
    ----------
    row : Row
    labels : (H, W) int32 ndarray
    manifest : dict
        As of `events.Segmented`.
    """

    row: Row
    labels: np.ndarray
    manifest: dict[str, object]


@dataclass(frozen=True)
class NotCompared(Event):
    """A model that cannot segment a micrograph, and why; others go on.

    Attributes
    ----------
    model, image : str
        An empty model stands for all models, an empty image for all images.
    why : str
        A sentence.
    """

    model: str
    image: str
    why: str

    @property
    def text(self) -> str:
        """Who failed at what, and why."""
        where = f"{self.model} on {self.image}" if self.model and self.image else ""
        return f"{where or self.model or self.image}: {self.why}"


@dataclass(frozen=True)
class Told(Event):
    """Something to know about a model or a micrograph, in one sentence; each is told once."""

    text: str


@dataclass(frozen=True)
class ComparisonDone(Event):
    """All models are done: their scores, the best first."""

    models: tuple[ModelScores, ...]


def annotated_samples() -> list[Annotated]:
    """Give the micrographs that come with the package."""
    return [
        Annotated(name, s.micrograph, Pair(name, s.micrograph, s.labels))
        for name, s in SAMPLES.items()
    ]


def splits_of(folder: Path) -> tuple[str, ...]:
    """Splits that the index of a folder names; none without an index."""
    if not (folder / "index.csv").is_file():
        return ()
    return tuple(sorted({pair.split for pair in find_pairs(folder)[0]} - {""}))


def annotated_folder(
    folder: Path, split: str | None = None
) -> tuple[list[Annotated], tuple[str, ...]]:
    """Find the annotated micrographs of a folder.

    Parameters
    ----------
    folder : Path
        As for `data.pairs.find_pairs`.
    split : str or None
        Only those of this split of its ``index.csv``.

    Returns
    -------
    list of Annotated, tuple of str
        The micrographs by name, and a sentence for each that has no partner.

    Raises
    ------
    FileError
        If the folder holds no pairs.
    SettingError
        If it has no such split.
    """
    try:
        pairs, notices = find_pairs(folder)
    except NucleisegError as error:
        raise FileError(
            error.what.replace("training folder", "folder"), error.where, error.remedy
        ) from error
    if split is not None:
        known = splits_of(folder)
        if not known:
            raise SettingError(
                "A split needs an index.csv that says what belongs to it",
                str(folder),
                "Leave the split out to take all micrographs",
            )
        pairs = [pair for pair in pairs if pair.split.casefold() == split.casefold()]
        if not pairs:
            raise SettingError(f"{folder} has no split", repr(split), f"Splits: {', '.join(known)}")
    learned = sum(pair.split == "train" for pair in pairs)
    if 0 < learned < len(pairs):
        told = f"{learned} of the {len(pairs)} micrographs are of the split train"
        notices = (*notices, f"{told}: models that have learned from them score too well")
    return [Annotated(pair.name, pair.micrograph, pair) for pair in pairs], notices


def compare(
    models: Sequence[str], items: Sequence[Annotated], config: SegmentConfig
) -> Iterator[Event]:
    """Let several models segment the same micrographs, and score them.

    Parameters
    ----------
    models : sequence of str
        Names of installed models, or paths of ``.safetensors`` files.
    items : sequence of Annotated
    config : SegmentConfig
        Settings for all of them; its model does not count.

    Yields
    ------
    Event
        `Comparing` while tiles are done, `Compared` for each model and micrograph, `NotCompared`
        for each that failed, `Told`, and last `ComparisonDone`.

    Raises
    ------
    SettingError
        If there is no model or no micrograph.
    NucleisegError
        If no model could segment any of the micrographs.
    """
    if not models:
        raise SettingError("No model is chosen", "", "Choose at least one")
    if not items:
        raise SettingError("No annotated micrograph is chosen", "", "Choose at least one")
    models = list(dict.fromkeys(models))
    rows: list[Row] = []
    failed: list[NotCompared] = []
    told: set[str] = set()
    for number, model in enumerate(models, 1):
        for count, item in enumerate(items, 1):
            if any(f.image == item.name and not f.model for f in failed):
                continue
            at = Comparing(model, number, len(models), item.name, count, len(items))
            yield at
            failure = NotCompared("", item.name, "")
            try:
                micrograph, truth = item.read()
                failure = replace(failure, model=model)
                find_model(model)
                for event in _segmented(micrograph, truth, config, at):
                    if isinstance(event, Told):
                        if event.text in told:
                            continue
                        told.add(event.text)
                    elif isinstance(event, Compared):
                        rows.append(event.row)
                    yield event
            except _FAILURES as error:
                if isinstance(error, ModelError):
                    # no other micrograph would help
                    failure = replace(failure, image="")
                failed.append(replace(failure, why=sentence(error)))
                yield failed[-1]
                if isinstance(error, ModelError):
                    break
    if not rows:
        raise NucleisegError("Nothing could be compared", failed[0].text)
    yield ComparisonDone(summarise(rows))


def _segmented(
    micrograph: Micrograph, truth: np.ndarray, config: SegmentConfig, at: Comparing
) -> Iterator[Event]:
    """Segment and score one micrograph."""
    started: float | None = None
    for event in segment(micrograph, config.model_copy(update={"model": at.model})):
        if isinstance(event, Notice):
            yield Told(f"{at.image}: {event.text}")
        elif isinstance(event, DeviceChosen):
            started = time.monotonic()
        elif isinstance(event, TileDone):
            yield replace(at, tile=event.done, tiles=event.total)
        elif isinstance(event, Segmented):
            seconds = event.seconds if started is None else time.monotonic() - started
            row = Row(
                at.model,
                at.image,
                score_image(truth, event.labels),
                seconds,
                event.labels.size / 1e6,
            )
            yield Compared(row, event.labels, event.manifest)


def summarise(rows: Sequence[Row], judge: bool = True) -> tuple[ModelScores, ...]:
    """Sum up each model, the best first.

    Parameters
    ----------
    rows : sequence of Row
    judge : bool
        Whether to say how each differs from the best.

    Returns
    -------
    tuple of ModelScores
        By the number of micrographs it could segment, then by mean AP.
    """
    by_model: dict[str, list[Row]] = {}
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    found = [_summary(model, mine) for model, mine in by_model.items()]
    found.sort(key=lambda s: (-s.images, -s.means[BEST_BY]))
    if not judge or len(found) < 2:
        return tuple(found)
    best = by_model[found[0].model]
    # the best is chosen by the same images: any pair could have been looked at
    comparisons = len(found) * (len(found) - 1) // 2
    return (
        replace(found[0], verdict="highest AP"),
        *(_judged(s, by_model[s.model], best, comparisons) for s in found[1:]),
    )


def _summary(model: str, rows: list[Row]) -> ModelScores:
    seconds = sum(row.seconds for row in rows)
    megapixels = sum(row.megapixels for row in rows)
    return ModelScores(
        model,
        len(rows),
        {name: float(np.mean([r.scores[name] for r in rows])) for name in rows[0].scores},
        seconds / len(rows),
        megapixels / max(seconds, 1e-9),
    )


def _judged(model: ModelScores, mine: list[Row], best: list[Row], comparisons: int) -> ModelScores:
    """Say whether a model is worse than the best on the micrographs that both segmented."""
    theirs = {row.image: row.scores[BEST_BY] for row in best}
    both = [row for row in mine if row.image in theirs]
    if len(both) < LEAST_IMAGES:
        few = f"too few images to tell whether it is worse ({len(both)} of {LEAST_IMAGES})"
        return replace(model, verdict=few)
    difference = paired_bootstrap(
        [row.scores[BEST_BY] for row in both],
        [theirs[row.image] for row in both],
        comparisons=comparisons,
    )
    words = difference.words(model.model, best[0].model)
    return replace(model, difference=difference, verdict=words)


def rows_table(rows: Sequence[Row]) -> str:
    """Give a CSV text with a line for each model and micrograph."""
    names = list(rows[0].scores) if rows else [name for name, _ in SCORES]
    head = ["model", "image", *names, "seconds", "megapixels"]
    lines = [
        [row.model, row.image, *(row.scores[n] for n in names), row.seconds, row.megapixels]
        for row in rows
    ]
    return _as_csv([head, *lines])


def models_table(models: Sequence[ModelScores]) -> str:
    """Give a CSV text with a line for each model."""
    names = [name for name, _ in SCORES]
    head = ["model", "images", *names, "seconds", "megapixels_per_second", "verdict"]
    lines = [
        [
            *(m.model, m.images),
            *(m.means[n] for n in names),
            *(m.seconds, m.megapixels_per_second, m.verdict),
        ]
        for m in models
    ]
    return _as_csv([head, *lines])


def write_tables(folder: Path, rows: Sequence[Row]) -> tuple[Path, Path]:
    """Write ``images.csv`` and ``models.csv`` into a folder.

    Returns
    -------
    Path, Path

    Raises
    ------
    FileError
        If they cannot be written.
    """
    images, models = folder / "images.csv", folder / "models.csv"
    write_text(images, rows_table(rows))
    write_text(models, models_table(summarise(rows)))
    return images, models


def _as_csv(lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
