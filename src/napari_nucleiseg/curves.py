"""Learning curves of a study: read from its table of epochs, also while it is still running."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import FileError, reason

TABLE = "epochs.csv"
# columns that can be drawn, with their titles
QUANTITIES = (
    ("loss", "Loss"),
    ("held_out_loss", "Held-out loss"),
    ("dice", "Dice, held out"),
    ("iou", "IoU, held out"),
    ("ap50", "AP@0.5, held out"),
    ("ap", "AP, held out"),
    ("quality", "Network quality Q"),
    ("lr", "Learning rate"),
)
_PARTS = ("network", "optimizer", "schedule")


@dataclass(frozen=True)
class RunCurves:
    """The curves of one training.

    Attributes
    ----------
    run : str
        Its name.
    variant : str
        What tells it from others of the study: network, optimizer or schedule, where they differ;
        all of them, where they do not.
    seed : str
    curves : dict
        By the name of a column: epochs, and the value after each; epochs without a value are
        left out.
    """

    run: str
    variant: str
    seed: str
    curves: dict[str, tuple[tuple[float, ...], tuple[float, ...]]]

    @property
    def title(self) -> str:
        """One line for a legend."""
        return f"{self.variant} · seed {self.seed}" if self.seed else self.variant


def read_curves(folder: Path) -> list[RunCurves]:
    """Read the curves of all runs of a study that have one.

    Parameters
    ----------
    folder : Path
        Holds ``epochs.csv``, or ``runs/NAME/epochs.csv`` for each run that is done.

    Returns
    -------
    list of RunCurves
        By variant and seed.

    Raises
    ------
    FileError
        If the folder is none of a study, or a table cannot be read.
    """
    whole = folder / TABLE
    # those of the runs first: the common table is as old as the last report
    tables = sorted(folder.glob(f"runs/*/{TABLE}")) or ([whole] if whole.is_file() else [])
    if not tables:
        is_begun = (folder / "runs").is_dir()
        raise FileError(
            "No run of this study is done yet" if is_begun else "This is no folder of a study",
            str(folder),
            "Wait for the first run to end"
            if is_begun
            else f"Choose the folder that was given to nucleiseg study run; it holds {TABLE}",
        )
    by_run: dict[str, list[Mapping[str, str]]] = {}
    for table in tables:
        for line in _lines(table):
            by_run.setdefault(line["run"], []).append(line)
    if not by_run:
        raise FileError("The table of epochs is empty", str(tables[0]), "Wait for the first epoch")
    firsts = [lines[0] for lines in by_run.values()]
    telling = [p for p in _PARTS if len({first.get(p) for first in firsts}) > 1] or _PARTS
    found = [
        RunCurves(
            run,
            " · ".join(filter(None, (lines[0].get(part) for part in telling))) or run,
            lines[0].get("seed") or "",
            {name: _curve(lines, name) for name, _ in QUANTITIES},
        )
        for run, lines in by_run.items()
    ]
    return sorted(found, key=lambda r: (r.variant, len(r.seed), r.seed))


def drawable(runs: Iterable[RunCurves]) -> list[tuple[str, str]]:
    """Give name and title of the quantities that at least one of the runs has measured."""
    runs = list(runs)
    return [(name, title) for name, title in QUANTITIES if any(r.curves[name][0] for r in runs)]


def _lines(table: Path) -> list[Mapping[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            lines: list[Mapping[str, str]] = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            "The table of epochs cannot be read", f"{table} ({reason(error)})"
        ) from error
    if lines and not {"run", "epoch"} <= lines[0].keys():
        raise FileError(
            "The table of epochs lacks the columns run and epoch",
            str(table),
            "Choose the folder that was given to nucleiseg study run",
        )
    # of a table that is being written the last line may be half a line
    return [line for line in lines if line["run"] and _number(line["epoch"]) is not None]


def _curve(
    lines: list[Mapping[str, str]], name: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    points = [(_number(line["epoch"]), _number(line.get(name))) for line in lines]
    known = [(epoch, value) for epoch, value in points if epoch is not None and value is not None]
    return tuple(epoch for epoch, _ in known), tuple(value for _, value in known)


def _number(text: str | None) -> float | None:
    """Read a number; None for what is none, as a loss that has diverged."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
