from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from napari_nucleiseg.config import TrainConfig
from napari_nucleiseg.errors import DependencyError, SettingError, TrainingError
from napari_nucleiseg.events import RangeFound, RateTried
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.lr_range import RangeConfig, find_rate, save_plot, smooth, steepest

SMALL = TrainConfig(
    architecture_options={"widths": [16, 16, 16]},
    batch_size=2,
    patch_px=64,
    held_out=0,
    threads=1,
    device="cpu",
    optimizer="sgd",
)


@pytest.fixture
def data(tmp_path, fluorescence):
    (tmp_path / "data" / "images").mkdir(parents=True)
    micrograph, labels = fluorescence
    Image.fromarray(micrograph.pixels).save(tmp_path / "data" / "images" / "a.png")
    write_labels(tmp_path / "data" / "masks" / "a.png", labels)
    return tmp_path / "data"


def test_a_constant_loss_stays_as_it_is_when_smoothed():
    np.testing.assert_allclose(smooth([2.5] * 30), 2.5)


def test_the_steepest_fall_of_a_known_curve_is_found():
    rates = np.geomspace(1e-6, 1, 200)
    # falls by half a tanh around 1e-3, rises after 1e-1
    losses = 1 - np.tanh(2 * np.log10(rates / 1e-3)) + 50 * np.clip(rates - 0.1, 0, None)
    assert steepest(rates, losses) == pytest.approx(1e-3, rel=0.2)


def test_a_loss_that_only_rises_is_refused_with_the_rates():
    rates = np.geomspace(1e-3, 1, 50)
    with pytest.raises(TrainingError, match=r"0\.001 to 1"):
        steepest(rates, 1 + rates)


def test_rates_grow_by_a_constant_factor_and_the_test_ends_where_the_loss_explodes(data):
    test = RangeConfig(lowest=1e-4, highest=1e4, steps=60)
    *events, last = find_rate(data, SMALL, test)
    tried = [e.learning_rate for e in events if isinstance(e, RateTried)]
    assert isinstance(last, RangeFound)
    assert last.rates == tuple(tried)
    np.testing.assert_allclose(np.diff(np.log(tried)), np.log(1e8) / 59, rtol=1e-6)
    assert len(last.smoothed) == len(last.losses) == len(tried)
    assert last.diverged is not None
    assert 1e-4 < last.steepest < last.diverged < 1e4


def test_the_order_of_the_rates_is_checked():
    with pytest.raises(SettingError, match="lowest"):
        RangeConfig.parse({"lowest": 1.0, "highest": 0.1})


@pytest.mark.parametrize(
    ("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_the_plot_is_a_picture_of_its_kind(tmp_path, suffix, begins):
    pytest.importorskip("matplotlib")
    rates = tuple(np.geomspace(1e-6, 1, 50))
    losses = tuple(1 - np.tanh(np.log10(rates) + 3))
    path = tmp_path / f"plot{suffix}"
    save_plot(RangeFound(rates, losses, losses, 1e-3, None), path)
    assert path.read_bytes().startswith(begins)


def test_without_matplotlib_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DependencyError, match=r"napari-nucleiseg\[plots\]"):
        save_plot(RangeFound((1.0,), (1.0,), (1.0,), 1.0, None), tmp_path / "plot.png")
