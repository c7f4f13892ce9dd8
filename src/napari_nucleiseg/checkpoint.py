"""Checkpoints: everything a training run needs to go on, never half a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .config import TrainConfig
from .errors import FileError
from .files import write_whole

VERSION = 1


@dataclass
class Checkpoint:
    """The state of a training run after an epoch.

    Attributes
    ----------
    config : TrainConfig
    weights, averaged : dict of Tensor
        The network's state as trained, and averaged over steps or epochs (the one to use).
    optimizer : dict
        State of the optimizer.
    epoch, step : int
        Finished epochs and optimizer steps.
    seconds, cpu_seconds : float
        Time spent training so far, and that of it in which a CPU was at work for it.
    scores : dict of float
        Last scores on the held-out micrographs.
    history : list of dict
        One record per epoch.
    data : dict
        Names of the training and held-out micrographs.
    averaged_epochs : int
        Epochs in the mean of stochastic weight averaging.
    median_diameter_px : float
        Of the nuclei it learns from; 0 where there are none, or where it is not known.
    """

    config: TrainConfig
    weights: dict[str, Tensor]
    averaged: dict[str, Tensor]
    optimizer: dict[str, Any]
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, list[str]] = field(default_factory=dict)
    averaged_epochs: int = 0
    median_diameter_px: float = 0.0


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; an earlier one of the same name is replaced only by a complete file."""
    state = {**vars(checkpoint), "config": checkpoint.config.model_dump_json(), "version": VERSION}
    write_whole(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    FileError
        If it is missing, damaged, or of a newer version.
    """
    if not path.is_file():
        raise FileError("There is no such checkpoint", str(path))
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        version = state.pop("version")
        state["config"] = TrainConfig.model_validate_json(state["config"])
        if version == VERSION:
            return Checkpoint(**state)
    except Exception as error:
        raise FileError(
            "The checkpoint cannot be read",
            str(path),
            "It is damaged, or another program or version wrote it; take a copy or train anew",
        ) from error
    raise FileError(
        "The checkpoint is of another version of this program",
        f"{path} has version {version}, this program reads {VERSION}",
        "Use the version of the program that wrote it, or train anew",
    )
