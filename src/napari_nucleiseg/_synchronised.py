"""Batch normalisation over the batches of several processes on the CPU."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx


class _SumOfAll(Function):
    """Sum over the processes, whose gradient is the sum of their gradients."""

    @staticmethod
    def forward(_context: FunctionCtx, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def _sum_of_all(value: Tensor) -> Tensor:
    total: Tensor = _SumOfAll.apply(value)
    return total


class SharedBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose mean and variance are those of all processes' patches."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if not self.training:
            rested: Tensor = super().forward(x)
            return rested
        values = x.float()
        count = values.numel() / values.shape[1] * dist.get_world_size()
        mean = _sum_of_all(values.sum((0, 2, 3))) / count
        centred = values - mean.view(1, -1, 1, 1)
        variance = _sum_of_all((centred**2).sum((0, 2, 3))) / count
        if self.track_running_stats and self.running_mean is not None:
            self._remember(mean.detach(), variance.detach() * count / max(count - 1, 1))
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        result = centred * scale.view(1, -1, 1, 1)
        if self.affine:
            result = result + self.bias.view(1, -1, 1, 1)
        normalised: Tensor = result.to(x.dtype)
        return normalised

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:
            share = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def share_batch_norms(model: nn.Module) -> None:
    """Replace every batch normalisation inside a network by a shared one of the same weights."""
    for parent in list(model.modules()):
        for name, norm in list(parent.named_children()):
            if type(norm) is nn.BatchNorm2d:
                new = SharedBatchNorm2d(
                    norm.num_features,
                    norm.eps,
                    norm.momentum,
                    norm.affine,
                    norm.track_running_stats,
                )
                new.weight, new.bias = norm.weight, norm.bias
                new.running_mean, new.running_var = norm.running_mean, norm.running_var
                new.num_batches_tracked = norm.num_batches_tracked
                new.training = norm.training
                setattr(parent, name, new)
