"""Schedules: factors of the learning rate."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from napari_nucleiseg.assembly import learning_rate
from napari_nucleiseg.config import TrainConfig
from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.schedules import SCHEDULES

PROGRESS = np.linspace(0, 1, 401)


def factors(name, scores=(), **options):
    module = SCHEDULES.module(name)
    schedule = module.build(module.Options(**options))
    return [schedule(p, scores) for p in PROGRESS]


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_factors_lie_between_0_and_1_and_reach_it(name):
    values = factors(name)
    assert all(0 <= v <= 1 for v in values)
    assert max(values) == pytest.approx(1)


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_a_warm_up_goes_before_each(name):
    config = TrainConfig(schedule=name, warmup=0.1, learning_rate=2.0)
    first = 2 * factors(name)[0]
    assert learning_rate(config, 0.05) == pytest.approx(first / 2)
    assert learning_rate(config, 0.1) == pytest.approx(first)
    assert all(learning_rate(config, p) > 0 for p in np.linspace(0, 1.2, 50))


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_unknown_options_are_named(name):
    with pytest.raises(SettingError, match="powr"):
        SCHEDULES.module(name).Options.parse({"powr": 1})


@pytest.mark.parametrize("name", ["constant", "cosine", "polynomial", "step"])
def test_falls_only(name):
    assert all(a >= b for a, b in pairwise(factors(name)))


def test_known_values():
    assert factors("constant")[200] == 1
    assert factors("cosine")[100] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert factors("polynomial", power=2)[200] == pytest.approx(0.25)
    stairs = factors("step", milestones=(0.25, 0.5), gamma=0.5)
    assert [stairs[n] for n in (0, 99, 100, 199, 200, 400)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_restarts_rise_to_the_peak_as_often_as_asked():
    values = factors("cosine_restarts", cycles=3, growth=1)
    rises = [n for n, (a, b) in enumerate(pairwise(values)) if b > a + 0.5]
    assert [PROGRESS[n + 1] for n in rises] == pytest.approx([1 / 3, 2 / 3], abs=0.01)
    assert values[-1] == pytest.approx(0, abs=1e-9)
    assert factors("cosine_restarts", cycles=1) == pytest.approx(factors("cosine"))
    grown = factors("cosine_restarts", cycles=2, growth=3)
    assert grown[101] > 0.99 > 0.01 > grown[99]


def test_one_cycle_rises_then_falls():
    values = factors("one_cycle", rise=0.25, start=10, end=100)
    assert values[0] == pytest.approx(0.1)
    assert values[100] == pytest.approx(1)
    assert values[-1] == pytest.approx(1e-3)
    assert all(a <= b for a, b in pairwise(values[:101]))
    assert all(a >= b for a, b in pairwise(values[100:]))


@pytest.mark.parametrize(
    ("scores", "falls"),
    [
        ([], 0),
        ([0.1, 0.2, 0.3, 0.4], 0),
        ([0.4, 0.3, 0.3], 0),
        ([0.4, 0.3, 0.3, 0.4], 1),
        ([0.4, 0.3, 0.3, 0.5, 0.3, 0.3], 0),
        ([0.4] * 7, 2),
        ([0.4, 0.4005, 0.401, 0.4009], 1),
    ],
)
def test_plateau_falls_when_scores_no_longer_rise(scores, falls):
    assert factors("plateau", scores, gamma=0.5)[0] == 0.5**falls
