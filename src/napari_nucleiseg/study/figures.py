"""Figures of a study, with Matplotlib: colours of Okabe and Ito (2008), told apart without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channels import choose_pixels
from ..data.pairs import find_pairs
from ..errors import DependencyError
from ..files import write_whole
from ..io import read_labels, read_micrograph
from ..overlay import draw_outlines
from .comparison import difference_table, optimizer_table, quality_table, time_tests
from .plan import StudyConfig
from .results import Results
from .run import folder_of, labels_file, true_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from .plan import Run

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST_LINES = 8
PANEL_PX = 256
_FOREGROUND = "#0072B2"
_OTHERS = "0.8"


def draw_all(
    results: Results, study: StudyConfig, runs: Sequence[Run], data: Path | None, out: Path
) -> Iterator[str]:
    """Draw and write every figure that the results allow; gives their names one by one.

    Parameters
    ----------
    results : Results
    study : StudyConfig
    runs : sequence of Run
    data : Path or None
        The micrographs, for the panels; without them there are none.
    out : Path
        Folder of the study; figures go to ``figures/`` in it, as SVG and PNG.

    Raises
    ------
    DependencyError
        If Matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            "Matplotlib is not installed", "", 'Install it: pip install "napari-nucleiseg[study]"'
        ) from error
    made = {
        "curves": partial(curves, results),
        "times": partial(times, results),
        "differences": partial(differences, results),
        "optimizers": partial(optimizers, results),
        "quality": partial(quality, results),
        "layers": partial(layers, results),
    }
    if data is not None and study.panels:
        made["panels"] = partial(panels, results, runs, data, out, study.panels)
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in made.items():
        figure = draw()
        if figure is None:
            continue
        for kind in ("svg", "png"):
            _save(figure, folder / f"{name}.{kind}", kind)
        yield name


def _save(figure: Figure, path: Path, kind: str) -> None:
    import matplotlib

    # the same picture gives the same file: no date, no random names
    fixed = {"svg.hashsalt": path.stem, "svg.fonttype": "none"}
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(fixed):
        write_whole(
            path, lambda file: figure.savefig(file, format=kind, dpi=130, metadata=metadata)
        )


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def curves(results: Results) -> Figure | None:
    """Loss, Dice and IoU of each epoch; few variants in one plot, many in one plot each."""
    epochs = results.epochs
    epochs = epochs.assign(
        variant=epochs["network"] + "-" + epochs["optimizer"] + "-" + epochs["schedule"]
    )
    names = list(dict.fromkeys(epochs["variant"]))
    rows = (
        ("loss", "training loss"),
        ("held_out_loss", "held-out loss"),
        ("dice", "held-out Dice"),
        ("iou", "held-out IoU"),
    )
    if len(names) > MOST_LINES:
        return _small_multiples(epochs, names)
    networks = list(dict.fromkeys(epochs["network"]))
    figure = _figure(1.2 + 3.6 * len(networks), 2.1 * len(rows) + 0.9)
    grid = figure.subplots(len(rows), len(networks), squeeze=False, sharex=True, sharey="row")
    styles = {
        name: (colour, dash)
        for name, colour, dash in zip(
            dict.fromkeys(epochs["optimizer"] + "-" + epochs["schedule"]),
            cycle(COLOURS),
            cycle(DASHES),
            strict=False,
        )
    }
    for column, network in enumerate(networks):
        for row, (measure, title) in enumerate(rows):
            axes = grid[row][column]
            mine = epochs[epochs["network"] == network]
            for name, (colour, dash) in styles.items():
                one = mine[mine["optimizer"] + "-" + mine["schedule"] == name]
                mean = one.groupby("epoch")[measure].mean().dropna()
                axes.plot(mean.index, mean, color=colour, ls=dash, lw=1.6, label=name)
            _frame(axes)
            if column == 0:
                axes.set_ylabel(title)
        grid[0][column].set_title(network)
        grid[-1][column].set_xlabel("epoch")
        grid[-1][column].xaxis.get_major_locator().set_params(integer=True)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _small_multiples(epochs: DataFrame, names: Sequence[str]) -> Figure:
    """One small plot for each variant, all others in grey behind it; loss left, Dice right."""
    columns = 3
    rows = -(-len(names) // columns)
    figure = _figure(11, 1.75 * rows + 0.6)
    grid = figure.subplots(rows, 2 * columns, squeeze=False, sharex=True)
    means = epochs.groupby(["variant", "epoch"])[["loss", "dice"]].mean()
    for place, name in enumerate(names):
        row, column = divmod(place, columns)
        for side, measure in enumerate(("loss", "dice")):
            axes = grid[row][2 * column + side]
            for other in (*(n for n in names if n != name), name):
                line = means.loc[other][measure].dropna()
                is_own = other == name
                axes.plot(
                    line.index,
                    line,
                    color=_FOREGROUND if is_own else _OTHERS,
                    lw=1.8 if is_own else 0.6,
                    zorder=2 if is_own else 1,
                )
            _frame(axes)
            axes.tick_params(labelsize=7)
            axes.set_title(
                f"{_short(name, names)}: {'training loss' if side == 0 else 'held-out Dice'}",
                fontsize=7,
            )
            if measure == "dice":
                axes.set_ylim(0, 1)
            if row == rows - 1:
                axes.set_xlabel("epoch", fontsize=8)
    for place in range(len(names), rows * columns):
        for side in (0, 1):
            grid[place // columns][2 * (place % columns) + side].set_visible(False)
    return figure


def _short(variant: str, among: Sequence[str]) -> str:
    """What of a variant's name differs among several."""
    parts = variant.split("-")
    others = [name.split("-") for name in among]
    if any(len(other) != len(parts) for other in others):
        return variant
    kept = [p for n, p in enumerate(parts) if len({other[n] for other in others}) > 1]
    return "-".join(kept) or variant


def times(results: Results) -> Figure | None:
    """Training and inference time of every run by network, with the test of their difference."""
    tests = time_tests(results)
    networks = list(results.runs["network"].unique())
    if len(networks) < 2:
        return None
    figure = _figure(7.4, 3.4)
    grid = figure.subplots(1, 2)
    for axes, measure, title in (
        (grid[0], "train_cpu_seconds", "training, CPU time (min)"),
        (grid[1], "test_cpu_seconds", "segmenting the test split, CPU time (min)"),
    ):
        for place, network in enumerate(networks):
            values = results.runs.loc[results.runs["network"] == network, measure] / 60
            colour = COLOURS[place % len(COLOURS)]
            axes.bar(place, values.mean(), width=0.6, color=colour, alpha=0.35)
            spread = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else [0]
            axes.plot(place + np.asarray(spread), values, "o", ms=4, color=colour)
        axes.set_xticks(range(len(networks)), networks)
        axes.set_ylabel(title)
        mine = tests[tests["measure"] == measure]
        if len(mine) == 1:
            axes.set_title(f"Mann-Whitney U, p = {mine['p'].iloc[0]:.2g}", fontsize=9)
        _frame(axes)
    return figure


def differences(results: Results) -> Figure | None:
    """Differences in AP with their intervals; those that leave out 0 are filled."""
    table = difference_table(results)
    table = table[table["score"] == "average_precision"]
    if table.empty:
        return None
    figure = _figure(7.4, 0.27 * len(table) + 1.0)
    axes = figure.subplots()
    for place, (_, row) in enumerate(table.iterrows()):
        colour = COLOURS[0] if row["significant"] else "0.5"
        axes.plot([row["low"], row["high"]], [place, place], color=colour, lw=1.6)
        axes.plot(
            row["difference"],
            place,
            "o",
            color=colour,
            mfc=colour if row["significant"] else "white",
        )
    axes.axvline(0, color="0.3", lw=0.8)
    axes.set_yticks(
        range(len(table)), [f"{r['one']} − {r['other']}" for _, r in table.iterrows()], fontsize=7
    )
    axes.invert_yaxis()
    axes.set_xlabel(
        "difference in AP (mean over test images, 95 % bootstrap interval of all together)"
    )
    _frame(axes)
    return figure


def optimizers(results: Results) -> Figure | None:
    """Loss, error, accuracy and time by optimizer: every run as a dot, the mean as a bar."""
    table = optimizer_table(results)
    if len(table) < 2:
        return None
    names = list(table["optimizer"])
    measures = (
        ("loss", "training loss, last epoch"),
        ("error", "test error, 1 − Dice"),
        ("average_precision", "test AP"),
        ("train_cpu_seconds", "training, CPU time (s)"),
    )
    figure = _figure(11, 0.24 * len(names) + 1.2)
    grid = figure.subplots(1, len(measures), sharey=True)
    runs = results.runs.assign(error=1 - results.runs["dice"])
    for axes, (measure, title) in zip(grid, measures, strict=True):
        for place, name in enumerate(names):
            values = runs.loc[runs["optimizer"] == name, measure]
            axes.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color=COLOURS[1], lw=2)
            axes.plot(values, [place] * len(values), "o", ms=4, color=COLOURS[0], alpha=0.8)
        axes.set_xlabel(title)
        axes.grid(axis="y", color="0.92")
        _frame(axes)
    grid[0].set_yticks(range(len(names)), names)
    grid[0].invert_yaxis()
    return figure


def quality(results: Results) -> Figure | None:
    """Quality Q of every run against its generalisation gap and its test score."""
    by = "network" if results.runs["network"].nunique() > 1 else "optimizer"
    correlations = quality_table(results)
    if correlations.empty:
        return None
    figure = _figure(10.4, 4.2)
    grid = figure.subplots(1, 2)
    groups = list(results.runs.groupby(by, sort=False))
    for axes, measure, title in (
        (grid[0], "gap", "generalisation gap, Dice (training − test)"),
        (grid[1], "dice", "test Dice"),
    ):
        for place, (name, runs) in enumerate(groups):
            axes.plot(
                runs["quality"],
                runs[measure],
                MARKERS[place % len(MARKERS)],
                color=COLOURS[(place + place // len(COLOURS)) % len(COLOURS)],
                ms=5.5,
                label=name,
            )
        axes.set(xlabel="network quality Q", ylabel=title)
        mine = correlations[correlations["measure"] == measure]
        if len(mine):
            row = mine.iloc[0]
            axes.set_title(
                f"Pearson r = {row['pearson']:.2f} (p = {row['pearson_p']:.2g}), "
                f"Spearman ρ = {row['spearman']:.2f} (p = {row['spearman_p']:.2g})",
                fontsize=9,
            )
        _frame(axes)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    return figure


def layers(results: Results) -> Figure | None:
    """Quality of each layer, epoch by epoch, for the first seed of each variant side by side."""
    from matplotlib.colors import PowerNorm

    if results.layers.empty:
        return None
    runs = results.runs.drop_duplicates("variant")
    tables = {}
    for _, run in runs.iterrows():
        mine = results.layers[results.layers["run"] == run["run"]]
        if mine.empty:
            continue
        order = list(dict.fromkeys(mine["name"]))
        tables[run["variant"]] = mine.pivot_table(
            index="name", columns="epoch", values="quality"
        ).loc[order]
    if not tables:
        return None
    columns = min(len(tables), 6 if len(tables) > MOST_LINES else 4)
    rows = -(-len(tables) // columns)
    figure = _figure(1.9 * columns + 0.8, 2.3 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    top = max(float(np.nanmax(table.to_numpy())) for table in tables.values())
    picture: Any = None
    for place, (name, table) in enumerate(tables.items()):
        axes = grid[place // columns][place % columns]
        last = int(table.columns[-1])
        picture = axes.imshow(
            table.to_numpy(),
            aspect="auto",
            cmap="viridis",
            norm=PowerNorm(0.5, vmin=0, vmax=top or 1),
            interpolation="nearest",
            extent=(0.5, last + 0.5, len(table) + 0.5, 0.5),
        )
        axes.set_title(_short(name, list(tables)), fontsize=8)
        axes.tick_params(labelsize=7)
        if place % columns == 0:
            axes.set_ylabel("layer, from input", fontsize=8)
        if place + columns >= len(tables):
            axes.set_xlabel("epoch", fontsize=8)
    for place in range(len(tables), rows * columns):
        grid[place // columns][place % columns].set_visible(False)
    figure.colorbar(picture, ax=grid, label="quality q of the layer", shrink=0.6)
    return figure


def panels(
    results: Results, runs: Sequence[Run], data: Path, out: Path, count: int
) -> Figure | None:
    """Micrograph, truth and the result of each variant, for a few test images."""
    ranked = (
        results.runs.sort_values("average_precision", ascending=False)
        .drop_duplicates("variant")
        .head(MOST_LINES)
    )
    folders = {run.name: folder_of(run, out) for run in runs}
    pairs = {pair.name: pair for pair in find_pairs(data)[0]}
    chosen = [name for name in _typical(results, count) if name in pairs]
    if not chosen:
        return None
    figure = _figure(1.5 * (len(ranked) + 2), 1.65 * len(chosen) + 0.3)
    grid = figure.subplots(len(chosen), len(ranked) + 2, squeeze=False)
    for row, image in enumerate(chosen):
        micrograph = choose_pixels(read_micrograph(pairs[image].micrograph))[0]
        truth = true_labels(pairs[image])
        crop = _crop(truth)
        shown = [np.zeros_like(truth), truth]
        scores = []
        for _, run in ranked.iterrows():
            labels = read_labels(labels_file(folders[run["run"]], image)).image
            shown.append(labels)
            mine = results.images
            is_it = (mine["run"] == run["run"]) & (mine["image"] == image)
            scores.append(float(mine.loc[is_it, "average_precision"].iloc[0]))
        for column, labels in enumerate(shown):
            axes = grid[row][column]
            axes.imshow(draw_outlines(micrograph, labels)[crop])
            axes.set_xticks([])
            axes.set_yticks([])
            if column >= 2:
                axes.set_xlabel(f"AP {scores[column - 2]:.2f}", fontsize=7, labelpad=2)
    titles = ["micrograph", "truth", *ranked["variant"]]
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title.replace("-", "\n", 1), fontsize=7)
    return figure


def _crop(truth: np.ndarray) -> tuple[slice, ...]:
    """A window of the panels' size around the middle of the nuclei."""
    places = np.argwhere(truth > 0)
    middle = places.mean(0) if len(places) else np.array(truth.shape) / 2
    window = []
    for centre, side in zip(middle, truth.shape, strict=True):
        size = min(side, PANEL_PX)
        start = int(np.clip(centre - size / 2, 0, side - size))
        window.append(slice(start, start + size))
    return tuple(window)


def _typical(results: Results, count: int) -> list[str]:
    """Images at even steps from the worst to the best, by their mean AP over all runs."""
    means = results.tested.groupby("image")["average_precision"].mean().sort_values()
    places = np.linspace(0.1, 0.9, count) * (len(means) - 1)
    return [str(means.index[round(place)]) for place in places]


def _frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
