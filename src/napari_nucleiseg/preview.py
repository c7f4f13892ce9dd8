"""Patches of a fine-tuning before it begins, exactly as the network will see them.

What draws them is what the training itself draws with; this module reads and shows. It is light to
import: PyTorch comes with the first batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .config import FinetuneConfig
from .events import Event, LeftOut
from .overlay import OUTLINE_RGB, outlines

# not reviewed: neither teaches nor counts
IGNORED_SHARE = 0.35
GAP_PX = 4
GAP_GREY = 128


@dataclass(frozen=True)
class BatchDrawn(Event):
    """The patches of one step of a training.

    Attributes
    ----------
    step : int
        From 0.
    images : (B, 3, S, S) float32 ndarray
        What goes into the network.
    labels : (B, S, S) int32 ndarray
        What it is to find: 0 background, 1..N nuclei, -1 not reviewed.
    micrographs : int
        How many corrected micrographs the patches are drawn from.
    replay : float
        Share of the patches that come from crops that keep the old skill, 0..1.
    left_out : tuple of str
        What cannot be learned from, one sentence each.
    """

    step: int
    images: np.ndarray
    labels: np.ndarray
    micrographs: int
    replay: float
    left_out: tuple[str, ...]


def draw_batch(data: Path, config: FinetuneConfig, step: int = 0) -> Iterator[Event]:
    """Draw the patches that a fine-tuning on some data begins with.

    Parameters
    ----------
    data : Path
        See `napari_nucleiseg.finetuning.finetune`.
    config : FinetuneConfig
    step : int
        Which step, from 0.

    Yields
    ------
    Event
        `BatchDrawn`.

    Raises
    ------
    NucleisegError
        If model, settings or corrections cannot be used.
    """
    # imports PyTorch
    from .assembly import variation
    from .data.patches import PatchSampler
    from .finetuning.task import begin

    left_out: list[str] = []
    # nothing is written before the plan is made, so no folder is needed
    beginning = begin(data, config, Path("preview"), goes_on=True)
    with closing(beginning):
        while True:
            try:
                event = next(beginning)
            except StopIteration as end:
                task = end.value
                break
            if isinstance(event, LeftOut):
                left_out.append(event.text)
    material = task.runs[0].material
    sampler = PatchSampler(material.training, task.settings, material.replay)
    images, labels = sampler.batch(step, variation(task.settings, 0.0))
    yield BatchDrawn(
        step,
        images.numpy(),
        labels.numpy(),
        len(task.corrections),
        material.replay,
        tuple(left_out),
    )


def draw_patch(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Draw one patch with the outlines of its nuclei; what was not reviewed is dark.

    Parameters
    ----------
    image : (3, H, W) float ndarray
        Normalised intensities; over 1 is white.
    labels : (H, W) int32 ndarray

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    shown = np.clip(image, 0, 1) * np.where(labels < 0, IGNORED_SHARE, 1)
    picture: np.ndarray = np.moveaxis(shown * 255 + 0.5, 0, -1).astype(np.uint8)
    picture[outlines(labels)] = OUTLINE_RGB
    return picture


def draw_grid(images: np.ndarray, labels: np.ndarray, columns: int = 2) -> np.ndarray:
    """Draw all patches of a batch beside and below each other.

    Parameters
    ----------
    images : (B, 3, S, S) float ndarray
    labels : (B, S, S) int32 ndarray
    columns : int

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    count, side = len(labels), labels.shape[-1]
    columns = min(columns, count)
    rows = -(-count // columns)
    step = side + GAP_PX
    picture = np.full((rows * step - GAP_PX, columns * step - GAP_PX, 3), GAP_GREY, np.uint8)
    for n, (image, truth) in enumerate(zip(images, labels, strict=True)):
        y, x = n // columns * step, n % columns * step
        picture[y : y + side, x : x + side] = draw_patch(image, truth)
    return picture
