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
    is_replay : bool
        Whether it is there to keep an old skill, not to teach a new one.
    """

    image: np.ndarray
    labels: np.ndarray
    name: str
    classes: int = 1
    is_replay: bool = False

    @property
    def group(self) -> str:
        """Kind of picture: ``colour``, ``bright`` or ``dark`` background."""
        if self.image.shape[0] == 3:
            return "colour"
        return "bright" if float(np.median(self.image[0, ::4, ::4])) > 0.5 else "dark"


class PatchSampler:
    """Draws batches; the same seed and step give the same batch, whatever was drawn before.

    Kinds of picture are drawn by the square root of their number, so that rare ones count, and
    large micrographs by the square root of their area. Where only parts of a micrograph are
    reviewed, each patch shows some of them. Replayed micrographs get a share of the patches of
    their own.

    Parameters
    ----------
    images : sequence of TrainingImage
    config : TrainConfig
    replay : float
        Share of the patches that come from replayed micrographs, 0..1.
    """

    def __init__(
        self, images: Sequence[TrainingImage], config: TrainConfig, replay: float = 0.0
    ) -> None:
        self.images, self.config = list(images), config
        self.reviewed = [_reviewed(i.labels) for i in self.images]
        replayed = np.array([i.is_replay for i in self.images])
        weights = np.zeros(len(self.images))
        for members, share in ((~replayed, 1 - replay), (replayed, replay)):
            if members.any():
                weights[members] = share * self._weights(np.flatnonzero(members))
        self.weights = weights / weights.sum()

    def _weights(self, members: np.ndarray) -> np.ndarray:
        """How often each of some images is drawn, in all 1."""
        groups = [self.images[n].group for n in members]
        area = np.array([self.images[n].labels.size for n in members], float)
        within = np.sqrt(np.clip(area / self.config.patch_px**2, 1, 16))
        weights = np.zeros(len(groups))
        for group in set(groups):
            mine = np.array([g == group for g in groups])
            weights[mine] = within[mine] / within[mine].sum() * np.sqrt(mine.sum())
        total: float = weights.sum()
        return np.asarray(weights / total)

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
        chosen = int(rng.choice(len(self.images), p=self.weights))
        source = self.images[chosen]

        def cut() -> tuple[Tensor, np.ndarray]:
            centre = self._centre(chosen, rng)
            return window(source.image, source.labels, centre, size, augment, rng, source.classes)

        patch, truth = cut()
        while not (truth >= 0).any():
            patch, truth = cut()
        if augment.dim and rng.random() < augment.dim:
            patch = dim_nuclei(patch, truth, rng)
        return vary_intensity(patch, augment, rng), truth

    def _centre(self, chosen: int, rng: np.random.Generator) -> tuple[float, float]:
        """Middle of a patch of an image: anywhere, or close to something reviewed."""
        places = self.reviewed[chosen]
        height, width = self.images[chosen].labels.shape
        # beyond its border a micrograph is mirrored, which is better than never to reach a corner
        inner = self.config.patch_px / (2 if places is None else 4)
        margins = np.minimum(inner, np.array([height, width]) / 2)
        most = np.array([height, width]) - margins
        if places is None:
            y, x = rng.uniform(margins, most)
        else:
            near = places[int(rng.integers(len(places)))] + rng.uniform(-inner, inner, 2)
            y, x = np.clip(near, margins, most)
        return float(y), float(x)


def _reviewed(labels: np.ndarray) -> np.ndarray | None:
    """(N, 2) places (y, x) of reviewed pixels, some of each area; None where all are.

    Raises
    ------
    ValueError
        If no pixel is.
    """
    known = labels >= 0
    if known.all():
        return None
    if not known.any():
        raise ValueError("an image without a reviewed pixel has no patches")
    places = 4 * np.argwhere(known[::4, ::4])
    return places if len(places) else np.argwhere(known)
