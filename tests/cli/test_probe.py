"""``nucleiseg probe``."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image
from running import TINY, run


def test_the_bundled_model_has_a_finite_table_and_a_heat_map(tmp_path):
    out, values = tmp_path / "map.png", tmp_path / "values.json"
    result = run("probe", "nuclei", "--out", out, "--json", values)
    assert "stem.0.weight" in result.stdout
    assert re.search(r"^Q = 0\.\d+", result.stdout, re.MULTILINE)
    with Image.open(out) as picture:
        assert picture.width > 100
    layers = json.loads(values.read_text())["layers"]
    measured = [[v for v in layer.values() if isinstance(v, float)] for layer in layers]
    assert len(layers) > 30
    assert np.isfinite(measured).all()
    assert all(0 <= layer["stable_rank"] <= 1 for layer in layers)


@pytest.mark.slow
def test_a_checkpoint_shows_every_epoch_and_the_learning_rates(pairs, tmp_path):
    words = ("--epochs", "2", "--optimizer", "rmsgd", "--schedule", "constant", "--explain")
    result = run("train", "--data", pairs, "--out", tmp_path / "run", *words, *TINY)
    assert "Learning rates of the layers" in result.stderr
    values = tmp_path / "values.json"
    last = tmp_path / "run" / "last.pt"
    told = ("--measure", "learning_rate", "--out", tmp_path / "map.png", "--json", values)
    result = run("probe", last, *told)
    assert "0.03" in result.stdout
    assert list(json.loads(values.read_text())["epochs"]) == ["1", "2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_such"], "There is no such model"),
        (["no_such.pt"], "There is no such checkpoint"),
        (["nuclei", "--measure", "colour"], "Unknown measure: 'colour'"),
        (["nuclei", "--measure", "learning_rate"], "no learning_rate to draw"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, words, message):
    result = run("probe", *words, "--out", tmp_path / "map.png", code=2)
    assert message in result.stderr
    assert not list(tmp_path.iterdir())
