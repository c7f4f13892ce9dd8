"""What the card of a model says, for a menu, a tooltip and a window to read."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import yaml

from ..store import ModelCard

MEANING = "share of nuclei with the right outline, mean over IoU 0.5 to 0.95"
_SCORES = (
    ("images", "Images"),
    ("dice", "Dice"),
    ("iou", "IoU"),
    ("ap50", "AP@0.5"),
    ("ap75", "AP@0.75"),
    ("mean_ap", "AP"),
)
_DATA = (("name", "Images"), ("source", "Source"), ("split", "Used"), ("licence", "Licence"))


def tooltip(model: ModelCard) -> str:
    """Say in a few lines what a model is for and what its score was measured on."""
    lines = [model.title, str(model.card.get("description") or "")]
    scores = _part(model.card, "scores")
    if scores:
        lines.append(f"AP: {MEANING}, measured on {scores.get('split', 'its own test images')}")
    if model.speed is not None:
        lines.append("MPix/s: megapixels in a second on one CPU core, with PyTorch")
    return "\n".join(line for line in lines if line)


def as_html(model: ModelCard) -> str:
    """Give a card to read: what it is for, how well it does, what it has seen; the file below."""
    card = model.card
    data, scores = _part(card, "data"), _part(card, "scores")
    typical = data.get("median_diameter_px")
    made = [("Licence", card.get("licence")), ("Made with", card.get("command"))]
    seen = [(title, data.get(key)) for key, title in _DATA]
    seen.append(("Median diameter", None if typical is None else f"{typical} px"))
    measured = scores.get("split")
    raw = yaml.safe_dump(dict(card), sort_keys=False, allow_unicode=True)
    parts = [
        f"<h2>{escape(model.title)}</h2>",
        _paragraph(card.get("description")),
        _heading("How well it does", _score_table(scores)),
        _paragraph(f"Measured on: {measured}. AP: {MEANING}." if measured else None),
        _heading("What it was trained on", _table(seen)),
        _heading("About the model", _table([*made, ("File", model.path)])),
        "<h3>The whole card</h3>",
        f"<pre>{escape(raw)}</pre>",
    ]
    return "".join(parts)


def _part(card: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a card, empty where somebody wrote something else there."""
    found = card.get(name)
    return found if isinstance(found, Mapping) else {}


def _heading(title: str, content: str) -> str:
    return f"<h3>{title}</h3>{content}" if content else ""


def _paragraph(words: Any) -> str:
    return f"<p>{escape(str(words))}</p>" if words else ""


def _table(rows: list[tuple[str, Any]]) -> str:
    cells = "".join(
        f"<tr><td>{escape(title)}&nbsp;&nbsp;</td><td>{escape(str(value))}</td></tr>"
        for title, value in rows
        if value is not None
    )
    return f"<table>{cells}</table>" if cells else ""


def _score_table(scores: Mapping[str, Any]) -> str:
    """One line for each kind of micrograph, those of all together first."""
    groups = {name: means for name, means in scores.items() if isinstance(means, Mapping)}
    shown = [(key, t) for key, t in _SCORES if any(key in means for means in groups.values())]
    if not shown:
        return ""
    head = "".join(f"<th>{title}&nbsp;&nbsp;</th>" for _, title in shown)
    lines = [f"<tr><th></th>{head}</tr>"]
    for name, means in groups.items():
        cells = "".join(
            f"<td>{escape(_score(means.get(key)))}&nbsp;&nbsp;</td>" for key, _ in shown
        )
        lines.append(f"<tr><td>{escape(str(name))}&nbsp;&nbsp;</td>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _score(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
