"""Training patches: which micrograph, where in it, how varied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import AugmentConfig, TrainConfig
from .augment import dim_nuclei, empty_patch, vary_intensity, window

REDRAWS = 20


@dataclass(frozen=True)
class TrainingImage:
    """A micrograph as the network sees it, with its label image.

    Attributes
    ----------
    image : (1, H, W) or (3, H, W) float16 ndarray
        Normalised intensities.
    labels : (H, W) int32 ndarray
        0 background, 1..N nuclei, -1 ignored.
    name : str
    classes : int
        How many classes the numbers carry; see `napari_nucleiseg.data.classes`.
    """

    image: np.ndarray
    labels: np.ndarray
    name: str
    classes: int = 1

    @property
    def group(self) -> str:
        """Kind of picture: ``colour``, ``bright`` or ``dark`` background."""
        if self.image.shape[0] == 3:
            return "colour"
        return "bright" if float(np.median(self.image[0, ::4, ::4])) > 0.5 else "dark"


class PatchSampler:
    """Draws batches; the same seed and step give the same batch, whatever was drawn before.

    Kinds of picture are drawn by the square root of their number, so that rare ones count, and
    large micrographs by the square root of their area.

    Parameters
    ----------
    images : sequence of TrainingImage
    config : TrainConfig
    """

    def __init__(self, images: Sequence[TrainingImage], config: TrainConfig) -> None:
        self.images, self.config = list(images), config
        groups = [i.group for i in self.images]
        area = np.array([i.labels.size for i in self.images], float) / config.patch_px**2
        within = np.sqrt(np.clip(area, 1, 16))
        weights = np.zeros(len(groups))
        for group in set(groups):
            mine = np.array([g == group for g in groups])
            weights[mine] = within[mine] / within[mine].sum() * np.sqrt(mine.sum())
        self.weights = weights / weights.sum()

    def batch(
        self, step: int, strength: float = 1.0, share: Iterable[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Patches of one step.

        Parameters
        ----------
        step : int
        strength : float
            How much of the configured variation they get, 0..1.
        share : iterable of int, optional
            Which patches of the batch to make; all of them where none are named.

        Returns
        -------
        (B, 3, S, S) float32 Tensor, (B, S, S) int32 Tensor
        """
        config = self.config
        augment = config.augment.weakened(strength)
        images, labels = [], []
        for n in range(config.batch_size) if share is None else share:
            rng = np.random.default_rng((config.seed, step, n))
            patch, truth = self._patch(rng, augment)
            for _ in range(REDRAWS if config.skip_empty else 0):
                if (truth > 0).any():
                    break
                patch, truth = self._patch(rng, augment)
            images.append(patch)
            labels.append(torch.from_numpy(truth))
        return torch.stack(images), torch.stack(labels)

    def _patch(self, rng: np.random.Generator, augment: AugmentConfig) -> tuple[Tensor, np.ndarray]:
        size = self.config.patch_px
        if rng.random() < augment.empty:
            return empty_patch(size, rng), np.zeros((size, size), np.int32)
        source = self.images[int(rng.choice(len(self.images), p=self.weights))]
        height, width = source.labels.shape
        margin_y, margin_x = min(size, height) / 2, min(size, width) / 2
        centre = (
            float(rng.uniform(margin_y, max(margin_y, height - margin_y))),
            float(rng.uniform(margin_x, max(margin_x, width - margin_x))),
        )
        patch, truth = window(
            source.image, source.labels, centre, size, augment, rng, source.classes
        )
        if augment.dim and rng.random() < augment.dim:
            patch = dim_nuclei(patch, truth, rng)
        return vary_intensity(patch, augment, rng), truth
