"""What the results of a study say: scores, times, differences and correlations, as small tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from ..statistics import paired_bootstrap
from .plan import AXES, StudyConfig
from .results import SCORES, Results

if TYPE_CHECKING:
    from pandas import DataFrame

# all pairs of more variants would be a table that nobody reads: they are compared with the best
FEW = 8
# of more runs, the usual approximation of the distribution is good
EXACT_RUNS = 8
COMPARED = ("dice", "iou", "average_precision")
TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "ap50": "AP@0.5",
    "ap75": "AP@0.75",
    "average_precision": "AP",
    "panoptic": "PQ",
}


def score_table(results: Results, study: StudyConfig) -> DataFrame:
    """Test scores of each variant, best AP first, beside what others published.

    Means over images, then over seeds; with several seeds also the standard deviation over them.
    """
    import pandas as pd

    published = {(r.network, r.optimizer, r.schedule): r for r in study.references}
    rows = []
    for names, runs in results.runs.groupby(list(AXES), sort=False):
        row: dict[str, Any] = dict(zip(AXES, names, strict=True))
        row["seeds"] = len(runs)
        for name in SCORES:
            row[name] = runs[name].mean()
            if len(study.seeds) > 1:
                row[f"{name}_sd"] = runs[name].std(ddof=1)
        if published:
            reference = published.get(tuple(names))
            row["reference_dice"] = reference.dice if reference else np.nan
            row["reference_iou"] = reference.iou if reference else np.nan
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.sort_values("average_precision", ascending=False, ignore_index=True)


def time_table(results: Results) -> DataFrame:
    """Times of each variant, means over seeds: training, and segmenting the test split."""
    import pandas as pd

    rows = []
    for names, runs in results.runs.groupby(list(AXES), sort=False):
        rows.append(
            {
                **dict(zip(AXES, names, strict=True)),
                "parameters": int(runs["parameters"].iloc[0]),
                "steps": int(runs["steps"].mean()),
                "train_seconds": runs["train_seconds"].mean(),
                "train_cpu_seconds": runs["train_cpu_seconds"].mean(),
                "test_seconds": runs["test_seconds"].mean(),
                "test_cpu_seconds": runs["test_cpu_seconds"].mean(),
                "megapixels_per_cpu_second": (
                    runs["test_megapixels"].sum() / runs["test_cpu_seconds"].sum()
                ),
            }
        )
    return pd.DataFrame(rows)


def time_tests(results: Results) -> DataFrame:
    """Whether networks differ in time: Mann-Whitney U test, two-sided, over runs.

    Mann HB, Whitney DR (1947), doi:10.1214/aoms/1177730491; exact where there are no ties.
    ``least_p`` is what the most different times of so few runs would give.
    """
    import pandas as pd
    from scipy.stats import mannwhitneyu

    rows = []
    for one, other in combinations(results.runs["network"].unique(), 2):
        for measure in ("train_cpu_seconds", "test_cpu_seconds"):
            a, b = (
                results.runs.loc[results.runs["network"] == name, measure] for name in (one, other)
            )
            rows.append(
                {
                    "one": one,
                    "other": other,
                    "measure": measure,
                    "one_mean": a.mean(),
                    "other_mean": b.mean(),
                    "one_runs": len(a),
                    "other_runs": len(b),
                    "p": float(mannwhitneyu(a, b).pvalue),
                    "least_p": min(1.0, 2 / comb(len(a) + len(b), len(a))),
                }
            )
    columns = ("one", "other", "measure", "one_mean", "other_mean", "one_runs", "other_runs")
    return pd.DataFrame(rows, columns=[*columns, "p", "least_p"])


def difference_table(results: Results) -> DataFrame:
    """Differences in test scores with their intervals, and what they mean in words.

    First along each axis of the grid (one network against another over all that both were run
    with, and so on), then variant against variant: all pairs of few, of many each with the best.
    Intervals hold for all differences along an axis together, and for all pairs of variants: any
    of them could have turned out to be the best. Where both have several seeds in common, seeds are
    drawn like images.
    """
    import pandas as pd

    tested = results.tested
    pairs: list[tuple[str, str, str]] = []
    together = {}
    for axis in AXES:
        names = list(tested[axis].unique())
        together[axis] = max(1, len(names) * (len(names) - 1) // 2)
        if 1 < len(names) <= FEW:
            pairs += [(axis, *pair) for pair in combinations(names, 2)]
    ranked = list(
        tested.groupby("variant")["average_precision"].mean().sort_values(ascending=False).index
    )
    together["variant"] = max(1, len(ranked) * (len(ranked) - 1) // 2)
    if len(ranked) <= FEW:
        pairs += [("variant", *pair) for pair in combinations(ranked, 2)]
    else:
        pairs += [("variant", ranked[0], other) for other in ranked[1:]]
    rows = []
    for axis, one, other in pairs:
        for score in COMPARED:
            found = _paired(tested, axis, one, other, score)
            if found is None:
                continue
            difference = paired_bootstrap(*found, comparisons=together[axis])
            rows.append(
                {
                    "compared": axis,
                    "one": one,
                    "other": other,
                    "score": score,
                    "difference": difference.mean,
                    "low": difference.low,
                    "high": difference.high,
                    "images": difference.images,
                    "seeds": difference.seeds,
                    "comparisons": difference.comparisons,
                    "significant": difference.is_significant,
                    "words": difference.words(one, other),
                }
            )
    columns = ("compared", "one", "other", "score", "difference", "low", "high", "images")
    counts = ("seeds", "comparisons")
    return pd.DataFrame(rows, columns=[*columns, *counts, "significant", "words"])


def _paired(
    tested: DataFrame, axis: str, one: str, other: str, score: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores, a row for each seed that both have and a column for each image that all have.

    They are averaged over the runs that differ in this axis alone.
    """
    rest = [name for name in (*AXES, "seed") if name != axis] if axis in AXES else ["seed"]
    wide = tested[tested[axis].isin([one, other])].pivot_table(
        index=[*rest, "image"], columns=axis, values=score
    )
    both = wide.dropna() if {one, other} <= set(wide.columns) else None
    if both is None or both.empty:
        return None
    means = both.groupby(level=["seed", "image"]).mean()
    first, second = (means[name].unstack("image").dropna(axis=1) for name in (one, other))
    if first.empty:
        return None
    return first.to_numpy(), second.to_numpy()


def optimizer_table(results: Results) -> DataFrame:
    """Loss, error, accuracy and time by optimizer, mean and deviation over all its runs."""
    import pandas as pd

    rows = []
    for name, runs in results.runs.groupby("optimizer", sort=False):
        values = {
            "loss": runs["loss"],
            "held_out_loss": runs["held_out_loss"],
            "error": 1 - runs["dice"],
            "dice": runs["dice"],
            "average_precision": runs["average_precision"],
            "cpu_seconds": runs["train_cpu_seconds"],
            "quality": runs["quality"],
        }
        row: dict[str, Any] = {"optimizer": name, "runs": len(runs)}
        row["learning_rate"] = runs["learning_rate"].iloc[0]
        for measure, column in values.items():
            row[measure] = column.mean()
            row[f"{measure}_sd"] = column.std(ddof=1) if len(runs) > 1 else np.nan
        rows.append(row)
    return pd.DataFrame(rows).sort_values("average_precision", ascending=False, ignore_index=True)


def quality_table(results: Results, by: str | None = None) -> DataFrame:
    """Correlation of a network's quality Q with its generalisation gap and its test scores.

    Linear (Pearson) and of ranks (Spearman), over runs: figure 2 of Hosseini et al. 2022,
    doi:10.1109/CVPR52688.2022.01005.

    Parameters
    ----------
    results : Results
    by : str, optional
        Column of the runs to look at separately, too.
    """
    import pandas as pd
    from scipy.stats import pearsonr, spearmanr

    groups: list[tuple[str, DataFrame]] = [("all", results.runs)]
    if by is not None and results.runs[by].nunique() > 1:
        groups += [(str(name), runs) for name, runs in results.runs.groupby(by, sort=False)]
    rows = []
    for name, runs in groups:
        for measure in ("gap", "dice", "average_precision"):
            both = runs[["quality", measure]].dropna()
            if len(both) < 3 or both["quality"].nunique() < 2 or both[measure].nunique() < 2:
                continue
            linear = pearsonr(both["quality"], both[measure])
            ranks = spearmanr(both["quality"], both[measure])
            ranks_p = _exact_p(both) if len(both) <= EXACT_RUNS else float(ranks.pvalue)
            rows.append(
                {
                    "runs_of": name,
                    "measure": measure,
                    "runs": len(both),
                    "pearson": float(linear.statistic),
                    "pearson_p": float(linear.pvalue),
                    "spearman": float(ranks.statistic),
                    "spearman_p": ranks_p,
                }
            )
    columns = ("runs_of", "measure", "runs", "pearson", "pearson_p", "spearman", "spearman_p")
    return pd.DataFrame(rows, columns=list(columns))


def _exact_p(both: DataFrame) -> float:
    """Chance of so strong a correlation of ranks among all orders of a few runs."""
    from scipy.stats import permutation_test, rankdata

    quality, measure = (rankdata(both[name]) - (len(both) + 1) / 2 for name in both.columns)

    def together(order: np.ndarray, axis: int = -1) -> np.ndarray:
        # the rest of the coefficient is the same for every order
        return np.asarray(np.tensordot(order, measure, ([axis], [0])))

    found = permutation_test(
        (quality,), together, permutation_type="pairings", vectorized=True, n_resamples=np.inf
    )
    return float(found.pvalue)


def as_markdown(table: DataFrame, titles: dict[str, str], digits: int = 3) -> str:
    """Write columns of a table as Markdown; a column ``x_sd`` stands behind ``x`` with ±.

    Parameters
    ----------
    table : DataFrame
    titles : dict of str
        Columns to show, and their headings.
    digits : int
        Of numbers with a fraction.
    """

    def cell(row: Any, name: str) -> str:
        value = row[name]
        if isinstance(value, str):
            return value
        if value is None or value != value:
            return ""
        if isinstance(value, (int, np.integer)):
            return f"{value:,}"
        text = _number(value, digits)
        spread = row.get(f"{name}_sd")
        has_spread = spread is not None and spread == spread
        return f"{text} ± {_number(spread, digits)}" if has_spread else text

    shown = [name for name in titles if name in table.columns]
    lines = [_line([titles[n] for n in shown]), _line(["---"] * len(shown))]
    lines += [_line([cell(row, n) for n in shown]) for _, row in table.iterrows()]
    return "\n".join(lines) + "\n"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if abs(value) < 100 else f"{value:,.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
