from __future__ import annotations

import copy
import io

import pytest
import torch

from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.optimizers import OPTIMIZERS


def small_network():
    """Weights of two and of four axes, biases, and a loss that is convex in the last of them."""
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 3),
    )


def two_groups(network):
    """As training passes them."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def step(optimizer, loss, two_passes):
    def fill_gradients():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    fill_gradients()
    if two_passes:
        optimizer.step(fill_gradients)
    else:
        optimizer.step()


def through_a_file(state):
    """As a checkpoint keeps it."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_descends_a_bowl_and_resumes_where_it_was(name):
    module = OPTIMIZERS.module(name)
    two_passes = getattr(module, "TWO_PASSES", False)

    def start():
        x = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
        return x, module.build([x], 0.03, 0.0, module.Options())

    x, optimizer = start()
    for _ in range(300):
        step(optimizer, lambda: (x**2).sum(), two_passes)
    assert (x**2).sum() < 0.5

    again, other = start()
    with torch.no_grad():
        again.copy_(x)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(optimizer, lambda: (x**2).sum(), two_passes)
    step(other, lambda: (again**2).sum(), two_passes)
    assert torch.equal(x, again)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_fits_a_layer_by_least_squares_at_its_own_rate(name):
    """Convex, with weights of two axes, at the learning rate that its source advises."""
    module = OPTIMIZERS.module(name)
    two_passes = getattr(module, "TWO_PASSES", False)
    torch.manual_seed(0)
    inputs = torch.randn(64, 4)
    truth = inputs @ torch.tensor([[1.0, -1.0], [0.5, 0.2], [0.0, 1.0], [-0.7, 0.3]])
    layer = torch.nn.Linear(4, 2)
    optimizer = module.build(layer.parameters(), module.LEARNING_RATE, 0.0, module.Options())

    def loss():
        return ((layer(inputs) - truth) ** 2).mean()

    before = loss().item()
    for _ in range(200):
        step(optimizer, loss, two_passes)
    assert loss().item() < 0.95 * before


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_goes_on_bit_for_bit_from_a_file_with_several_groups_and_weight_decay(name):
    module = OPTIMIZERS.module(name)
    two_passes = getattr(module, "TWO_PASSES", False)
    generator = torch.Generator().manual_seed(1)
    batches = [torch.randn(5, 2, 4, 4, generator=generator) for _ in range(6)]

    def run(network, optimizer, part):
        for images in part:
            step(optimizer, lambda images=images: (network(images) ** 2).mean(), two_passes)
        getattr(optimizer, "epoch_step", lambda: None)()

    whole = small_network()
    optimizer = module.build(two_groups(whole), 0.01, 0.01, module.Options())
    run(whole, optimizer, batches[:3])
    weights = through_a_file(whole.state_dict())
    state = through_a_file(optimizer.state_dict())
    run(whole, optimizer, batches[3:])

    parts = small_network()
    parts.load_state_dict(weights)
    other = module.build(two_groups(parts), 0.01, 0.01, module.Options())
    other.load_state_dict(state)
    run(parts, other, batches[3:])
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_the_memory_layout_of_weights_does_not_matter(name):
    module = OPTIMIZERS.module(name)
    two_passes = getattr(module, "TWO_PASSES", False)
    torch.manual_seed(0)
    images = torch.randn(5, 2, 4, 4)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = small_network().to(memory_format=layout)
        optimizer = module.build(two_groups(network), 0.01, 0.01, module.Options())
        for _ in range(3):
            step(optimizer, lambda n=network: (n(images) ** 2).mean(), two_passes)
        found.append([p.detach() for p in network.parameters()])
    # a bias before a normalisation has no gradient but rounding
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*found, strict=True) if a.ndim > 1)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_defaults_name_their_source(name):
    module = OPTIMIZERS.module(name)
    assert module.LEARNING_RATE > 0
    assert module.WEIGHT_DECAY >= 0
    assert "default" in module.__doc__.lower() or "paper" in module.__doc__.lower()
    assert all(field.description for field in module.Options.model_fields.values())


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_unknown_options_are_named(name):
    with pytest.raises(SettingError, match="momentun"):
        OPTIMIZERS.module(name).Options.parse({"momentun": 1})
