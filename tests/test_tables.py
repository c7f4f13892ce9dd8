"""Tables as CSV and Parquet."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest

from napari_nucleiseg.errors import DependencyError, SettingError
from napari_nucleiseg.tables import stacked, write_table

TABLE = {
    "name": ["a", "b, c"],
    "count": np.array([1, 2]),
    "size": np.array([0.5, np.nan]),
    "is_good": np.array([True, False]),
}


def test_csv_keeps_names_and_leaves_out_what_is_no_number(tmp_path):
    write_table(tmp_path / "t.CSV", TABLE)
    with (tmp_path / "t.CSV").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"name": "a", "count": "1", "size": "0.5", "is_good": "True"},
        {"name": "b, c", "count": "2", "size": "", "is_good": "False"},
    ]


def test_parquet_keeps_types(tmp_path):
    pytest.importorskip("pyarrow", reason="the extra [tables] is not installed")
    pd = pytest.importorskip("pandas")
    write_table(tmp_path / "t.parquet", TABLE)
    found = pd.read_parquet(tmp_path / "t.parquet")
    assert found["name"].tolist() == ["a", "b, c"]
    assert found["count"].dtype == np.int64
    assert found["size"].isna().tolist() == [False, True]
    assert found["is_good"].dtype == bool


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"napari-nucleiseg\[tables\].*or write \.csv"):
        write_table(tmp_path / "t.parquet", TABLE)
    assert not list(tmp_path.iterdir())


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"t\.xlsx.*\.csv or \.parquet"):
        write_table(tmp_path / "t.xlsx", TABLE)


def test_stacked_tables_fill_what_one_lacks():
    whole = stacked([{"a": np.array([1])}, {"a": np.array([2, 3]), "b": np.array([0.5, 1.5])}])
    assert whole["a"].tolist() == [1, 2, 3]
    assert np.isnan(whole["b"][0])
    assert whole["b"][1:].tolist() == [0.5, 1.5]
