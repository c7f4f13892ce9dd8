"""What a folder run leaves at its end: a table of all files, and a page with their pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from .batch_events import FileFailed, FileFinished
from .batch_plan import BatchFile
from .files import write_together
from .report import GALLERY
from .report.gallery import Card, page
from .tables import as_csv
from .thumbnails import path_of

SUMMARY = "summary.csv"


def write_summary(
    files: Sequence[BatchFile], ended: Mapping[int, FileFinished | FileFailed], out: Path
) -> Path:
    """Write ``summary.csv`` and ``gallery.html``; earlier ones are replaced.

    Parameters
    ----------
    files : sequence of BatchFile
    ended : mapping
        How each of them went, by its number.
    out : Path
        The output folder.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileError
        If they cannot be written.
    """
    cards = [_card(files[number], ended[number], out) for number in sorted(ended)]
    rows = [
        {
            "file": f"{files[number].item.path} {files[number].item.series or ''}".strip(),
            "nuclei": "" if card.nuclei is None else card.nuclei,
            "median_diameter_px": _rounded(card.diameter_px),
            "median_diameter_um": _rounded(card.diameter_um),
            "seconds": _rounded(card.seconds),
            "status": card.status,
            "reason": card.reason,
            "notices": " | ".join(card.notices),
        }
        for number, card in zip(sorted(ended), cards, strict=True)
    ]
    table = {name: [row[name] for row in rows] for name in rows[0]}
    content = {SUMMARY: as_csv(table), GALLERY: page(cards).encode()}
    write_together(out, content)
    return out / GALLERY


def _card(file: BatchFile, event: FileFinished | FileFailed, out: Path) -> Card:
    if isinstance(event, FileFailed):
        return Card(file.item.title, "failed", reason=event.reason)
    picture = path_of(file.item, out)
    px, size = event.median_diameter_px, event.pixel_size_um
    has_diameter = px is not None and event.nuclei > 0
    has_size = has_diameter and size is not None
    return Card(
        file.item.title,
        "done before" if event.was_done else "done",
        nuclei=event.nuclei,
        diameter_px=px if has_diameter else None,
        diameter_um=px * math.sqrt(size[0] * size[1]) if has_size and px and size else None,
        seconds=None if event.was_done else event.seconds,
        notices=event.notices,
        picture=picture.read_bytes() if picture.is_file() else None,
        link="" if event.overlay is None else file.item.result(Path(), "_overlay.png").as_posix(),
    )


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 2)
