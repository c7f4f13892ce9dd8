"""The page of an evaluation: scores, curves, errors, and the best and worst images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from ..comparison import Kind
from ..evaluation import Evaluated, ImageCompared, Summary
from ..metrics import METRICS, distances_of_outlines, scores_of_nuclei, title
from ._drawings import ap_curve, panels
from ._markup import bar, frame, legend, section, table

SHOWN = 5
SIZES = 4
# the most told first
_ORDER = ("dice", "iou", "average_precision", "f1", "precision", "recall", "panoptic")


def page(result: Evaluated, heading: str) -> str:
    """Write the page of an evaluation as HTML that needs nothing else.

    Parameters
    ----------
    result : Evaluated
    heading : str
    """
    everything = result.summaries["all"]
    counts = (
        f"{everything.images} images · {everything.true_count} true nuclei · "
        f"{everything.found_count} found · correct from an IoU of {result.threshold:g}"
    )
    return frame(
        heading,
        f"<p>{escape(counts)}</p>",
        section("Scores", _scores(result), note=_SCORES),
        section("AP at each IoU threshold", _curves(result)),
        section("Errors", legend(), _errors(result), note=_ERRORS),
        section("True nuclei and what was found of them", _confusion(result), note=_CONFUSION),
        section("By size of the nucleus", _by_size(result), note=_SIZES),
        *_examples(result),
        section("All images", _all_images(result)),
    )


_SCORES = (
    "Mean is the mean over images, pooled takes the nuclei of all images together. Dice and IoU "
    "are of the foreground; AP is the mean over IoU 0.50 to 0.95. HD95 and ASD are distances of "
    "the foreground's outlines in pixels, smaller is better; images where one side is empty do not "
    "count there."
)
_ERRORS = (
    "Merged: a prediction covers more than one true nucleus with an IoU over 0.1, and those "
    "nuclei. Split: the reverse. Of the others: correct from the threshold on, poor outline with "
    "an IoU over 0.1, else missed; extra is a prediction without a true nucleus. Extra ones come "
    "on top of the true nuclei."
)
_CONFUSION = (
    "Rows: kind of the true nucleus. Columns: kind of the prediction that covers it best. In "
    "tangles of nuclei the two differ."
)
_SIZES = (
    "True nuclei in four groups of about the same number, by diameter of a circle of the same area."
)


def _metrics() -> list[str]:
    return [*_ORDER, *(name for name in scores_of_nuclei() if name not in _ORDER)]


def _scores(result: Evaluated) -> str:
    distances = distances_of_outlines()
    names = [*_metrics(), *distances]
    rows = []
    for name, summary in result.summaries.items():
        mean, pooled = summary.mean, summary.pooled
        rows.append(
            [
                f"{name}, mean",
                summary.images,
                *(mean[m] for m in _metrics()),
                *(summary.mean_distances_px[d] for d in distances),
            ]
        )
        rows.append(
            [f"{name}, pooled", "", *(pooled[m] for m in _metrics()), *[""] * len(distances)]
        )
    hints = ["", "", *(METRICS.description(name) for name in names)]
    return table(["", "images", *map(title, names)], rows, hints)


def _curves(result: Evaluated) -> str:
    groups = {name: s.mean_ap for name, s in result.summaries.items() if name != "all"}
    everything = result.summaries["all"]
    first = {"all, mean": everything.mean_ap, "all, pooled": everything.pooled_ap}
    # more than six lines nobody tells apart; the table has them all
    curve = ap_curve({**first, **dict(list(groups.items())[:4])})
    lines = {**first, **groups}
    rows = [[name, *values.values()] for name, values in lines.items()]
    return curve + table(["IoU", *everything.mean_ap], rows)


def _errors(result: Evaluated) -> str:
    bars = "".join(
        f"<div>{escape(name)}</div>{bar(summary.kinds)}"
        for name, summary in result.summaries.items()
    )
    words = [kind.words for kind in Kind]
    rows = [
        [name, summary.true_count, *_with_share(summary, words)]
        for name, summary in result.summaries.items()
    ]
    return bars + table(["", "true nuclei", *words], rows)


def _with_share(summary: Summary, words: Sequence[str]) -> Iterator[str]:
    for word in words:
        count = summary.kinds[word]
        share = f" ({count / summary.true_count:.0%})" if summary.true_count else ""
        yield f"{count}{share}"


def _confusion(result: Evaluated) -> str:
    words = [kind.words for kind in Kind]
    total: dict[str, dict[str, int]] = {}
    for image in result.images:
        for true, row in image.kind_of_predictions.items():
            into = total.setdefault(true, {})
            for found, count in row.items():
                into[found] = into.get(found, 0) + count
    columns = [word for word in (*words, "none") if any(word in row for row in total.values())]
    rows = [
        [true, *(total[true].get(found, 0) for found in columns)]
        for true in (*words, "none")
        if true in total
    ]
    return table(["true nucleus", *columns], rows)


def _by_size(result: Evaluated) -> str:
    areas, iou, kinds = (
        np.concatenate([image.nuclei[name] for image in result.images])
        for name in ("true_area_px", "iou", "kind")
    )
    is_true = ~np.isnan(areas)
    if not is_true.any():
        return "<p>There is no true nucleus.</p>"
    diameters = np.sqrt(4 * areas[is_true] / np.pi)
    iou, kinds = iou[is_true], kinds[is_true]
    ends = np.unique(np.quantile(diameters, np.linspace(0, 1, SIZES + 1)))
    # the first group holds its lower end, too
    group = np.maximum(np.searchsorted(ends, diameters, side="left"), 1)
    words = [kind.words for kind in Kind if kind != Kind.EXTRA]
    rows = []
    for i in range(1, max(2, len(ends))):
        mine = group == i
        low, high = ends[i - 1], ends[min(i, len(ends) - 1)]
        shares = [f"{np.mean(kinds[mine] == word):.0%}" for word in words]
        rows.append(
            [f"{low:.0f} to {high:.0f} px", int(mine.sum()), float(iou[mine].mean()), *shares]
        )
    return table(["diameter", "true nuclei", "mean of best IoU", *words], rows)


def _examples(result: Evaluated) -> Iterator[str]:
    ordered = sorted(result.images, key=lambda image: image.scores["average_precision"])
    worst = ordered[:SHOWN]
    best = ordered[SHOWN:][-SHOWN:][::-1]
    yield section("Worst images, by AP", legend(), *_shown(worst, result.threshold))
    if best:
        yield section("Best images, by AP", *_shown(best, result.threshold))


def _shown(images: Sequence[ImageCompared], threshold: float) -> Iterator[str]:
    for image in images:
        pictures = "".join(
            f'<figure><img src="{address}" alt="{caption} of {escape(image.name)}">'
            f"<figcaption>{caption}</figcaption></figure>"
            for caption, address in panels(image, threshold)
        )
        counts = ", ".join(f"{n} {kind}" for kind, n in image.kinds.items() if n)
        yield (
            f"<h3>{escape(image.name)} · AP {image.scores['average_precision']:.2f} · "
            f'{escape(counts or "no nuclei")}</h3><div class="panels">{pictures}</div>'
        )


def _all_images(result: Evaluated) -> str:
    names = [*_metrics()]
    distances = distances_of_outlines()
    rows = [
        [
            image.name,
            image.group,
            image.true_count,
            image.found_count,
            *(image.scores[m] for m in names),
            *(image.distances_px[d] for d in distances),
        ]
        for image in result.images
    ]
    inner = table(["", "group", "true", "found", *map(title, [*names, *distances])], rows)
    return f"<details><summary>{len(rows)} images</summary>{inner}</details>"
