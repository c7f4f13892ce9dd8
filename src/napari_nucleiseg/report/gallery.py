"""The page of a folder run: all files with their outlines, what failed and why."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from .. import wording
from ._markup import frame, section, table

_STYLE = """<style>
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 1rem; }
.cards figure { border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
.cards img, .cards .none { height: 170px; object-fit: contain; background: #8882; }
.cards .none { display: flex; align-items: center; justify-content: center; font-size: .85rem; }
.cards figcaption { padding: .4rem .6rem .6rem; opacity: 1; overflow-wrap: anywhere; }
.cards figcaption span { display: block; opacity: .75; }
.cards .failed { border: 2px solid #d55e00; }
</style>"""


@dataclass(frozen=True)
class Card:
    """A file on the page.

    Attributes
    ----------
    title : str
    status : str
        "done", "done before" or "failed".
    reason : str
        Why it failed, in a sentence.
    nuclei : int or None
    diameter_px, diameter_um : float or None
        Median diameter of the nuclei.
    seconds : float or None
    notices : tuple of str
    picture : bytes or None
        JPEG.
    link : str
        Where a click on the picture leads, below the page's folder.
    """

    title: str
    status: str
    reason: str = ""
    nuclei: int | None = None
    diameter_px: float | None = None
    diameter_um: float | None = None
    seconds: float | None = None
    notices: tuple[str, ...] = ()
    picture: bytes | None = None
    link: str = ""


def page(cards: Sequence[Card]) -> str:
    """Write the page of a folder run as HTML that needs nothing else.

    Parameters
    ----------
    cards : sequence of Card
        The files in their order.
    """
    failed = [card for card in cards if card.status == "failed"]
    good = [card for card in cards if card.status != "failed"]
    total = sum(card.nuclei or 0 for card in good)
    words = [f"{len(good)} of {len(cards)} files done", wording.nuclei(total)]
    words += [f"{len(failed)} failed"] if failed else []
    parts = [_STYLE, f"<p>{escape(' · '.join(words))}</p>"]
    if failed:
        parts.append(section("Failed", _grid(failed)))
    if good:
        parts.append(section("Nuclei", _grid(good), note=_NOTE))
    return frame("Nuclei of a folder", *parts, section("All files", _table(cards)))


_NOTE = "Yellow: outlines of the nuclei, on a small picture. The label images have every detail."


def _grid(cards: Sequence[Card]) -> str:
    return f'<div class="cards">{"".join(map(_figure, cards))}</div>'


def _figure(card: Card) -> str:
    picture = ""
    if card.picture is not None:
        address = "data:image/jpeg;base64," + base64.b64encode(card.picture).decode()
        picture = f'<img src="{address}" alt="{escape(card.title)} with outlines of its nuclei">'
        if card.link:
            picture = f'<a href="{quote(card.link)}">{picture}</a>'
    elif card.status != "failed":
        picture = '<div class="none">no picture</div>'
    lines = [card.reason] if card.reason else [_about(card)]
    lines += card.notices
    said = "".join(f"<span>{escape(line)}</span>" for line in lines)
    kind = ' class="failed"' if card.status == "failed" else ""
    return (
        f"<figure{kind}>{picture}<figcaption><strong>{escape(card.title)}</strong>{said}"
        "</figcaption></figure>"
    )


def _about(card: Card) -> str:
    words = [wording.nuclei(card.nuclei or 0)]
    if card.diameter_px is not None:
        size = f"{wording.number(card.diameter_px)} px"
        if card.diameter_um is not None:
            size += f" ({wording.number(card.diameter_um)} µm)"
        words.append(size)
    return " · ".join(words)


def _table(cards: Sequence[Card]) -> str:
    titles = ["file", "nuclei", "median diameter, px", "µm", "seconds", "status"]
    rows = [
        [
            card.title,
            "–" if card.nuclei is None else card.nuclei,
            *(
                "–" if value is None else f"{value:.1f}"
                for value in (card.diameter_px, card.diameter_um, card.seconds)
            ),
            card.status,
        ]
        for card in cards
    ]
    return table(titles, rows)
