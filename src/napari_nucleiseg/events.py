"""What long work tells while it goes on: frozen records of plain values, made by generators.

Whoever drains the generator decides what becomes of them: the command line prints them, a dock
draws them, a test lists them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Event:
    """The root of all events."""


@dataclass(frozen=True)
class Notice(Event):
    """Something the user should know, in one sentence; work goes on."""

    text: str


@dataclass(frozen=True)
class LeftOut(Notice):
    """An input that could not be used; work goes on without it."""


@dataclass(frozen=True)
class Detail(Notice):
    """Something for who wants to know all."""


@dataclass(frozen=True)
class DeviceChosen(Event):
    """The device and network runtime that will be used, and why."""

    device: str
    engine: str
    reason: str

    @property
    def text(self) -> str:
        """One line for a status bar."""
        return f"{self.device} ({self.engine}): {self.reason}"


@dataclass(frozen=True)
class TileDone(Event):
    """One tile of a micrograph went through the network."""

    done: int
    total: int


@dataclass(frozen=True)
class NucleiWritten(Event):
    """A part of the nuclei of a large label image was measured and exported."""

    done: int
    total: int


@dataclass(frozen=True)
class Decoding(Event):
    """All tiles went through the network; now its maps become nuclei, in one long step."""


@dataclass(frozen=True)
class Segmented(Event):
    """A micrograph is segmented.

    Attributes
    ----------
    labels : (H, W) int32 ndarray
        0 is background, 1..N one nucleus each.
    count : int
        Number of nuclei.
    median_diameter_px : float
        Median equivalent-circle diameter in pixels; 0 without nuclei.
    seconds : float
        Time the segmentation took.
    manifest : dict
        All that is needed to repeat it: config, model, weights hash, versions, device.
    """

    labels: np.ndarray
    count: int
    median_diameter_px: float
    seconds: float
    manifest: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Streamed(Event):
    """A micrograph is segmented block by block or plane by plane; its label image is in a file.

    Attributes
    ----------
    path : Path
        OME-Zarr of blocks, OME-TIFF of planes: 0 is background, 1..N one nucleus each.
    count : int
        Number of nuclei.
    median_diameter_px : float
        Median equivalent-circle diameter in pixels; 0 without nuclei.
    seconds : float
        Time it took, without the parts of an earlier run that was stopped.
    manifest : dict
        All that is needed to repeat it.
    """

    path: Path
    count: int
    median_diameter_px: float
    seconds: float
    manifest: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PlaneDone(Event):
    """The nuclei of one plane of a stack are found, numbered by themselves until all are joined.

    Attributes
    ----------
    labels : Path
        NumPy file of all planes, (N, H, W) int32; planes that are not done yet are 0.
    plane : int
        Which one, from 0; planes need not come in their order.
    done, total : int
        How many planes are done, and how many there are.
    """

    labels: Path
    plane: int
    done: int
    total: int


@dataclass(frozen=True)
class Joined(Event):
    """All planes of a stack are segmented and their nuclei joined.

    Attributes
    ----------
    labels : Path
        NumPy file, (N, H, W) int32: one number for each nucleus through all planes.
    count : int
        Number of nuclei.
    median_diameter_px : float
        Median over the largest section of each nucleus, in pixels; 0 without nuclei.
    seconds : float
        Time it took.
    tracks : dict of (M,) ndarray
        Of time points, where each nucleus was when; see `joining.tracks_table`. Else empty.
    manifest : dict
        All that is needed to repeat it.
    """

    labels: Path
    count: int
    median_diameter_px: float
    seconds: float
    tracks: dict[str, np.ndarray] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned(Detail):
    """How long a fine-tuning is going to learn.

    Attributes
    ----------
    epochs, steps_per_epoch : int
        Of each training.
    runs : int
        Trainings: the new model's, and those of a cross-validation.
    """

    epochs: int
    steps_per_epoch: int
    runs: int


@dataclass(frozen=True)
class BatchDone(Event):
    """One optimizer step."""

    epoch: int
    step: int
    loss: float
    progress: float


@dataclass(frozen=True)
class RateTried(Event):
    """One step of a learning-rate range test: the step, of how many, its rate and loss."""

    step: int
    total: int
    learning_rate: float
    loss: float


@dataclass(frozen=True)
class RangeFound(Event):
    """The end of a learning-rate range test.

    Attributes
    ----------
    rates, losses, smoothed : tuple of float
        Of each step; the smoothed losses are averaged over the last steps.
    steepest : float
        Rate at which the loss falls fastest: a good one to train with.
    diverged : float or None
        Rate at which the loss had risen far above its lowest, if that happened.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    steepest: float
    diverged: float | None


@dataclass(frozen=True)
class EpochDone(Event):
    """One epoch: mean training loss, and the scores on held-out micrographs where measured."""

    epoch: int
    loss: float
    learning_rate: float
    seconds: float
    progress: float
    scores: dict[str, float] | None = None


@dataclass(frozen=True)
class Saved(Event):
    """A file was written completely."""

    path: Path
    what: str


@dataclass(frozen=True)
class Comparing(Event):
    """One more image was segmented to compare an old and a new model."""

    done: int
    total: int


@dataclass(frozen=True)
class Comparison:
    """Scores of an old and a new model on the same images.

    Attributes
    ----------
    where : str
        Which images, in words.
    images, nuclei : int
    before, after : dict of float
        ``dice``, ``iou``, ``ap50``, ``ap``, ``pq`` of all nuclei taken together.
    words : str
        Whether the difference in AP is beyond chance; empty where there are too few images.
    """

    where: str
    images: int
    nuclei: int
    before: dict[str, float]
    after: dict[str, float]
    words: str

    @property
    def gain(self) -> float:
        """Difference in AP."""
        return self.after["ap"] - self.before["ap"]


@dataclass(frozen=True)
class Finetuned(Event):
    """A fine-tuned model is saved, was read back, and has been compared with the old one.

    Attributes
    ----------
    path : Path
        Its weights.
    name : str
        What to choose it by.
    recommended : bool
        Whether it wins on corrections it has not learned from and still knows the old.
    reason : str
        Why, or why not, in one sentence.
    comparisons : tuple of Comparison
        Held-out corrections, where there are any, and the replay set.
    share : float
        How far it went from the old model's weights to the trained ones, 0..1.
    """

    path: Path
    name: str
    recommended: bool
    reason: str
    comparisons: tuple[Comparison, ...]
    share: float
