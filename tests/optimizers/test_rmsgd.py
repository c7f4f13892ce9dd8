"""RMSGD: each layer's learning rate follows what its stable rank gains."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.low_rank import measure
from napari_nucleiseg.optimizers import rmsgd


def with_rank(rank, side=12):
    """Weights with ``rank`` singular values of 1."""
    return torch.diag(torch.arange(side).lt(rank).float())


def build(params, lr=0.03, weight_decay=0.0, **options):
    return rmsgd.build(params, lr, weight_decay, rmsgd.Options(**options))


def named(*layers):
    """One group of weights with names."""
    return [{"params": list(layers), "layers": [f"w{n}" for n in range(len(layers))]}]


def set_to(weights, values):
    with torch.no_grad():
        weights.copy_(values)


def test_until_the_first_epoch_it_is_sgd_with_momentum():
    torch.manual_seed(0)
    one, other = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    other.load_state_dict(one.state_dict())
    mine = build(one.parameters(), weight_decay=0.01)
    sgd = torch.optim.SGD(other.parameters(), lr=0.03, momentum=0.9, weight_decay=0.01)
    for _ in range(10):
        inputs = torch.randn(4, 5)
        for layer, optimizer in ((one, mine), (other, sgd)):
            optimizer.zero_grad()
            layer(inputs).pow(2).sum().backward()
            optimizer.step()
    assert torch.allclose(one.weight, other.weight, rtol=1e-6, atol=1e-7)


def test_the_first_measurement_leaves_the_initial_rate():
    layer = torch.nn.Parameter(with_rank(3))
    optimizer = build(named(layer))
    optimizer.epoch_step()
    assert optimizer.rates() == {"w0": 0.03}


def test_the_rate_follows_the_published_rule():
    layer = torch.nn.Parameter(with_rank(3))
    optimizer = build(named(layer), beta=0.9, zeta=0.5)
    expected, before = 0.03, None
    for rank in (3, 4, 4, 5, 2, 2):
        set_to(layer, with_rank(rank))
        optimizer.epoch_step()
        now = rank / 12
        if before is not None:
            expected = max(0.9 * expected + 0.5 * (now - before), 0)
        before = now
        assert optimizer.rates()["w0"] == pytest.approx(expected, rel=1e-5)


def test_a_layer_that_loses_its_structure_comes_to_rest_and_stays_finite():
    layer = torch.nn.Parameter(with_rank(4))
    optimizer = build(named(layer))
    optimizer.epoch_step()
    set_to(layer, with_rank(1))
    optimizer.epoch_step()
    assert optimizer.rates() == {"w0": 0.0}
    layer.grad = torch.ones(12, 12)
    before = layer.detach().clone()
    optimizer.step()
    assert torch.equal(layer, before)


def test_a_layer_of_noise_keeps_the_initial_rate_and_so_does_its_first_structure():
    torch.manual_seed(1)
    layer = torch.nn.Parameter(torch.randn(12, 12))
    optimizer = build(named(layer))
    for _ in range(3):
        set_to(layer, torch.randn(12, 12))
        optimizer.epoch_step()
        assert optimizer.rates() == {"w0": 0.03}
    set_to(layer, with_rank(3))
    optimizer.epoch_step()
    assert optimizer.rates() == {"w0": 0.03}
    set_to(layer, with_rank(4))
    optimizer.epoch_step()
    assert optimizer.rates()["w0"] == pytest.approx(0.98 * 0.03 + 1 / 12, rel=1e-5)


@pytest.mark.parametrize(
    "weights", [torch.zeros(4, 5), torch.ones(1, 7), torch.ones(6, 6), torch.zeros(2, 3, 3, 3)]
)
def test_degenerate_layers_have_finite_rates(weights):
    optimizer = build(named(torch.nn.Parameter(weights)))
    for _ in range(4):
        optimizer.epoch_step()
    assert all(np.isfinite(r) and 0 <= r <= 0.03 for r in optimizer.rates().values())


def test_squares_are_an_option():
    values = torch.diag(torch.tensor([4.0, 2.0] + [0.0] * 8))
    for squared in (False, True):
        layer = torch.nn.Parameter(values.clone())
        optimizer = build(named(layer), squared=squared)
        optimizer.epoch_step()
        expected = measure(values.numpy(), squared=squared).stable_rank
        assert optimizer.state[layer]["stable_rank"] == expected
        assert expected == pytest.approx(0.125 if squared else 0.15)


def layers_in_groups(order):
    """Two layers with biases; in two groups whose order differs from that of the network."""
    a, b = torch.nn.Parameter(with_rank(2)), torch.nn.Parameter(with_rank(5))
    bias_a, bias_b = (torch.nn.Parameter(torch.zeros(12)) for _ in range(2))
    groups = [
        {"params": [bias_b, bias_a], "layers": ["b", "a"], "weight_decay": 0.0},
        {"params": [b, a], "layers": ["b", "a"]},
    ]
    return (a, b, bias_a, bias_b), [groups[n] for n in order]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_rates_belong_to_layers_wherever_they_stand_and_vectors_follow(order):
    (a, b, bias_a, bias_b), groups = layers_in_groups(order)
    optimizer = build(groups, momentum=0.0)
    optimizer.epoch_step()
    set_to(a, with_rank(4))
    optimizer.epoch_step()
    rates = optimizer.rates()
    assert rates == pytest.approx({"a": 0.98 * 0.03 + 2 / 12, "b": 0.98 * 0.03}, rel=1e-5)
    places = [p.detach().clone() for p in (a, b, bias_a, bias_b)]
    for p in (a, b, bias_a, bias_b):
        p.grad = torch.ones_like(p)
    optimizer.step()
    for p, place, name in zip((a, b, bias_a, bias_b), places, "abab", strict=True):
        assert torch.allclose(place - p.detach(), torch.full_like(p, rates[name]), atol=1e-6)


def test_rates_ranks_and_epoch_survive_a_resume_bit_for_bit():
    torch.manual_seed(0)

    def epoch(layers, optimizer, seed):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(3):
            for p in layers:
                p.grad = torch.randn(p.shape, generator=generator)
            optimizer.step()
        optimizer.epoch_step()

    layers, groups = layers_in_groups((0, 1))
    optimizer = build(groups, weight_decay=0.01)
    for seed in range(3):
        epoch(layers, optimizer, seed)
    file = io.BytesIO()
    torch.save({"w": [p.detach().clone() for p in layers], "o": optimizer.state_dict()}, file)
    file.seek(0)
    kept = torch.load(file, weights_only=True)

    others, groups = layers_in_groups((0, 1))
    other = build(groups, weight_decay=0.01)
    for p, values in zip(others, kept["w"], strict=True):
        set_to(p, values)
    other.load_state_dict(kept["o"])
    assert other.rates() == optimizer.rates()
    assert [g["epoch"] for g in other.param_groups] == [3, 3]
    for seed in range(3, 6):
        epoch(layers, optimizer, seed)
        epoch(others, other, seed)
        assert other.rates() == optimizer.rates()
    assert all(torch.equal(p, q) for p, q in zip(layers, others, strict=True))


def test_a_scheduler_scales_all_rates():
    (a, *_), groups = layers_in_groups((0, 1))
    optimizer = build(groups)
    optimizer.epoch_step()
    set_to(a, with_rank(4))
    optimizer.epoch_step()
    before = optimizer.rates()
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 0.5)
    assert optimizer.rates() == pytest.approx({n: r / 2 for n, r in before.items()})


def test_a_rate_of_zero_to_start_with_is_refused():
    with pytest.raises(SettingError, match="learning rate to start with"):
        build(named(torch.nn.Parameter(with_rank(2))), lr=0.0)
