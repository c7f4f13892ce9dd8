"""Nuclei through time for other programs: read back as those programs read them."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_nucleiseg.errors import SettingError, ShapeError
from napari_nucleiseg.events import Saved
from napari_nucleiseg.io import write_label_stack
from napari_nucleiseg.trackers import TRACKERS, Movie, open_movie, stem_of, write_tracks

sys.path.append(str(Path(__file__).parents[1] / "cli"))


@pytest.fixture
def movie() -> Movie:
    """Two nuclei in three time points; the second, number 5, is missed in the middle."""
    labels = np.zeros((3, 20, 30), np.int32)
    for t in range(3):
        labels[t, 2:6, 2 + t : 8 + t] = 2
        if t != 1:
            labels[t, 10:14, 20:24] = 5
    return Movie(labels, (0.5, 0.25), 60.0)


def rows_of(path):
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def saved(movie, out, *programs):
    return [e.path for e in write_tracks(movie, out, "a", programs) if isinstance(e, Saved)]


def test_where_each_nucleus_is(movie):
    found = movie.tracks()
    assert found["track_id"].tolist() == [2, 2, 2, 5, 5]
    assert found["t"].tolist() == [0, 1, 2, 0, 2]
    assert found["y"].tolist() == [3.5, 3.5, 3.5, 11.5, 11.5]
    assert found["x"].tolist() == [4.5, 5.5, 6.5, 21.5, 21.5]
    assert found["area"].tolist() == [24, 24, 24, 16, 16]


@pytest.mark.parametrize("program", TRACKERS.names())
def test_a_movie_without_nuclei_gives_tables_without_rows(program, tmp_path):
    if program == "ultrack":
        pytest.importorskip("zarr", minversion="3")
    paths = saved(Movie(np.zeros((2, 8, 9), np.int32)), tmp_path, program)
    [table] = [path for path in paths if path.suffix == ".csv"]
    assert len(table.read_text().splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_btrack_reads_numbers_alone(movie, tmp_path):
    """Its reader takes every column for a number, and "label" for a state of the cell."""
    [path] = saved(movie, tmp_path, "btrack")
    rows = rows_of(path)
    assert list(rows[0]) == ["t", "x", "y", "z", "nucleus", "area"]
    assert rows[1] == {"t": 1, "x": 5.5, "y": 3.5, "z": 0, "nucleus": 2, "area": 24}


def test_trackmate_reads_a_calibrated_hyperstack_and_a_table_in_its_unit(movie, tmp_path):
    picture, table = saved(movie, tmp_path, "trackmate")
    with tifffile.TiffFile(picture) as tif:
        assert tif.is_imagej
        assert tif.series[0].axes == "TYX"
        known = tif.imagej_metadata
        assert (known["frames"], known["finterval"], known["unit"]) == (3, 60.0, "micron")
        x, y = (tif.pages[0].tags[f"{axis}Resolution"].value for axis in "XY")
        assert (x[1] / x[0], y[1] / y[0]) == (0.25, 0.5)
        np.testing.assert_array_equal(tif.asarray(), movie.labels)
    rows = rows_of(table)
    assert [(r["TRACK_ID"], r["FRAME"]) for r in rows] == [(2, 0), (2, 1), (2, 2), (5, 0), (5, 2)]
    assert (rows[3]["POSITION_X"], rows[3]["POSITION_Y"]) == (21.5 * 0.25, 11.5 * 0.5)
    assert rows[3]["RADIUS"] == pytest.approx((16 * 0.125 / np.pi) ** 0.5)
    # its importer reads these as whole numbers
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            assert all(row[name].isdecimal() for name in ("ID", "TRACK_ID", "FRAME"))


def test_numbers_above_16_bits_are_kept(movie, tmp_path):
    movie.labels[movie.labels == 5] = 70_001
    picture, _ = saved(movie, tmp_path, "trackmate")
    np.testing.assert_array_equal(tifffile.imread(picture), movie.labels)


def test_ultrack_reads_an_array_and_nodes_with_their_parents(movie, tmp_path):
    zarr = pytest.importorskip("zarr", minversion="3")
    array, table = saved(movie, tmp_path, "ultrack")
    opened = zarr.open_array(str(array), mode="r")
    assert opened.metadata.zarr_format == 2
    np.testing.assert_array_equal(opened[:], movie.labels)
    rows = rows_of(table)
    assert [r["id"] for r in rows] == [1, 2, 3, 4, 5]
    assert [r["parent_id"] for r in rows] == [-1, 1, 2, -1, 4]
    assert {r["parent_track_id"] for r in rows} == {-1}
    # again: the array is replaced
    saved(Movie(movie.labels[:2]), tmp_path, "ultrack")
    assert zarr.open_array(str(array), mode="r").shape == (2, 20, 30)


def test_from_the_command_line(movie, tmp_path):
    from running import run

    file = write_label_stack(tmp_path / "b_labels.ome.tif", movie.labels, "T", (0.5, 0.25))
    assert stem_of(file) == "b"
    words = ("--out", tmp_path / "out", "--for", "trackmate", "--for", "btrack")
    said = run("tracks", file, *words, "--interval-s", "60").stdout
    names = ["b_btrack.csv", "b_trackmate.csv", "b_trackmate.tif"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    assert "b_trackmate.tif for TrackMate" in said
    again = saved(open_movie(file, 60.0), tmp_path, "trackmate")
    for path, name in zip(again, names[:0:-1], strict=True):
        assert path.read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert (
        "Known: btrack, trackmate, ultrack"
        in run("tracks", file, "--out", tmp_path, "--for", "icy", code=2).stderr
    )


def test_what_makes_no_tracks_is_said(movie, tmp_path):
    file = write_label_stack(tmp_path / "b.ome.tif", movie.labels, "Z")
    with pytest.raises(ShapeError, match=r"b\.ome\.tif has the axes ZYX.*--join t"):
        open_movie(file)
    with pytest.raises(SettingError, match="Unknown tracker"):
        list(write_tracks(movie, tmp_path, "a", ["icy"]))
    assert [p.name for p in tmp_path.iterdir()] == ["b.ome.tif"]
