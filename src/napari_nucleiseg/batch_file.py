"""The events of one file of many: what goes wrong with it is its own."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, cast

from .batch import FileDone, ReadFile, complete_file, segment_file
from .batch_config import BatchConfig
from .batch_events import FileFailed, FileFinished, FileNoticed
from .batch_record import lacks_only_files_beside
from .config import JoinConfig, SegmentConfig
from .errors import FAILURES
from .events import DeviceChosen, Event, Notice, NucleiWritten, TileDone
from .result_names import Item
from .store import find_model
from .wording import is_foreseen, result, sentence

if TYPE_CHECKING:
    from .slide_workers import SlideWorkers


def file_events(
    number: int,
    item: Item,
    config: BatchConfig,
    settings: SegmentConfig,
    joining: JoinConfig | None,
    *,
    read: Callable[[Item], ReadFile] | None = None,
    workers: SlideWorkers | None = None,
) -> Iterator[Event]:
    """Segment a file; pixels and labels stay here.

    Parameters
    ----------
    number : int
        Its place in the list.
    item : Item
    config : BatchConfig
    settings : SegmentConfig
    joining : JoinConfig or None
    read : callable, optional
        Reads it; see `batch.read_file`.
    workers : SlideWorkers, optional
        Processes for a micrograph that goes block by block.

    Yields
    ------
    Event
        `TileDone`, `DeviceChosen`, `NucleiWritten`, `FileNoticed`, and last `FileFinished` or
        `FileFailed`.
    """
    notices: list[str] = []
    try:
        work = _work(item, config, settings, joining, read, workers)
        with closing(cast("Generator[Event, None, None]", work)) as events:
            for event in events:
                if isinstance(event, TileDone | DeviceChosen | NucleiWritten):
                    yield event
                elif isinstance(event, Notice) and event.text not in notices:
                    notices.append(event.text)
                    yield FileNoticed(number, event.text)
                elif isinstance(event, FileDone):
                    yield FileFinished(
                        number,
                        event.labels,
                        event.manifest,
                        event.segmented.count,
                        event.seconds,
                        False,
                        tuple(notices),
                        result(event.segmented, event.pixel_size_um),
                        event.segmented.median_diameter_px,
                        event.pixel_size_um,
                        event.overlay,
                        event.table,
                        event.exports,
                    )
    except FAILURES as error:
        yield FileFailed(number, sentence(error), is_foreseen(error), traceback.format_exc())


def _work(
    item: Item,
    config: BatchConfig,
    settings: SegmentConfig,
    joining: JoinConfig | None,
    read: Callable[[Item], ReadFile] | None,
    workers: SlideWorkers | None,
) -> Iterator[Event]:
    """Segment a file, or write what is missing beside its label image."""
    if config.resume:
        sha256 = find_model(settings.model).sha256
        record = lacks_only_files_beside(item, config, settings, sha256, joining)
        if record:
            return complete_file(
                item,
                config.out,
                settings,
                record,
                overlay=config.overlay,
                table=config.table,
                exports=config.exports,
                read=read,
            )
    return segment_file(
        item,
        config.out,
        settings,
        overlay=config.overlay,
        by_blocks=config.by_blocks,
        joining=joining,
        table=config.table,
        exports=config.exports,
        thumbnail=config.summary,
        read=read,
        workers=workers,
    )
