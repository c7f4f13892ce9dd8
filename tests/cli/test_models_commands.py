"""``nucleiseg models``."""

from __future__ import annotations

import csv
import json
import re

import pytest
from running import run

from napari_nucleiseg import store


def test_list():
    assert re.search(r"^nuclei +\S.*nuclei_unet", run("models", "list").stdout, re.MULTILINE)


def test_what_cannot_be_chosen_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path))
    (tmp_path / "mine.safetensors").write_bytes(b"no weights")
    (tmp_path / "mine.yaml").write_text("architecture: none\n")
    result = run("models", "list")
    assert result.stdout.startswith("nuclei ")
    assert "mine" not in result.stdout
    assert "mine.yaml" in result.stderr


def test_show():
    text = run("models", "show", "nuclei").stdout
    assert store.find_model("nuclei").sha256 in text
    assert "architecture: nuclei_unet" in text


def test_an_unknown_one_is_one_sentence():
    result = run("models", "show", "none", code=2)
    assert "Known: nuclei" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_compare(pairs, model_folder, tmp_path):
    out = tmp_path / "compared"
    engine = ("--engine", "torch", "--device", "cpu")
    result = run("models", "compare", "--data", pairs, "--out", out, *engine, code=1)
    lines = {line.split()[0]: line.split() for line in result.stdout.splitlines()}
    with (out / "models.csv").open(newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["nuclei", "noisy"]
    for name in rows:
        assert f"{name}, stained: " in result.stderr
        # the verdict of the same model comes below the table
        [row] = [x for x in result.stdout.splitlines() if re.match(rf"{name} +3 ", x)]
        assert row.split()[2] == f"{float(rows[name]['dice']):.3f}"
        assert row.split()[5] == f"{float(rows[name]['average_precision']):.3f}"
    assert lines["noisy:"][:3] == ["noisy:", "too", "few"]
    assert len((out / "images.csv").read_text().splitlines()) == 1 + 2 * 3
    assert "torn: The weights are damaged" in result.stderr


@pytest.mark.slow
def test_compare_takes_a_split_and_gives_the_numbers_of_evaluate(pairs, tmp_path):
    (pairs / "index.csv").write_text("image_id,split\nstained,val\nfluorescence,train\n")
    engine = ("--engine", "torch", "--device", "cpu")
    compare = ("models", "compare", "nuclei", "--data", pairs, "--split", "val")
    run(*compare, "--out", tmp_path / "out", *engine)
    run("segment", pairs / "images" / "stained.png", "--out", tmp_path / "seg", *engine)
    truth = pairs / "masks" / "stained.png"
    found = tmp_path / "seg" / "stained_labels.tif"
    run("evaluate", found, truth, "--json", tmp_path / "scores.json")
    expected = json.loads((tmp_path / "scores.json").read_text())["images"][0]["scores"]
    with (tmp_path / "out" / "images.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row["image"] == "stained"
    assert {name: float(row[name]) for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope", "--data", "DATA"), "There is no such model: 'nope'"),
        (("--data", "DATA", "--split", "val"), "Error: A split needs an index.csv"),
        (("--split", "val"), "Add --data"),
        (("--data", "nowhere"), "There is no such folder: nowhere"),
        (("--data", "DATA", "--tile-px", "1"), "--tile-px 1"),
    ],
)
def test_compare_says_what_is_wrong(pairs, words, said):
    result = run("models", "compare", *(pairs if w == "DATA" else w for w in words), code=2)
    assert said in result.stderr
