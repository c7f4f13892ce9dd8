"""What there is to do in a folder: which files, how large, which are done already."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .batch import STREAM_PIXELS, open_item
from .batch_config import BatchConfig
from .batch_record import is_done
from .config import JoinConfig, SegmentConfig
from .errors import NucleisegError, SettingError
from .events import Event
from .inputs import find_items
from .io._size import size_of
from .result_names import Item
from .store import find_model
from .wording import sentence


@dataclass(frozen=True)
class BatchFile:
    """A file to segment.

    Attributes
    ----------
    item : Item
    megapixels : float or None
        What is to be segmented of it: one plane, or all that are joined. None where the file does
        not tell before it is read.
    is_done : bool
        Whether its results are there already, made with the same settings.
    """

    item: Item
    megapixels: float | None
    is_done: bool


@dataclass(frozen=True)
class BatchPlanned(Event):
    """What there is to do.

    Attributes
    ----------
    files : tuple of BatchFile
    seconds : float or None
        How long those that are not done and whose size is known will take, by the speed on the
        model's card.
    problems : tuple of str
        What cannot be looked into, in sentences.
    config : BatchConfig
        What it was made for.
    """

    files: tuple[BatchFile, ...]
    seconds: float | None
    problems: tuple[str, ...]
    config: BatchConfig


def plan_batch(config: BatchConfig, settings: SegmentConfig) -> Iterator[Event]:
    """Find the files to segment, and how long it will take.

    Parameters
    ----------
    config : BatchConfig
    settings : SegmentConfig

    Yields
    ------
    Event
        `BatchPlanned`.

    Raises
    ------
    NucleisegError
        If there are none, or the model is not there.
    """
    found = find_items([_input(config)], recursive=config.recursive, out=config.out)
    if not found.items:
        raise (
            found.errors[-1][1]
            if found.errors
            else SettingError("Nothing to segment", str(config.folder), "Check the folder")
        )
    files, seconds = look_at(found.items, config, settings)
    problems = [sentence(error) for _, error in found.errors]
    if found.skipped:
        names = ", ".join(path.name for path in found.skipped[:3])
        more = f" and {len(found.skipped) - 3} more" if len(found.skipped) > 3 else ""
        problems.append(f"Left out, as they are no images of a known format: {names}{more}")
    yield BatchPlanned(files, seconds, tuple(problems), config)


def look_at(
    items: Sequence[Item],
    config: BatchConfig,
    settings: SegmentConfig,
    joining: JoinConfig | None = None,
) -> tuple[tuple[BatchFile, ...], float | None]:
    """Look how large files are, which are done, and how long the others will take.

    Parameters
    ----------
    items : sequence of Item
    config : BatchConfig
        Of it, only what concerns the results counts.
    settings : SegmentConfig
    joining : JoinConfig, optional

    Returns
    -------
    files : tuple of BatchFile
    seconds : float or None
        Of those whose size is known, by the speed on the model's card; None where that is not
        known.
    """
    model = find_model(settings.model)
    files = []
    for item in items:
        done = is_done(item, config, settings, model.sha256, joining)
        files.append(BatchFile(item, _megapixels(item, settings, joining), done))
    left = [file for file in files if not (config.resume and file.is_done)]
    known = [file.megapixels for file in left if file.megapixels is not None]
    is_known = bool(model.speed) and len(known) + (not left) > 0
    return tuple(files), sum(known) / model.speed if is_known and model.speed else None


def _megapixels(item: Item, settings: SegmentConfig, joining: JoinConfig | None) -> float | None:
    """How much of a micrograph is to be segmented, by its header or by opening it."""
    axis = "none" if joining is None else joining.join
    size = size_of(item.path) if axis == "none" and item.series is None else None
    # opening what is large reads no pixels, and sees whether the file can hold what it claims
    is_large = size is not None and size[0] * size[1] > STREAM_PIXELS
    if is_large or axis != "none" or item.series is not None or item.path.is_dir():
        try:
            micrograph = open_item(item, settings)
        except (NucleisegError, OSError):
            # segmenting it will say what is wrong
            return None
        size = micrograph.shape
        if axis.upper() in micrograph.axes:
            planes: int = micrograph.pixels.shape[micrograph.axes.index(axis.upper())]
            return planes * size[0] * size[1] / 1e6
    return None if size is None else size[0] * size[1] / 1e6


def _input(config: BatchConfig) -> str:
    """The folder, or a pattern in it, as the command line takes it."""
    folder = os.path.expanduser(config.folder)
    if not os.path.isdir(folder):
        raise SettingError("There is no such folder", str(config.folder), "Choose another one")
    if not config.pattern:
        return str(folder)
    inner = "**" if config.recursive else ""
    return os.path.join(glob.escape(str(folder)), inner, config.pattern)
