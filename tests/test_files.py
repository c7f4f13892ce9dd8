from __future__ import annotations

from typing import ClassVar

import pytest

from napari_nucleiseg.errors import FileError
from napari_nucleiseg.files import write_together, write_whole


def test_a_file_in_a_new_folder(tmp_path):
    path = tmp_path / "new" / "ü ä" / "a.bin"
    write_whole(path, lambda file: file.write(b"whole"))
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("a bug")])
def test_an_earlier_file_stays_until_the_new_one_is_complete(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"earlier")

    def fail(file):
        file.write(b"half")
        raise error

    with pytest.raises(FileError if isinstance(error, OSError) else ValueError):
        write_whole(path, fail)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_said(tmp_path):
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(FileError, match=r"could not be written.*a\.bin"):
        write_whole(tmp_path / "a.bin", lambda file: file.write(b"x"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


class TestTogether:
    FILES: ClassVar = {"a.txt": b"new a", "b.txt": b"new b"}

    def test_all_files_are_there_and_nothing_else(self, tmp_path):
        write_together(tmp_path / "new", self.FILES)
        assert {p.name: p.read_bytes() for p in (tmp_path / "new").iterdir()} == self.FILES

    def test_none_is_replaced_if_one_cannot_be_written(self, tmp_path):
        (tmp_path / "a.txt").write_bytes(b"earlier")
        with pytest.raises(FileError, match="could not be written"):
            write_together(tmp_path, {"a.txt": b"new", "x" * 300: b""})
        assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
        assert (tmp_path / "a.txt").read_bytes() == b"earlier"

    def test_a_file_in_the_place_of_the_folder_is_said(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(FileError, match=r"folder cannot be written to.*file"):
            write_together(tmp_path / "file", self.FILES)
