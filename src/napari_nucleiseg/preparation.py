"""What a training begins with: micrographs, a network for them, and a device."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import distributed
from .assembly import build_model, fixed_tile, resolve_settings, start_from
from .config import TrainConfig
from .data.pairs import find_pairs, load_pairs
from .data.patches import TrainingImage
from .device import choose_device
from .errors import SettingError, TrainingError
from .events import DeviceChosen, Event, LeftOut, Notice
from .intensity import NormaliseConfig
from .models import MODELS
from .schedules import SCHEDULES


def hold_out(images: list[TrainingImage], config: TrainConfig) -> tuple[list[TrainingImage], ...]:
    """Split into training and held-out micrographs, the latter of every kind where possible."""
    rng = np.random.default_rng((config.seed, 2**31))
    kept: set[int] = set()
    for group in sorted({i.group for i in images}):
        mine = [n for n, i in enumerate(images) if i.group == group]
        count = min(round(len(mine) * config.held_out), len(mine) - 1)
        if config.held_out and len(mine) >= 10:
            count = max(count, 1)
        kept.update(int(n) for n in rng.permutation(mine)[:count])
    return (
        [i for n, i in enumerate(images) if n not in kept],
        [i for n, i in enumerate(images) if n in kept],
    )


def _with_classes(config: TrainConfig, found: int) -> TrainConfig:
    """Let a network that tells classes apart know how many there are.

    Raises
    ------
    SettingError
        If the config says otherwise than the data.
    """
    options = config.architecture_options
    if "classes" not in MODELS.module(config.architecture).Options.model_fields:
        return config
    asked = int(options.get("classes", found))
    if asked != found:
        raise SettingError(
            "The network is to tell apart other classes than the data has",
            f"architecture_options.classes = {asked}, and {found} in the data",
            "Leave the setting out, or add the files class1, class2, ...",
        )
    if found == 1:
        return config
    return config.model_copy(update={"architecture_options": {**options, "classes": found}})


@dataclass
class Prepared:
    """What a training begins with.

    Attributes
    ----------
    config : TrainConfig
        With what the user and the data left open.
    training, held_out : list of TrainingImage
    device : str
    model : torch.nn.Module
        Untrained.
    replay : float
        Share of the patches that come from replayed micrographs.
    """

    config: TrainConfig
    training: list[TrainingImage]
    held_out: list[TrainingImage]
    device: str
    model: nn.Module
    replay: float = 0.0


@dataclass(frozen=True)
class Material:
    """Micrographs that are read already, and what they are for.

    Attributes
    ----------
    training, held_out : tuple of TrainingImage
    name : str
        Where they are from, for messages.
    replay : float
        Share of the patches that come from those that are replayed, 0..1.
    """

    training: tuple[TrainingImage, ...]
    held_out: tuple[TrainingImage, ...]
    name: str
    replay: float = 0.0

    def __str__(self) -> str:
        return self.name


def read_images(
    data: Path, normalise: NormaliseConfig
) -> Generator[Event, None, list[TrainingImage]]:
    """Read what a folder has to train on: the pairs of its split ``train``.

    Parameters
    ----------
    data : Path
        See `napari_nucleiseg.data.pairs.find_pairs`.
    normalise : NormaliseConfig

    Yields
    ------
    Event
        `Notice`, and `LeftOut` for what cannot be used.

    Returns
    -------
    list of TrainingImage

    Raises
    ------
    TrainingError
        If the folder has no such pair.
    """
    pairs, notices = find_pairs(data)
    for text in notices:
        yield Notice(text)
    pairs = [p for p in pairs if p.split == "train"]
    if not pairs:
        raise TrainingError("No pair is in the split 'train'", str(data / "index.csv"))
    images: list[TrainingImage] = []
    for item in load_pairs(pairs, normalise):
        if not isinstance(item, TrainingImage):
            yield item
        elif (item.labels >= 0).any():
            images.append(item)
        else:
            yield LeftOut(f"{item.name} is left out: its label image is ignored everywhere (-1)")
    return images


def prepare(
    data: Path | Material, config: TrainConfig, *, anew: bool = True
) -> Generator[Event, None, Prepared]:
    """Read the micrographs, check that they and the settings go together, build the network.

    Parameters
    ----------
    data : Path or Material
        See `train`.
    config : TrainConfig
    anew : bool
        Whether the network begins as ``config.start`` says; its weights are else set later.

    Yields
    ------
    Event
        `Notice` and `DeviceChosen`.

    Returns
    -------
    Prepared

    Raises
    ------
    SettingError, TrainingError
        If settings or data cannot be used.
    """
    config = resolve_settings(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    if isinstance(data, Material):
        training, held_out = list(data.training), list(data.held_out)
    else:
        images = yield from read_images(data, NormaliseConfig())
        training, held_out = hold_out(images, config)
    if not training:
        raise TrainingError("No micrograph can be used for training", str(data))
    if not any((i.labels > 0).any() for i in training):
        raise TrainingError(
            "No nucleus is marked in any label image", str(data), "Check the label images"
        )
    if not isinstance(data, Material):
        yield Notice(f"Micrographs that train: {len(training)}; held out: {len(held_out)}")
    if config.held_out and not held_out:
        yield Notice(
            "Too few to hold one out: no scores are shown, and the last epoch is kept instead of "
            "the best. Add micrographs, ten of a kind, or raise held_out"
        )
    if not held_out and getattr(SCHEDULES.module(config.schedule), "SCORES", False):
        raise TrainingError(
            f"The schedule {config.schedule} goes by held-out micrographs, and there are none",
            str(data),
            "Raise held_out, or choose another schedule",
        )

    classes = training[0].classes
    config = _with_classes(config, classes)
    if classes > 1 and config.architecture_options.get("classes") != classes:
        yield Notice(
            f"{config.architecture} knows no classes: nuclei of all {classes} are taken together"
        )
    device, reason = choose_device(config.device)
    device = distributed.local_device(device)
    yield DeviceChosen(device, "torch", reason)
    model = build_model(config)
    multiple = int(model.multiple)  # type: ignore[arg-type]
    fixed = fixed_tile(model)
    if fixed is not None and config.patch_px != fixed:
        raise SettingError(
            f"This {config.architecture} takes patches of {fixed} px alone",
            f"patch_px = {config.patch_px}",
            f"Use {fixed}, or another size of the network",
        )
    if config.patch_px % multiple:
        nearest = max(multiple, round(config.patch_px / multiple) * multiple)
        raise SettingError(
            f"Patches for {config.architecture} must be a multiple of {multiple} px",
            f"patch_px = {config.patch_px}",
            f"Use {nearest}",
        )
    if config.start is not None and anew:
        yield start_from(model, config)
    replay = data.replay if isinstance(data, Material) else 0.0
    return Prepared(config, training, held_out, device, model, replay)
