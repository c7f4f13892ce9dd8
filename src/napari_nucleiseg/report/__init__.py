"""What an evaluation leaves behind: tables, a summary, and a page that needs nothing else.

`write_report` writes ``nuclei.csv`` (a row for each true and each extra nucleus), ``images.csv``
(a row for each image), ``summary.json`` and ``report.html``; `write_comparison` of two models
writes ``differences.csv``, ``comparison.json`` and ``comparison.html``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..evaluation import Evaluated, ImageCompared
from ..files import write_together
from ..model_comparison import ModelsCompared
from ..tables import as_csv, stacked

REPORT = "report.html"
COMPARISON = "comparison.html"
GALLERY = "gallery.html"


def write_report(result: Evaluated, out: Path, title: str) -> Path:
    """Write all tables and the page of an evaluation; none of them before all are made.

    Parameters
    ----------
    result : Evaluated
    out : Path
        Folder; earlier files of the same names are replaced.
    title : str
        Heading of the page: what was compared.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileError
        If a micrograph or label image can no longer be read, or a file not be written.
    """
    from ._page import page

    write_together(
        out,
        {
            "nuclei.csv": as_csv(nuclei_table(result)),
            "images.csv": as_csv(image_table(result)),
            "summary.json": (json.dumps(result.record(), indent=1) + "\n").encode(),
            REPORT: page(result, title).encode(),
        },
    )
    return out / REPORT


def write_comparison(compared: ModelsCompared, out: Path) -> Path:
    """Write how two models differ; none of the files before all are made.

    Parameters
    ----------
    compared : ModelsCompared
    out : Path
        Folder; earlier files of the same names are replaced.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileError
        If a micrograph or label image can no longer be read, or a file not be written.
    """
    from ._comparison_page import page

    write_together(
        out,
        {
            "differences.csv": as_csv(compared.differences()),
            "comparison.json": (json.dumps(compared.record(), indent=1) + "\n").encode(),
            COMPARISON: page(compared).encode(),
        },
    )
    return out / COMPARISON


def nuclei_table(result: Evaluated) -> dict[str, np.ndarray]:
    """All nuclei of all images, with their image and its group."""
    return stacked(
        [
            {
                "image": np.full(len(image.nuclei["kind"]), image.name, object),
                "group": np.full(len(image.nuclei["kind"]), image.group, object),
                **image.nuclei,
            }
            for image in result.images
        ]
    )


def image_table(result: Evaluated) -> dict[str, list[object]]:
    """All images with their counts and scores."""
    rows = [image_row(image) for image in result.images]
    return {name: [row[name] for row in rows] for name in rows[0]}


def image_row(image: ImageCompared) -> dict[str, object]:
    """One image as a row of a table."""
    return {
        "image": image.name,
        "group": image.group,
        "true_count": image.true_count,
        "found_count": image.found_count,
        **{name.replace(" ", "_"): count for name, count in image.kinds.items()},
        **image.scores,
        **{f"ap_{threshold}": value for threshold, value in image.ap.items()},
        **{f"{name}_px": value for name, value in image.distances_px.items()},
    }
