"""Many micrographs: which are found, what their results are called, what is written."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleiseg.batch import FileDone, prepare_folder, segment_file
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.errors import FileError
from napari_nucleiseg.events import Notice, Segmented, TileDone
from napari_nucleiseg.inputs import Found, find_items
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.result_names import Item, _alike, name_items
from napari_nucleiseg.samples import SAMPLES

PNG = SAMPLES["stained"].micrograph.read_bytes()


def put(folder: Path, *names: str) -> list[str]:
    """Write the sample under these names; what is not an image by name gets text."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"some text" if path.suffix in (".txt", ".db", ".json") else PNG)
    return [str(folder / name) for name in names]


def names(found: Found) -> dict[str, str]:
    assert not found.errors
    return {item.path.name: item.name for item in found.items}


def test_of_a_folder_only_images_are_taken(tmp_path):
    put(tmp_path, "a.png", "B.TIF", "no suffix", "notes.txt", "Thumbs.db", ".hidden.png")
    put(tmp_path, "a_labels.tif", "a_labels.json", "a_overlay.png", "inner/c.png")
    found = find_items([str(tmp_path)])
    assert names(found) == {"B.TIF": "B", "a.png": "a", "no suffix": "no suffix"}
    assert [p.name for p in found.skipped] == ["Thumbs.db", "notes.txt"]


def test_folders_inside_are_repeated_below_the_output_folder(tmp_path):
    put(tmp_path, "a.png", "inner/a.png", "inner/deep/b.png", "out/a.png", ".git/x.png")
    found = find_items([str(tmp_path)], recursive=True, out=tmp_path / "out")
    assert [Path(item.name) for item in found.items] == [
        Path("a"),
        Path("inner/a"),
        Path("inner/deep/b"),
    ]


def test_a_file_is_taken_whatever_it_is_called(tmp_path):
    given_files = put(tmp_path, "strange.xyz", "truth_labels.tif", ".hidden")
    found = find_items(given_files)
    assert names(found) == {
        "strange.xyz": "strange.xyz",
        "truth_labels.tif": "truth_labels",
        ".hidden": ".hidden",
    }


def test_a_result_of_an_earlier_run_is_not_segmented_again(tmp_path):
    files = put(tmp_path, "a.png", "a_labels.tif", "a_labels.json")
    assert names(find_items(files[:2])) == {"a.png": "a"}


@pytest.mark.parametrize("pattern", ["*.png", "?.png", "[ab].png", "**/*.png"])
def test_patterns_are_resolved(tmp_path, pattern):
    put(tmp_path, "a.png", "b.png", "a_labels.tif", "c.tif")
    assert names(find_items([str(tmp_path / pattern)])) == {"a.png": "a", "b.png": "b"}


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path):
    put(tmp_path, "x[1].png", "x1.png")
    assert names(find_items([str(tmp_path / "x[1].png")])) == {"x[1].png": "x[1]"}


@pytest.mark.parametrize("text", ["nothing.png", "nothing*.png", "empty"])
def test_an_input_without_micrographs_is_named_and_others_go_on(tmp_path, text):
    put(tmp_path, "a.png", "empty/notes.txt")
    found = find_items([str(tmp_path / text), str(tmp_path / "a.png")])
    assert [item.name for item in found.items] == ["a"]
    [(given_text, error)] = found.errors
    assert given_text == str(tmp_path / text)
    assert text in str(error)


def test_a_file_given_twice_is_done_once(tmp_path, monkeypatch):
    put(tmp_path, "a.png")
    monkeypatch.chdir(tmp_path)
    assert len(find_items(["a.png", str(tmp_path), "./a.png", "*.png"]).items) == 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a.png", "b.png"], ["a", "b"]),
        (["a.png", "a.tif", "b.png"], ["a.png", "a.tif", "b"]),
        (["a.png", "A.tif"], ["a.png", "A.tif"]),
        (["x/a.png", "y/a.png"], ["x/a", "y/a"]),
        (["x/1/a.png", "x/2/a.png"], ["1/a", "2/a"]),
        (["a.png", "x/a.png"], ["a", "x/a"]),
        (["x/a.png", "x/a.tif", "y/a.png"], ["x/a.png", "x/a.tif", "y/a.png"]),
        (["x/a.ome.tif", "y/a.tif"], ["a.ome.tif", "a.tif"]),
        (["a.png", "a.tif", "a.png.png"], ["a.png", "a.tif", "a.png.png"]),
        (["caf\u00e9.png", "cafe\u0301.tif"], ["caf\u00e9.png", "cafe\u0301.tif"]),
    ],
)
def test_results_never_share_a_name(tmp_path, files, expected):
    found = find_items(put(tmp_path, *files))
    assert [Path(item.name) for item in found.items] == [Path(e) for e in expected]


FILES = st.lists(
    st.tuples(
        st.sampled_from(["", "x", "y", "x/z"]),
        st.sampled_from(["a", "A", "b", "a.png", "\u00e9", "e\u0301", "a~2"]),
        st.sampled_from([".png", ".tif", ".TIF", ""]),
    ),
    unique=True,
    max_size=8,
)


@given(files=FILES, relative=st.booleans())
def test_whatever_is_given_no_two_results_share_a_name(files, relative):
    paths = [Path("/data", folder, stem + suffix) for folder, stem, suffix in files]
    below = [Path(folder if relative else "") for folder, _, _ in files]
    items = name_items(list(zip(paths, below, strict=True)))
    assert not _alike([item.name for item in items])
    assert [item.path for item in items] == paths
    assert all(".." not in Path(item.name).parts for item in items)


def test_too_long_a_name_is_shortened_and_stays_unique(tmp_path):
    long = [f"{'n' * 246}{i}.png" for i in range(2)]
    found = find_items(put(tmp_path, *long))
    for item in found.items:
        assert len(item.result(tmp_path, "_overlay.png").name) < 255
    assert len({item.name for item in found.items}) == 2


class TestEarlierRuns:
    """Results of another micrograph, from an earlier run, are kept."""

    @staticmethod
    def segment(out: Path, *files: str) -> list[Item]:
        """A run without a network: only the records, which tell whose the results are."""
        items = find_items(files, out=out).items
        for item in items:
            record = {"program": "napari-nucleiseg", "input": {"path": str(item.path)}}
            path = item.result(out, "_labels.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record))
        return items

    @pytest.mark.parametrize(
        ("first", "second", "name"),
        [
            ("A/x.png", "B/x.png", "B/x"),
            ("A/x.png", "A/x.tif", "x.tif"),
            ("A/x.png", "B/x.tif", "x.tif"),
        ],
    )
    def test_new_ones_get_a_longer_name_and_a_notice(self, tmp_path, first, second, name):
        out = tmp_path / "r"
        [a], [b] = (self.segment(out, *put(tmp_path, file)) for file in (first, second))
        assert (a.name, a.notice) == ("x", "")
        assert Path(b.name) == Path(name)
        assert str(a.path) in b.notice
        assert b.name in b.notice

    def test_the_same_file_again_has_the_same_names(self, tmp_path):
        out, files = tmp_path / "r", put(tmp_path, "A/x.png", "B/x.png", "C/x.png")
        names = [[self.segment(out, file)[0].name for file in files] for _ in range(2)]
        assert names[0] == names[1]
        assert len(set(names[0])) == 3

    def test_by_a_link_it_is_the_same_file(self, tmp_path):
        [file] = put(tmp_path, "A/x.png")
        try:
            (tmp_path / "B").symlink_to(tmp_path / "A", target_is_directory=True)
        except OSError:
            pytest.skip("no links on this disk")
        self.segment(tmp_path / "r", file)
        [again] = self.segment(tmp_path / "r", str(tmp_path / "B" / "x.png"))
        assert (again.name, again.notice) == ("x", "")

    def test_names_within_a_run_keep_clear_of_those_of_earlier_ones(self, tmp_path):
        out = tmp_path / "r"
        self.segment(out, *put(tmp_path, "A/x.png"))
        later = self.segment(out, *put(tmp_path, "B/x.png", "C/x.png"))
        third = self.segment(out, *put(tmp_path, "A/B/x.png"))
        assert len({"x", *(item.name for item in (*later, *third))}) == 4

    @given(runs=st.lists(FILES, max_size=4))
    def test_whatever_the_runs_each_file_keeps_a_name_of_its_own(self, runs):
        whose: dict[str, str] = {}

        def run_all() -> None:
            for files in runs:
                paths = [Path("/data", folder, stem + suffix) for folder, stem, suffix in files]
                for item in name_items([(path, Path()) for path in paths], whose.get):
                    assert whose.setdefault(item.name, str(item.path)) == str(item.path)

        run_all()
        once = dict(whose)
        run_all()
        assert whose == once

    @pytest.mark.parametrize(
        "record", ["", "[]", "{}", '{"program": "other", "input": {"path": "/a.png"}}']
    )
    def test_a_record_of_another_program_has_no_say_in_names(self, tmp_path, record):
        out = tmp_path / "r"
        out.mkdir()
        (out / "x_labels.json").write_text(record)
        [item] = find_items(put(tmp_path, "x.png"), out=out).items
        assert (item.name, item.notice) == ("x", "")
        with pytest.raises(FileError, match="A file from elsewhere would be overwritten"):
            list(segment_file(item, out, SegmentConfig()))
        assert (out / "x_labels.json").read_text() == record

    def test_the_notice_comes_first_and_the_results_lie_apart(self, tmp_path):
        out = tmp_path / "r"
        for file in put(tmp_path, "A/x.png", "B/x.png"):
            [item] = find_items([file], out=out).items
            first, *_, done = segment_file(item, out, SegmentConfig())
            assert json.loads(done.manifest.read_text())["input"]["path"] == file
        assert isinstance(first, Notice)
        assert "Its results are called" in first.text
        assert (out / "x_labels.tif").is_file()
        assert (out / "B" / "x_labels.tif").is_file()


class TestSegmentFile:
    @pytest.fixture
    def item(self, tmp_path: Path) -> Item:
        return find_items(put(tmp_path / "in", "cells.png")).items[0]

    def test_label_image_record_and_picture_are_written(self, item, tmp_path):
        *events, done = segment_file(item, tmp_path / "out", SegmentConfig(), overlay=True)
        assert isinstance(done, FileDone)
        assert sum(isinstance(e, TileDone) for e in events) == 1
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
            "cells_labels.json",
            "cells_labels.tif",
            "cells_overlay.png",
        ]
        labels = read_labels(done.labels).image
        assert np.array_equal(labels, done.segmented.labels)
        record = json.loads(done.manifest.read_text())
        assert record["nuclei"] == done.segmented.count == len(np.unique(labels)) - 1
        assert record["config"] == SegmentConfig().model_dump(mode="json")
        assert record["labels"] == "cells_labels.tif"

    def test_earlier_results_are_replaced(self, item, tmp_path):
        for minimum in (0, 10_000):
            config = SegmentConfig(min_area_px=minimum)
            *_, done = segment_file(item, tmp_path / "in", config)
        assert not read_labels(done.labels).image.any()

    def test_hand_made_labels_beside_the_micrograph_are_not_replaced(self, item, tmp_path):
        truth = tmp_path / "in" / "cells_labels.tif"
        truth.write_bytes(b"precious")
        with pytest.raises(FileError, match="would be overwritten"):
            list(segment_file(item, tmp_path / "in", SegmentConfig()))
        assert truth.read_bytes() == b"precious"

    def test_closed_in_the_middle_nothing_is_written(self, item, tmp_path):
        config = SegmentConfig(tile_px=256, overlap_px=64)
        events = segment_file(item, tmp_path / "out", config)
        assert any(isinstance(event, TileDone) for event in events)
        events.close()
        assert not list(tmp_path.glob("out/*"))

    def test_a_full_disk_leaves_no_part_of_a_file(self, item, tmp_path, monkeypatch):
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(FileError, match="No space left"):
            list(segment_file(item, tmp_path / "out", SegmentConfig()))
        assert not list((tmp_path / "out").iterdir())

    def test_the_result_is_that_of_the_library(self, item, tmp_path, stained):
        from napari_nucleiseg.segmentation import segment_now

        *_, done = segment_file(item, tmp_path / "out", SegmentConfig())
        result = segment_now(stained[0])
        assert isinstance(result, Segmented)
        assert np.array_equal(read_labels(done.labels).image, result.labels)


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"cannot be written to.*file"):
        prepare_folder(tmp_path / "file" / "out")


def test_names_keep_their_own_spelling(tmp_path):
    spelled = unicodedata.normalize("NFD", "Zellkern-ü.png")
    [item] = find_items(put(tmp_path, spelled)).items
    assert item.name == spelled.removesuffix(".png")


def test_a_damaged_zarr_is_named_and_not_looked_into(tmp_path):
    put(tmp_path, "a.png", "b.ome.zarr/0/tile.png")
    for recursive in (False, True):
        found = find_items([str(tmp_path)], recursive=recursive)
        assert [item.path.name for item in found.items] == ["a.png"]
        assert found.skipped == []
        [(where, error)] = found.errors
        assert where == str(tmp_path / "b.ome.zarr")
        assert "damaged or incomplete: b.ome.zarr" in str(error)


@pytest.mark.parametrize("text", ["b.ome.zarr", "*.zarr", "."])
def test_a_damaged_zarr_alone_is_an_error(tmp_path, monkeypatch, text):
    put(tmp_path, "b.ome.zarr/0/tile.png")
    monkeypatch.chdir(tmp_path)
    found = find_items([text])
    [(_, error)] = found.errors
    assert "damaged or incomplete: b.ome.zarr" in str(error)


def test_a_link_that_leads_nowhere_is_called_one(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    put(tmp_path, "b.png")
    found = find_items([str(tmp_path / "a.png"), str(tmp_path)])
    assert [item.path.name for item in found.items] == ["b.png"]
    [(_, error)] = found.errors
    assert "The link leads nowhere" in str(error)


@pytest.mark.parametrize("recursive", [False, True])
def test_what_may_not_be_read_is_named_and_the_others_are_found(tmp_path, recursive):
    put(tmp_path, "a.png", "locked/b.png")
    locked = tmp_path / "locked"
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        pytest.skip("this user may read everything")
    try:
        inputs = [str(tmp_path), str(locked), str(locked / "b.png")]
        found = find_items(inputs, recursive=recursive)
    finally:
        locked.chmod(0o700)
    assert [item.path.name for item in found.items] == ["a.png"]
    told = [str(error) for _, error in found.errors]
    assert len(told) == (3 if recursive else 2)
    assert all("cannot be read" in text and "Permission denied" in text for text in told)
