"""Training on several processes, as `torchrun` starts them.

Each process takes its share of every batch, and the gradients are averaged by PyTorch's DDP. What
is not a mean over patches, such as batch statistics and the denominators of a loss, goes through
here, so that several processes learn what one learns. With one process nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

from .errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")


def process_count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Whether this process is the one that writes files and tells of the progress."""
    return process_number() == 0


def local_device(device: str) -> str:
    """Device of this process: each takes a GPU of its own."""
    if device != "cuda" or process_count() == 1:
        return device
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the other processes for the time of a training.

    Parameters
    ----------
    device : str
        Where they train: ``cuda`` processes talk by NCCL, others by Gloo.
    """
    if process_count() == 1:
        yield
        return
    import torch
    import torch.distributed as dist

    if device == "cuda":
        torch.cuda.set_device(local_device(device))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def share_of(count: int) -> range:
    """Which of ``count`` patches of a batch this process takes.

    Raises
    ------
    SettingError
        If they cannot be dealt out evenly.
    """
    processes = process_count()
    if count % processes:
        raise SettingError(
            f"The batch cannot be dealt out evenly to {processes} processes",
            f"batch_size = {count}",
            f"Use a multiple of {processes}",
        )
    return range(process_number(), count, processes)


def from_first(value: T) -> T:
    """What the first process has, in all of them."""
    if process_count() == 1:
        return value
    import torch.distributed as dist

    values: list[object] = [value]
    dist.broadcast_object_list(values)
    return cast("T", values[0])


def mean_of_all(value: Tensor) -> Tensor:
    """Mean of a tensor over the processes; gradients do not pass."""
    if process_count() == 1:
        return value
    import torch.distributed as dist

    total = value.detach().clone()
    dist.all_reduce(total)
    return total / process_count()


def shared(model: nn.Module) -> nn.Module:
    """Make the batch normalisations of a network see the whole batch.

    PyTorch's own synchronised normalisation works on GPUs alone; on the CPU ours takes its place.
    """
    if process_count() == 1:
        return model
    from torch import nn

    if next(model.parameters()).is_cuda:
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    from ._synchronised import share_batch_norms

    share_batch_norms(model)
    return model
