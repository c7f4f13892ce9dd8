from __future__ import annotations

import pytest
import torch
from monai.losses.dice import DiceCELoss, DiceFocalLoss

from napari_nucleiseg.losses import LOSSES


@pytest.fixture(params=LOSSES.names())
def loss(request):
    module = LOSSES.module(request.param)
    return module.build(module.Options())


@pytest.fixture
def batch():
    torch.manual_seed(0)
    truth = (torch.rand(3, 1, 16, 20) > 0.7).float()
    return torch.randn(3, 2, 16, 20), truth, torch.ones_like(truth)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("dice_focal", DiceFocalLoss(to_onehot_y=True, softmax=True)),
        ("dice_bce", DiceCELoss(to_onehot_y=True, softmax=True)),
    ],
)
def test_where_all_pixels_count_it_is_that_of_monai(name, theirs, batch):
    module = LOSSES.module(name)
    logits, truth, counted = batch
    ours = module.build(module.Options())(logits, truth, counted)
    torch.testing.assert_close(ours, theirs(logits, truth))


def test_what_does_not_count_has_no_part_and_no_gradient(loss, batch):
    logits, truth, counted = batch
    counted[:, :, :, 12:] = 0
    logits.requires_grad_()
    before = loss(logits, truth, counted)
    (gradient,) = torch.autograd.grad(before, logits)
    assert not gradient[..., 12:].any()
    assert gradient[..., :12].any()
    other = logits.detach().clone()
    other[..., 12:] += 10
    torch.testing.assert_close(loss(other, truth, counted), before.detach())
    cut = (t[..., :12] for t in (logits.detach(), truth, counted))
    torch.testing.assert_close(loss(*cut), before.detach())


def test_a_perfect_answer_costs_next_to_nothing(loss, batch):
    _, truth, counted = batch
    sure = 30 * torch.cat((1 - truth, truth), 1) - 15
    assert loss(sure, truth, counted) < 1e-3
