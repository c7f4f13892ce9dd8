from __future__ import annotations

import json

import numpy as np
from PIL import Image
from running import run

from napari_nucleiseg.io import read_labels


def test_sound_data_exits_with_0_and_has_a_row_for_each_image(pairs):
    result = run("check", pairs)
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["fluorescence", "22"] in [row[:2] for row in rows]
    assert sum("good" in row for row in rows) >= 2
    assert "3 of 3 images without problems" in result.stdout


def make_mask(pairs):
    path = pairs / "masks" / "stained.png"
    mask = (read_labels(path).image > 0).astype(np.uint8) * 255
    Image.fromarray(mask).save(path)
    return path


def test_problems_are_told_with_their_remedy_and_exit_with_1(pairs):
    make_mask(pairs)
    result = run("check", pairs, code=1)
    assert "black-and-white mask" in result.stdout
    assert "--fix split" in result.stdout
    assert "2 of 3 images without problems" in result.stdout
    assert "problem" in result.stderr


def test_values_as_json(pairs):
    make_mask(pairs)
    record = json.loads(run("check", pairs, "--json", "-", code=1).stdout)
    (stained,) = [i for i in record["images"] if i["name"] == "stained"]
    assert stained["findings"][0]["kind"] == "binary mask"
    assert stained["findings"][0]["fix"] == "split"


def test_a_remedy_goes_to_a_copy_that_is_sound(pairs, tmp_path):
    path = make_mask(pairs)
    content = path.read_bytes()
    result = run(
        "check", pairs, "--fix", "split", "--fix", "waist", "--out", tmp_path / "copy", code=1
    )
    assert "the originals are as they were" in result.stderr
    assert path.read_bytes() == content
    run("check", tmp_path / "copy")


def test_a_wrong_word_is_named(pairs, tmp_path):
    assert (
        "Known: all, split"
        in run("check", pairs, "--fix", "x", "-o", tmp_path / "c", code=2).stderr
    )
    assert "Add --out" in run("check", pairs, "--fix", "all", code=2).stderr
    assert "no such training folder" in run("check", tmp_path / "no", code=2).stderr
