"""What a fine-tuning begins with: the old model, corrections, what learns and what judges."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..assembly import resolve_settings
from ..config import FinetuneConfig, TrainConfig
from ..data.blocks import Fold, count_nuclei, divide
from ..data.patches import TrainingImage
from ..device import choose_device
from ..errors import SettingError, TrainingError
from ..events import Comparing, Event, Notice
from ..metrics._matching import Overlaps
from ..model_names import next_name
from ..optimizers import OPTIMIZERS
from ..preparation import Material, read_images
from ..proof import tables_of
from ..replay import read_replay
from ..store import ModelCard, find_model

# share of patches that are replayed, by what may be forgotten
REPLAYED = {"nothing": 0.5, "a little": 0.25, "anything": 0.0}
# of what an optimizer's source advises for training from nothing
RATE_SHARE = 0.1
PATCH_PX = 128


@dataclass(frozen=True)
class Run:
    """One training: what learns, what judges, and where its checkpoints are."""

    folder: Path
    material: Material


@dataclass(frozen=True)
class Task:
    """All that a fine-tuning begins with.

    Attributes
    ----------
    config : FinetuneConfig
        With the new model's name filled in.
    settings : TrainConfig
        Of every training, but for its length.
    parent : ModelCard
    corrections : tuple of TrainingImage
    folds : tuple of Fold
        One, several for a cross-validation, or none.
    runs : tuple of Run
        The first makes the new model; others are for the cross-validation, one for each fold.
    replay_held_out : tuple of TrainingImage
    replay : float
        Share of the patches that are replayed.
    device : str
    out : Path
    """

    config: FinetuneConfig
    settings: TrainConfig
    parent: ModelCard
    corrections: tuple[TrainingImage, ...]
    folds: tuple[Fold, ...]
    runs: tuple[Run, ...]
    replay_held_out: tuple[TrainingImage, ...]
    replay: float
    device: str
    out: Path

    @property
    def is_cross_validated(self) -> bool:
        """Whether other networks are judged in the new model's place."""
        return len(self.folds) > 1

    @property
    def judged(self) -> tuple[TrainingImage, ...]:
        """Held-out corrections of all folds."""
        return tuple(image for fold in self.folds for image in fold.held_out)


def begin(
    data: Path, config: FinetuneConfig, out: Path, goes_on: bool
) -> Generator[Event, None, Task]:
    """Check settings, read everything, divide it."""
    parent = find_model(config.model)
    settings = resolve_settings(train_settings(config, parent))
    name = config.name or next_name(parent.name)
    if (out / f"{name}.safetensors").resolve() == parent.path.resolve():
        raise SettingError(
            "The new model would replace the one it begins with",
            str(parent.path),
            "Give the new one another name or another folder",
        )
    if config.threads:
        torch.set_num_threads(config.threads)
    corrections = yield from read_images(data, parent.normalise)
    nuclei = count_nuclei(corrections)
    if not nuclei:
        raise TrainingError(
            "No nucleus is marked in any label image", str(data), "Correct some nuclei first"
        )
    replay = REPLAYED[config.may_forget]
    replayed, replay_held_out = _replay(replay, parent)
    if replay and not replayed:
        yield Notice(
            f"{parent.name} tells classes of nuclei apart and the bundled crops do not: nothing is "
            "replayed, so that it may unlearn what it knew"
        )
        replay = 0.0
    folds = divide(corrections, config.seed)
    yield Notice(_division_in_words(nuclei, corrections, folds))
    # the model itself comes first: it is there when someone stops while it is being judged
    parts: list[tuple[str, Sequence[TrainingImage], Sequence[TrainingImage]]]
    if len(folds) == 1:
        parts = [("", folds[0].training, folds[0].held_out)]
    else:
        parts = [("", corrections, ())]
        parts += [(f"fold{n}", f.training, f.held_out) for n, f in enumerate(folds, 1)]
    runs = tuple(
        Run(out / folder, Material((*learns, *replayed), tuple(judges), str(data), replay))
        for folder, learns, judges in parts
    )
    if not goes_on:
        for run in runs:
            for file in ("last.pt", "best.pt"):
                (run.folder / file).unlink(missing_ok=True)
    device, _ = choose_device(config.device)
    return Task(
        config.model_copy(update={"name": name}),
        settings,
        parent,
        tuple(corrections),
        tuple(folds),
        runs,
        replay_held_out,
        replay,
        device,
        out,
    )


def train_settings(config: FinetuneConfig, parent: ModelCard) -> TrainConfig:
    """Settings of the training, but for its length and its learning rate if that is unset."""
    module = OPTIMIZERS.module(config.optimizer)
    advised = float(getattr(module, "LEARNING_RATE", 1e-3))
    own_rates = getattr(module, "OWN_RATES", False)
    return TrainConfig(
        architecture=parent.architecture,
        architecture_options=dict(parent.architecture_options),
        start=str(parent.path),
        optimizer=config.optimizer,
        optimizer_options=config.optimizer_options,
        loss=config.loss,
        learning_rate=config.learning_rate or RATE_SHARE * advised,
        schedule=config.schedule or ("constant" if own_rates else "cosine"),
        warmup=0.1,
        batch_size=config.batch_size,
        patch_px=config.patch_px or parent.fixed_tile or _patch(parent.multiple),
        ema_decay=0.99,
        validate_every=1,
        # who is held out is decided here, by place
        held_out=0.25,
        augment=config.augment,
        frozen=config.frozen,
        keep_norms=True,
        seed=config.seed,
        device=config.device,
        threads=config.threads,
    )


def _patch(multiple: int) -> int:
    return max(1, round(PATCH_PX / multiple)) * multiple


def _replay(
    replay: float, parent: ModelCard
) -> tuple[list[TrainingImage], tuple[TrainingImage, ...]]:
    """Crops that train and crops that judge."""
    if parent.classes > 1:
        return [], ()
    learns = read_replay(parent.normalise, ["train"]) if replay else []
    return learns, tuple(read_replay(parent.normalise, ["held-out"]))


def _division_in_words(
    nuclei: int, corrections: Sequence[TrainingImage], folds: Sequence[Fold]
) -> str:
    """Say what learns and what judges."""
    of = "1 micrograph" if len(corrections) == 1 else f"{len(corrections)} micrographs"
    begin = f"Corrections: {nuclei} nuclei in {of}"
    if not folds:
        return (
            f"{begin}. They lie in one place, so none can be held out: there will be no proof that "
            "the new model is better. Correct some nuclei elsewhere"
        )
    if len(folds) == 1:
        judging = count_nuclei(folds[0].held_out)
        return f"{begin}; {judging} of them, in blocks of their own, are held out to compare"
    return (
        f"{begin}: too few to hold some out. The new model learns from all of them, and "
        f"{len(folds)} more learn from a part each and are judged by the rest (cross-validation "
        "over blocks)"
    )


def compare_all(
    network: torch.nn.Module, images: Sequence[TrainingImage], task: Task, done: int, total: int
) -> Generator[Event, None, list[Overlaps]]:
    """Compare a network's result with the truth, image by image, so that it can be stopped."""
    tables: list[Overlaps] = []
    for number, image in enumerate(images, done + 1):
        tables += tables_of(network, [image], task.device)
        yield Comparing(number, total)
    return tables


def hashes(images: Sequence[TrainingImage]) -> dict[str, str]:
    """SHA-256 of pixels and labels of each micrograph."""
    found = {}
    for image in images:
        digest = hashlib.sha256(np.ascontiguousarray(image.image).tobytes())
        digest.update(np.ascontiguousarray(image.labels).tobytes())
        found[image.name] = digest.hexdigest()
    return found
