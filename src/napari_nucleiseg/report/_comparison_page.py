"""The page of two models: what differs, on which images, and for which nuclei."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from ..comparison import Kind
from ..evaluation import ImageCompared
from ..model_comparison import ModelsCompared
from ._drawings import ap_curve, panels
from ._markup import bar, frame, legend, section, table

SHOWN = 3


def page(compared: ModelsCompared) -> str:
    """Write the page of two models as HTML that needs nothing else.

    Parameters
    ----------
    compared : ModelsCompared
    """
    one, other = compared.names
    curves = {
        name: result.summaries["all"].mean_ap
        for name, result in zip(compared.names, (compared.one, compared.other), strict=True)
    }
    return frame(
        f"{one} compared with {other}",
        f"<p><strong>{escape(compared.words())}</strong></p>",
        section("Scores", _scores(compared), note=_SCORES),
        section("AP at each IoU threshold", ap_curve(curves)),
        section("Errors", legend(), _errors(compared)),
        section("The same nuclei with both models", _kinds(compared), note=_KINDS),
        section("Where they differ most", *_examples(compared)),
        section("All images", _all_images(compared)),
    )


_SCORES = (
    "Means over images; the difference is the first model minus the second. Its interval comes "
    "from 10,000 draws of the images with replacement, both values of an image together; where it "
    "leaves out 0, one model is better. HD95 and ASD are distances: smaller is better."
)
_KINDS = "Rows: kind of a true nucleus with the first model. Columns: with the second."


def _scores(compared: ModelsCompared) -> str:
    rows = [
        [
            s.title,
            s.one,
            s.other,
            f"{s.difference.mean:+.3f}",
            f"{s.difference.low:+.3f} to {s.difference.high:+.3f}",
            s.difference.images,
        ]
        for s in compared.scores
    ]
    return table(["", *compared.names, "difference", "95 % interval", "images"], rows)


def _errors(compared: ModelsCompared) -> str:
    words = [kind.words for kind in Kind]
    named = list(zip(compared.names, (compared.one, compared.other), strict=True))
    bars = "".join(
        f"<div>{escape(name)}</div>{bar(result.summaries['all'].kinds)}" for name, result in named
    )
    rows = [[name, *(result.summaries["all"].kinds[w] for w in words)] for name, result in named]
    return bars + table(["", *words], rows)


def _kinds(compared: ModelsCompared) -> str:
    words = [kind.words for kind in Kind if kind != Kind.EXTRA]
    rows = [
        [row, *(compared.kinds.get(row, {}).get(column, 0) for column in words)] for row in words
    ]
    return table([f"{compared.names[0]} ↓  {compared.names[1]} →", *words], rows)


def _examples(compared: ModelsCompared) -> Iterator[str]:
    pairs = list(zip(compared.one.images, compared.other.images, strict=True))
    apart = sorted(pairs, key=lambda p: -abs(_ap(p[0]) - _ap(p[1])))[:SHOWN]
    for one, other in apart:
        if _ap(one) == _ap(other):
            continue
        pictures = panels(one, compared.one.threshold)
        # of the second model only what differs: its prediction and errors
        pictures += panels(other, compared.other.threshold)[-2:]
        titles = [caption for caption, _ in pictures]
        titles[-4:] = [
            *(f"{caption}, {compared.names[0]}" for caption in titles[-4:-2]),
            *(f"{caption}, {compared.names[1]}" for caption in titles[-2:]),
        ]
        figures = "".join(
            f'<figure><img src="{address}" alt="{escape(caption)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
            for caption, (_, address) in zip(titles, pictures, strict=True)
        )
        yield (
            f"<h3>{escape(one.name)} · AP {_ap(one):.2f} and {_ap(other):.2f}</h3>"
            f'<div class="panels">{figures}</div>'
        )


def _ap(image: ImageCompared) -> float:
    return image.scores["average_precision"]


def _all_images(compared: ModelsCompared) -> str:
    rows = [[name, one, other, f"{one - other:+.3f}"] for name, one, other in compared.images()]
    inner = table(["AP", *compared.names, "difference"], rows)
    return f"<details><summary>{len(rows)} images</summary>{inner}</details>"
