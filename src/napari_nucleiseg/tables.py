"""Tables as files: tidy CSV, or Parquet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DependencyError, SettingError
from .files import write_bytes

Table = Mapping[str, "np.ndarray | Sequence[Any]"]
"""Columns of one length, by name."""

SUFFIXES = (".csv", ".parquet")


def write_table(path: Path, table: Table) -> None:
    """Write a table, as a whole or not at all.

    Parameters
    ----------
    path : Path
        ``.csv`` or ``.parquet``.
    table : mapping
        Columns of one length, by name.

    Raises
    ------
    SettingError
        If the file's ending is another.
    DependencyError
        If Parquet is asked for and pandas or PyArrow is not installed.
    FileError
        If the file cannot be written.
    """
    check_ending(path)
    content = as_parquet(table) if path.suffix.lower() == ".parquet" else as_csv(table)
    write_bytes(path, content)


def check_ending(path: Path) -> None:
    """Raise a `SettingError` for a file that is no table by its name."""
    if path.suffix.lower() not in SUFFIXES:
        raise SettingError(
            "A table cannot be written to such a file", path.name, f"Use {' or '.join(SUFFIXES)}"
        )


def as_csv(table: Table) -> bytes:
    """CSV in UTF-8; what is not a number stays empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    columns = [c.tolist() if isinstance(c, np.ndarray) else c for c in table.values()]
    for row in zip(*columns, strict=True):
        writer.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in row])
    return text.getvalue().encode()


def as_parquet(table: Table) -> bytes:
    """Parquet, with each column's type."""
    try:
        import pandas as pd
        import pyarrow  # noqa: F401  # pandas needs it and says so late
    except ImportError as error:
        raise DependencyError(
            "Parquet needs pandas and PyArrow, and one is not installed",
            "",
            'Install them: pip install "napari-nucleiseg[tables]", or write .csv',
        ) from error
    file = io.BytesIO()
    pd.DataFrame(dict(table)).to_parquet(file, index=False)
    return file.getvalue()


def stacked(tables: Sequence[Table]) -> dict[str, np.ndarray]:
    """Tables one below the other; a column that one of them lacks is not a number there."""
    names = dict.fromkeys(name for table in tables for name in table)
    lengths = [len(next(iter(table.values()))) for table in tables]
    return {
        name: np.concatenate(
            [
                np.asarray(table[name]) if name in table else np.full(length, np.nan)
                for table, length in zip(tables, lengths, strict=True)
            ]
        )
        for name in names
    }
