"""The report of a study: tables, figures and words from the runs that are finished."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.pairs import find_pairs
from ..errors import FileError, NucleisegError, reason
from ..events import Event
from ..files import write_text
from .comparison import (
    TITLES,
    as_markdown,
    difference_table,
    optimizer_table,
    quality_table,
    score_table,
    time_table,
    time_tests,
)
from .figures import draw_all
from .plan import AXES, StudyConfig, plan
from .results import Results, gather, write_csv, write_tables
from .run import is_finished

REPORT = "report.md"
FOUND_NOTHING = 0.1
STUDY = "study.json"
_NAMES = {"network": "network", "optimizer": "optimizer", "schedule": "schedule", "seeds": "seeds"}
_CAPTIONS = {
    "curves": "Learning curves by epoch (mean over seeds); of many variants each before the others "
    "in grey",
    "times": "CPU time of every run",
    "differences": "Differences in AP; filled: the interval leaves out 0",
    "optimizers": "Loss, error, accuracy and time; a dot is a run, a bar their mean",
    "quality": "Network quality Q against generalisation gap and test Dice",
    "layers": "Quality of each layer, epoch by epoch; colours by its square root",
    "panels": "Micrograph, truth and results, from hard to easy micrographs: windows of at most "
    "256 px with outlines; AP is that of the whole micrograph",
}


@dataclass(frozen=True)
class FigureDrawn(Event):
    """A figure was written."""

    name: str


@dataclass(frozen=True)
class Reported(Event):
    """The report is complete.

    Attributes
    ----------
    path : Path
        Of the Markdown file; tables and figures lie beside it.
    finished, total : int
        Runs in it, and in the study.
    """

    path: Path
    finished: int
    total: int


def remember(study: StudyConfig, data: Path, out: Path) -> None:
    """Write down in a study's folder what it compares, and on which data.

    Raises
    ------
    FileError
        If the folder holds another study.
    TrainingError
        If a run in it was made with other settings.
    """
    record = {"study": study.model_dump(mode="json"), "data": str(data.resolve())}
    path = out / STUDY
    if path.is_file() and not _is_same(recall(out)[0], study):
        earlier = recall(out)[0]
        if earlier.title != study.title:
            raise FileError(
                "The folder holds another study",
                f"{out} ({earlier.title})",
                "Choose another --out",
            )
        # what is finished must belong to both, or neither could be reported
        for run in plan(study):
            is_finished(run, out)
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(record, indent=1) + "\n")


def _is_same(one: StudyConfig, other: StudyConfig) -> bool:
    """Whether two studies differ in nothing but how they are reported."""
    shown = {"title", "panels", "source", "references"}
    return one.model_dump(exclude=shown) == other.model_dump(exclude=shown)


def recall(out: Path) -> tuple[StudyConfig, Path]:
    """What a study's folder compares, and its data.

    Raises
    ------
    FileError
        If it is not the folder of a study.
    """
    path = out / STUDY
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        study: StudyConfig = StudyConfig.parse(record["study"], source=str(path))
        return study, Path(record["data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is damaged"
        raise FileError(
            "This is not the folder of a study",
            f"{path} ({why})",
            "Give the --out of nucleiseg study run",
        ) from error


def _data_of(data: Path, test_split: str) -> Path | None:
    """The micrographs of a study, if they are still there."""
    try:
        return data if any(p.split == test_split for p in find_pairs(data)[0]) else None
    except (NucleisegError, OSError):
        return None


def report(out: Path) -> Iterator[Event]:
    """Write tables, figures and the report of a study's finished runs.

    Parameters
    ----------
    out : Path
        The study's folder.

    Yields
    ------
    Event
        `FigureDrawn` for each, and last `Reported`.
    """
    study, data = recall(out)
    runs = plan(study)
    results = gather(runs, out)
    write_tables(results, out)
    tables = {
        "scores": score_table(results, study),
        "times": time_table(results),
        "time_tests": time_tests(results),
        "differences": difference_table(results),
        "optimizers": optimizer_table(results),
        "quality": quality_table(
            results, "network" if results.runs["network"].nunique() > 1 else "optimizer"
        ),
    }
    folder = out / "tables"
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")
    figures = []
    for name in draw_all(results, study, runs, _data_of(data, study.test_split), out):
        figures.append(name)
        yield FigureDrawn(name)
    text = _text(study, results, len(runs), figures)
    write_text(folder / "scores.md", scores_markdown(results, study))
    write_text(out / REPORT, text)
    yield Reported(out / REPORT, len(results.runs), len(runs))


def scores_markdown(results: Results, study: StudyConfig) -> str:
    """The table of test scores, best first."""
    titles = {
        **_NAMES,
        **TITLES,
        "reference_dice": "published Dice",
        "reference_iou": "published IoU",
    }
    table = score_table(results, study)
    if len(study.seeds) == 1:
        titles.pop("seeds")
    return as_markdown(table, titles)


def _text(study: StudyConfig, results: Results, total: int, figures: Sequence[str]) -> str:
    runs = results.runs
    images = results.tested["image"].nunique()
    parts = [f"# {study.title}", _setting(study, results, total, images)]
    parts += ["## Scores", scores_markdown(results, study)]
    if study.source:
        parts.append(f"Published values: {study.source}.")
    if "panels" in figures:
        parts.append(_figure("panels"))
    parts += ["## Differences", _difference_words(results)]
    if "differences" in figures:
        parts.append(_figure("differences"))
    parts += ["## Times", _times(results)]
    if "times" in figures:
        parts.append(_figure("times"))
    parts += ["## Training", _figure("curves")]
    if runs["optimizer"].nunique() > 1 and "optimizers" in figures:
        parts += ["## Optimizers", _optimizers(results), _figure("optimizers")]
    if "quality" in figures or "layers" in figures:
        parts += ["## What the layers have learned", _quality_words(results)]
        parts += [_figure(name) for name in ("quality", "layers") if name in figures]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _setting(study: StudyConfig, results: Results, total: int, images: int) -> str:
    runs = results.runs
    first = runs.iloc[0]
    unfinished = total - len(runs)
    rates = ", ".join(
        f"{name} {', '.join(f'{rate:g}' for rate in sorted(rows['learning_rate'].unique()))}"
        for name, rows in runs.groupby("optimizer", sort=False)
    )
    lines = [
        f"{len(runs)} runs"
        + (f" ({unfinished} more are not finished)" if unfinished else "")
        + f": {int(first['train_images'])} micrographs train, {int(first['held_out_images'])} "
        f"choose the best epoch, {images} of the split {first['test_split']} test. "
        f"{int(first['epochs'])} epochs, {int(first['steps']):,} steps. "
        f"Peak learning rates: {rates}.",
        "Scores are means over the test images; AP is the mean over IoU 0.5 to 0.95, PQ is at 0.5. "
        "Intervals are paired bootstraps over the test images, and over the seeds where both have "
        "several; with one seed they tell how sure a difference is for other images alone. They "
        "hold for all comparisons of a list together (Bonferroni).",
    ]
    nothing = runs.loc[runs["dice"] < FOUND_NOTHING, "run"]
    if len(nothing):
        lines.append(
            f"Found (almost) nothing on the test images: {', '.join(nothing)}. Nuclei of a "
            "probability that is below 0.75 on average are not counted, so that a network that is "
            "unsure everywhere scores 0."
        )
    lines += [
        "Other settings for "
        + " and ".join(getattr(a, axis) for axis in AXES if getattr(a, axis))
        + f" ({', '.join(f'{k} = {v}' for k, v in a.settings.items())}): {a.why}."
        for a in study.adjustments
    ]
    return "\n\n".join(lines)


def _difference_words(results: Results) -> str:
    table = difference_table(results)
    if table.empty:
        return "There is nothing to compare."
    lines = []
    for axis in dict.fromkeys(table["compared"]):
        lines.append(f"By {axis}:\n")
        mine = table[table["compared"] == axis]
        if axis == "variant":
            lines[-1] = "By variant, AP alone (Dice and IoU are in tables/differences.csv):\n"
            mine = mine[mine["score"] == "average_precision"]
        lines += [f"- {TITLES[row['score']]}: {row['words']}" for _, row in mine.iterrows()]
        lines.append("")
    return "\n".join(lines)


def _times(results: Results) -> str:
    titles = {
        "network": "network",
        "optimizer": "optimizer",
        "schedule": "schedule",
        "parameters": "parameters",
        "train_seconds": "training (s)",
        "train_cpu_seconds": "training, CPU (s)",
        "test_cpu_seconds": "test split, CPU (s)",
        "megapixels_per_cpu_second": "MPix per CPU second",
    }
    table = as_markdown(time_table(results).round({"train_seconds": 0}), titles, 1)
    words = []
    for _, row in time_tests(results).iterrows():
        what = "training" if row["measure"].startswith("train") else "segmenting the test split"
        verdict = "differ" if row["p"] < 0.05 else "no significant difference"
        if row["least_p"] >= 0.05:
            verdict = "too few runs to tell"
        words.append(
            f"- {what}: {row['one']} {row['one_mean']:,.0f} s, {row['other']} "
            f"{row['other_mean']:,.0f} s of CPU time, {verdict} "
            f"(Mann-Whitney U, p = {row['p']:.2g}, {row['one_runs']} and {row['other_runs']} runs)"
        )
    return table + "\n" + "\n".join(words)


def _optimizers(results: Results) -> str:
    titles = {
        "optimizer": "optimizer",
        "runs": "runs",
        "learning_rate": "learning rate",
        "loss": "training loss",
        "error": "1 − Dice",
        "dice": "Dice",
        "average_precision": "AP",
        "cpu_seconds": "CPU (s)",
    }
    table = optimizer_table(results)
    table["learning_rate"] = table["learning_rate"].map("{:g}".format)
    return as_markdown(table, titles)


def _quality_words(results: Results) -> str:
    names = {"gap": "generalisation gap", "dice": "test Dice", "average_precision": "test AP"}
    lines = []
    for _, row in quality_table(results).iterrows():
        lines.append(
            f"- Q and {names[row['measure']]}, {row['runs']} runs: Pearson r = "
            f"{row['pearson']:.2f} (p = {row['pearson_p']:.2g}), Spearman ρ = "
            f"{row['spearman']:.2f} (p = {row['spearman_p']:.2g})"
        )
    return "\n".join(lines) or "Too few runs tell their quality Q for a correlation."


def _figure(name: str) -> str:
    return f"![{_CAPTIONS[name]}](figures/{name}.png)\n\n*{_CAPTIONS[name]}.*"
