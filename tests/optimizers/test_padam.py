"""Padam lies between AMSGrad and SGD with momentum."""

from __future__ import annotations

import math

import pytest
import torch

from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.optimizers import padam


def path(build, steps=40):
    """Where an optimizer goes on a bent valley, step by step, in double precision."""
    x = torch.nn.Parameter(torch.tensor([1.5, -0.7, 0.3], dtype=torch.float64))
    optimizer, places = build([x]), []
    for n in range(steps):
        optimizer.zero_grad()
        ((1 - x[0]) ** 2 + 5 * (x[1] - x[0] ** 2) ** 2 + math.cos(n) * x[2]).backward()
        optimizer.step()
        places.append(x.detach().clone())
    return torch.stack(places)


def with_padam(lr=1e-2, weight_decay=0.0, **options):
    return lambda params: padam.build(params, lr, weight_decay, padam.Options(**options))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("amsgrad", [True, False])
def test_at_one_half_it_is_adam(amsgrad, weight_decay):
    def adam(params):
        return torch.optim.Adam(
            params, lr=1e-2, amsgrad=amsgrad, eps=1e-15, weight_decay=weight_decay
        )

    mine = path(with_padam(p=0.5, eps=1e-15, amsgrad=amsgrad, weight_decay=weight_decay))
    assert (mine - path(adam)).abs().max() < 1e-6


def test_towards_zero_it_is_sgd_with_corrected_momentum():
    def sgd(params):
        [x], mean, step = params, torch.zeros(3, dtype=torch.float64), 0

        class CorrectedMomentum(torch.optim.Optimizer):
            def step(self):
                nonlocal mean, step
                step += 1
                mean = 0.9 * mean + 0.1 * x.grad
                start = math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                x.data.sub_(1e-2 * start * mean)

        return CorrectedMomentum([x], {})

    assert (path(with_padam(p=1e-9)) - path(sgd)).abs().max() < 1e-6


def test_in_between_it_is_in_between():
    """From the first gradient g, a step is lr * sqrt(1 - b2) * |g| / (sqrt(1 - b2) * |g|)^2p."""
    for p in (0.05, 0.125, 0.25, 0.5):
        x = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
        optimizer = with_padam(p=p, eps=1e-15)([x])
        (3 * x).sum().backward()
        optimizer.step()
        root = math.sqrt(0.001)
        assert 2 - x.item() == pytest.approx(1e-2 * root * 3 / (root * 3) ** (2 * p), rel=1e-9)


def test_the_largest_square_is_kept_by_default():
    x = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = with_padam()([x])
    for gradient in (100.0, *[0.01] * 50):
        x.grad = torch.tensor([gradient])
        optimizer.step()
    state = optimizer.state[x]
    assert float(state["largest"]) == pytest.approx(10, rel=1e-5)
    assert float(state["square"]) < float(state["largest"])


@pytest.mark.parametrize("p", [0, 0.6])
def test_other_powers_are_refused(p):
    with pytest.raises(SettingError, match=f"p = {p}"):
        padam.Options.parse({"p": p})
