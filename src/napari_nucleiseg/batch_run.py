"""All micrographs of a folder, file by file, in this process or on many workers.

A file whose results are there already, made with the same settings, is left as it is: so a run
that was stopped goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from typing import cast

from .batch import prepare_folder
from .batch_config import BatchConfig
from .batch_events import BatchEnded, FileBegun, FileFailed, FileFinished
from .batch_file import file_events
from .batch_plan import BatchFile
from .batch_reading import ReadAhead
from .batch_record import done_before, is_done
from .batch_summary import write_summary
from .batch_workers import on_workers
from .config import JoinConfig, SegmentConfig
from .engine import build_engine
from .errors import SettingError
from .events import Event
from .export import ready
from .store import find_model


def run_batch(
    files: Sequence[BatchFile],
    config: BatchConfig,
    settings: SegmentConfig,
    joining: JoinConfig | None = None,
) -> Iterator[Event]:
    """Segment files, and sum up in a table and a page of pictures.

    Parameters
    ----------
    files : sequence of BatchFile
    config : BatchConfig
    settings : SegmentConfig
    joining : JoinConfig, optional
        Whether planes of stacks are joined, and how.

    Yields
    ------
    Event
        `DeviceChosen`; of each file `FileBegun`, `FileNoticed`, `TileDone`, and `FileFinished` or
        `FileFailed`; last `BatchEnded`. In this process, files come one after the other; on
        workers several are under way, and `TileDone` comes of slides alone.

    Raises
    ------
    NucleisegError
        If model, device, workers or what exports need are not there, the output folder cannot be
        written to, or stacks shall be exported.
    """
    started = time.monotonic()
    if config.exports and joining and joining.join != "none":
        raise SettingError(
            "Only single planes can be exported", "--export with --join", "Leave one of them out"
        )
    ready(config.exports)
    model = find_model(settings.model)
    if config.scheduler is None:
        # a device that is not there is one error, not one for each file
        build_engine(model, settings)
    was_there = config.out.exists()
    prepare_folder(config.out)
    done = {
        number
        for number, file in enumerate(files)
        if config.resume and is_done(file.item, config, settings, model.sha256, joining)
    }
    is_alone = config.workers == 1 and config.scheduler is None
    work = (_one_by_one if is_alone else on_workers)(files, done, config, settings, joining)
    ended: dict[int, FileFinished | FileFailed] = {}
    gallery = None
    try:
        with closing(cast("Generator[Event, None, None]", work)) as events:
            for event in events:
                if isinstance(event, FileFinished | FileFailed):
                    ended[event.number] = event
                yield event
    finally:
        # of a run that was stopped as well
        if config.summary and ended:
            gallery = write_summary(files, ended, config.out)
        if not was_there and not any(config.out.iterdir()):
            config.out.rmdir()
    finished = [event for event in ended.values() if isinstance(event, FileFinished)]
    were_done = sum(event.was_done for event in finished)
    yield BatchEnded(
        len(files),
        len(finished) - were_done,
        were_done,
        len(ended) - len(finished),
        sum(event.nuclei for event in finished),
        time.monotonic() - started,
        gallery,
    )


def _one_by_one(
    files: Sequence[BatchFile],
    done: Collection[int],
    config: BatchConfig,
    settings: SegmentConfig,
    joining: JoinConfig | None,
) -> Iterator[Event]:
    """Segment in this process; while the network works on a file, the next one is read."""
    waiting = [file for number, file in enumerate(files) if number not in done]
    with ReadAhead(waiting, settings) as ahead:
        for number, file in enumerate(files):
            yield FileBegun(number)
            if number in done:
                yield done_before(number, file.item, config.out)
            else:
                yield from file_events(
                    number, file.item, config, settings, joining, read=ahead.take
                )
