"""What the layers have learned."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.explain import (
    MEASURES,
    from_history,
    heat_map,
    network_quality,
    probe,
    save_heat_map,
    table,
)

KNOWN = np.diag([4.0, 2, 2, 0, 0, 0, 0, 0, 0, 0])


@pytest.fixture
def weights():
    noise = np.random.default_rng(0).normal(size=(10, 40))
    return {"known": KNOWN, "bias": np.ones(10), "noise": noise}


def test_layers_of_known_singular_values(weights):
    known, noise = probe(weights, {"known": 0.1})
    assert (known.name, known.shape, known.rank) == ("known", (10, 10), 3)
    assert (known.stable_rank, known.condition) == pytest.approx((0.2, 2))
    assert known.quality == pytest.approx(math.atan(0.2 / 2))
    assert (known.learning_rate, noise.learning_rate) == (0.1, None)
    assert (noise.rank, noise.stable_rank, noise.condition, noise.quality) == (0, 0, 0, 0)
    [squared, _] = probe(weights, squared=True)
    assert squared.stable_rank == pytest.approx(0.15)


def test_quality_of_a_network(weights):
    layers = probe(weights)
    assert network_quality(layers) == pytest.approx(math.atan(0.1) / math.sqrt(2))
    assert network_quality([]) == 0


def test_table_is_layers_by_epochs_with_gaps(weights):
    one, two = probe(weights, {"known": 0.1}), probe(weights)[:1]
    names, values = table({3: one, 7: two}, "rank")
    assert names == ["known", "noise"]
    assert values[0].tolist() == [3, 3]
    assert values[1, 0] == 0
    assert math.isnan(values[1, 1])
    _, rates = table({3: one, 7: two}, "learning_rate")
    assert rates[0, 0] == 0.1
    assert math.isnan(rates[0, 1])


def test_heat_map_shows_small_dark_and_large_light(weights, tmp_path):
    layers = {1: probe(weights), 2: probe(weights)}
    picture = heat_map(layers, "rank")
    pixels = np.asarray(picture).reshape(-1, 3).tolist()
    assert [68, 1, 84] in pixels
    assert [253, 231, 37] in pixels
    save_heat_map(picture, tmp_path / "sub" / "map.png")
    assert (tmp_path / "sub" / "map.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_draws_also_for_a_hundred_epochs(weights, measure):
    layers = probe(weights, {"known": 0.1, "noise": 0.1})
    assert heat_map(dict.fromkeys(range(1, 101), layers), measure).width > 600


def test_what_cannot_be_drawn_is_said(weights):
    with pytest.raises(SettingError, match=r"'colour'.*Known: quality"):
        heat_map({1: probe(weights)}, "colour")
    with pytest.raises(SettingError, match="no learning_rate to draw"):
        heat_map({1: probe(weights)}, "learning_rate")


def test_history_without_layers_is_left_out():
    assert from_history([{"epoch": 1, "loss": 0.5}]) == {}
