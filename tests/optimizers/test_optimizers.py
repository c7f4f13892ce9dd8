from __future__ import annotations

import copy

import pytest
import torch

from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.optimizers import OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_descends_a_bowl_and_resumes_where_it_was(name):
    module = OPTIMIZERS.module(name)

    def start():
        x = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
        return x, module.build([x], 0.05, 0.0, module.Options())

    def step(x, optimizer):
        optimizer.zero_grad()
        (x**2).sum().backward()
        optimizer.step()

    x, optimizer = start()
    for _ in range(100):
        step(x, optimizer)
    assert (x**2).sum() < 0.5

    again, other = start()
    with torch.no_grad():
        again.copy_(x)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(x, optimizer)
    step(again, other)
    assert torch.equal(x, again)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_unknown_options_are_named(name):
    with pytest.raises(SettingError, match="momentun"):
        OPTIMIZERS.module(name).Options.parse({"momentun": 1})
