"""Pieces of a page: tables, bars, and the frame they stand in; nothing is fetched by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from .. import __version__
from ..comparison import Kind

STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p.note { opacity: .75; max-width: 75ch; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .55rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; min-width: 9rem; white-space: normal;
  overflow-wrap: anywhere; }
thead th { vertical-align: bottom; white-space: nowrap; }
svg { width: 100%; max-width: 640px; font: 12px system-ui, sans-serif; }
svg text { fill: currentColor; } svg .grid { stroke: var(--line); }
svg .curve { fill: none; stroke-width: 2.2; }
.bar { display: flex; height: 1.3rem; margin: .15rem 0 .7rem; }
.bar span { min-width: 1px; } .key { display: inline-block; margin-right: 1.2rem; }
.key i, td i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: .6rem; }
figure { margin: 0; } img { width: 100%; image-rendering: auto; display: block; }
figcaption { font-size: .85rem; opacity: .8; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; overflow-wrap: anywhere; }
"""


def number(value: object) -> str:
    """Three decimals; a dash where there is no number."""
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3f}"
    return escape(str(value))


def table(
    titles: Sequence[str], rows: Sequence[Sequence[object]], hints: Sequence[str] = ()
) -> str:
    """A table; its first column holds names.

    Parameters
    ----------
    titles : sequence of str
    rows : sequence of sequences
        Text is escaped, real numbers get three decimals.
    hints : sequence of str
        What each column means, where it is not plain; shown under the mouse.
    """
    hints = [*hints, *[""] * (len(titles) - len(hints))]
    head = "".join(
        f'<th scope="col" title="{escape(hint)}">{escape(title)}</th>'
        for title, hint in zip(titles, hints, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td>{number(value)}</td>" for value in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def legend() -> str:
    """The colours of the kinds of nuclei."""
    keys = (
        f'<span class="key"><i style="background:{k.colour}"></i>{k.words}</span>' for k in Kind
    )
    return f"<p>{''.join(keys)}</p>"


def bar(counts: Mapping[str, int]) -> str:
    """Shares of the kinds of nuclei as one bar."""
    parts = (
        f'<span style="flex:{counts[kind.words]};background:{kind.colour}" '
        f'title="{kind.words}: {counts[kind.words]}"></span>'
        for kind in Kind
        if counts[kind.words]
    )
    return f'<div class="bar">{"".join(parts)}</div>'


def section(title: str, *parts: str, note: str = "") -> str:
    """A part of the page with its heading."""
    text = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{text}{''.join(parts)}</section>"


def frame(title: str, *parts: str) -> str:
    """The whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{''.join(parts)}"
        f'<p class="note">napari-nucleiseg {__version__}</p></body></html>\n'
    )
