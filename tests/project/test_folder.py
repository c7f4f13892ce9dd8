from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from napari_nucleiseg.editing import State
from napari_nucleiseg.errors import FileError
from napari_nucleiseg.project import NAME, Project, find_project
from napari_nucleiseg.samples import SAMPLES


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "images" / "cells.png"
    path.parent.mkdir()
    shutil.copy(SAMPLES["fluorescence"].micrograph, path)
    return path


def test_a_project_remembers_its_micrographs(image):
    with Project(image.parent / NAME) as project:
        added = project.add(image)
        assert project.add(image) == added
        changed = project.set_split(added, "val")
        project.corrections(changed).save(np.eye(4, dtype=np.int32), {1: State.EDITED}, [])
    with Project(image.parent / NAME) as project:
        assert project.micrographs == (changed,)
        found, notice = project.find(image)
        assert (found, notice) == (changed, "")
        assert project.path_of(found) == image
        assert project.corrections(found).load().states == {1: State.EDITED}
        with pytest.raises(FileError, match="train, val, test"):
            project.set_split(found, "exam")
    assert find_project(image.parent) == find_project(image.parent / NAME) == image.parent / NAME
    assert find_project(image.parent.parent) is None


def test_a_moved_folder_takes_its_project_along(image, tmp_path):
    with Project(image.parent / NAME) as project:
        added = project.add(image)
    moved = image.parent.rename(tmp_path / "elsewhere")
    with Project(moved / NAME) as project:
        assert project.find(moved / image.name) == (added, "")


def test_a_moved_micrograph_is_recognised_and_a_changed_one_is_told_of(image):
    with Project(image.parent / NAME) as project:
        added = project.add(image)
        moved = image.rename(image.with_name("renamed.png"))
        assert "not there any more" in project.check(added)
        found, notice = project.find(moved)
        assert found.folder == added.folder
        assert f"was moved to {moved}" in notice
        assert project.find(moved) == (found, "")
        shutil.copy(SAMPLES["stained"].micrograph, moved)
        assert "has changed" in project.find(moved)[1]
        shutil.copy(SAMPLES["brightfield"].micrograph, image)
        assert project.find(image) == (None, "")
        # its own corrections, though another file once had its name
        assert project.add(image).folder != found.folder


def test_a_copy_elsewhere_is_a_micrograph_of_its_own(image):
    with Project(image.parent / NAME) as project:
        first = project.add(image)
        copy = image.with_name("copy.png")
        shutil.copy(image, copy)
        assert project.find(copy) == (None, "")
        assert project.add(copy).folder != first.folder


def test_the_second_window_reads_and_says_why(image):
    with Project(image.parent / NAME) as first:
        added = first.add(image)
        first.corrections(added).save(np.eye(4, dtype=np.int32), {}, [])
        with Project(image.parent / NAME) as second:
            assert not second.is_writable
            assert "is open in another window (process" in second.notice
            assert second.corrections(added).load().labels.sum() == 4
            with pytest.raises(FileError, match="reading only"):
                second.corrections(added).record(states={1: State.EDITED})
            with pytest.raises(FileError, match="reading only"):
                second.set_split(added, "val")
        # closing the second leaves the first its right
        first.corrections(added).record(states={1: State.EDITED})
    with Project(image.parent / NAME) as third:
        assert third.is_writable


HOLDER = """
import sys, time
from pathlib import Path
from napari_nucleiseg.project import Project
project = Project(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_the_lock_of_a_killed_process_is_taken_over(image):
    folder = image.parent / NAME
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with Project(folder) as second:
        assert f"process {holder.pid} on" in second.notice
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with Project(folder) as third:
        assert third.is_writable


def test_what_is_no_project_or_a_newer_one_is_named(tmp_path):
    with pytest.raises(FileError, match="no project"):
        Project(tmp_path / "nowhere", writable=False)
    with Project(tmp_path / "p"):
        pass
    record = tmp_path / "p" / "project.json"
    good = json.loads(record.read_text())
    for broken, match in (
        ({**good, "version": 2}, "newer version"),
        ({**good, "micrographs": [{"folder": "a"}]}, "cannot be read"),
        ({"format": "else"}, "not what a project holds"),
    ):
        record.write_text(json.dumps(broken))
        with pytest.raises(FileError, match=match):
            Project(tmp_path / "p")
    entry = {"folder": "../../x", "path": "a", "sha256": "", "bytes": 1, "split": "train"}
    record.write_text(json.dumps({**good, "micrographs": [entry]}))
    with pytest.raises(FileError, match="outside"):
        Project(tmp_path / "p")
    record.write_text(json.dumps(good))
    with Project(tmp_path / "p") as project:  # no refusal leaves it locked
        assert project.is_writable
