from __future__ import annotations

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_nucleiseg.cli import app
from napari_nucleiseg.io import write_labels


@pytest.fixture
def data(tmp_path, fluorescence):
    (tmp_path / "data" / "images").mkdir(parents=True)
    micrograph, labels = fluorescence
    Image.fromarray(micrograph.pixels).save(tmp_path / "data" / "images" / "a.png")
    write_labels(tmp_path / "data" / "masks" / "a.png", labels)
    return tmp_path / "data"


def run(*arguments):
    return CliRunner().invoke(app, ["lr-find", *map(str, arguments)])


def test_a_rate_is_proposed_and_drawn(data, tmp_path):
    pytest.importorskip("matplotlib")
    small = ["--patch-px", "64", "--batch-size", "2", "--held-out", "0", "--threads", "1"]
    small += ["--set", "architecture_options.widths=[16,16,16]", "--device", "cpu"]
    out, values = tmp_path / "plots" / "lr.svg", tmp_path / "lr.json"
    result = run("--data", data, "--steps", 40, "--out", out, "--json", values, *small)
    assert result.exit_code == 0, result.output
    found = json.loads(values.read_text())
    assert f"learning rate of {found['steepest']:.2g}" in result.stdout
    assert out.read_text().startswith("<?xml")


def test_a_wrong_ending_is_refused_before_anything_is_trained(data, tmp_path):
    result = run("--data", data, "--out", tmp_path / "lr.txt")
    assert result.exit_code == 2
    assert "lr.txt" in result.output
    assert ".svg" in result.output
