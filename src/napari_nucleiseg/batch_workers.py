"""Files of a folder on many workers: each file is a task, and of a slide each tile.

Workers write the results to the output folder, which they see by the same path, and send back what
there is to tell. A worker that ends costs the file it was at, which another one begins anew.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from .batch import goes_by_blocks, read_file
from .batch_config import BatchConfig
from .batch_events import FileBegun, FileFailed
from .batch_file import file_events
from .batch_plan import BatchFile
from .batch_record import done_before
from .cluster import gone, open_client
from .config import JoinConfig, SegmentConfig
from .errors import FAILURES
from .events import Event, NucleiWritten, TileDone
from .result_names import Item
from .slide_workers import SlideWorkers
from .wording import sentence


def on_workers(
    files: Sequence[BatchFile],
    done: Collection[int],
    config: BatchConfig,
    settings: SegmentConfig,
    joining: JoinConfig | None,
) -> Iterator[Event]:
    """Segment files on workers: small ones side by side, then slides one after the other.

    Parameters
    ----------
    files : sequence of BatchFile
    done : collection of int
        Numbers of those that are done already.
    config : BatchConfig
        ``workers`` and ``scheduler`` say which workers.
    settings : SegmentConfig
    joining : JoinConfig or None

    Yields
    ------
    Event
        See `batch_run.run_batch`.

    Raises
    ------
    NucleisegError
        If there are no workers.
    """
    for number in sorted(done):
        yield FileBegun(number)
        yield done_before(number, files[number].item, config.out)
    # workers may have another current folder
    config = config.model_copy(update={"out": Path(os.path.abspath(config.out))})
    items = {
        number: replace(
            file.item,
            path=Path(os.path.abspath(file.item.path)),
            files=tuple(Path(os.path.abspath(path)) for path in file.item.files),
        )
        for number, file in enumerate(files)
        if number not in done
    }
    if not items:
        return
    slides = [n for n in items if _is_slide(files[n], config, settings, joining)]
    small = [n for n in items if n not in slides]
    count = config.workers if slides else min(config.workers, len(small))
    with open_client(count, config.scheduler, shares_cores=True) as client:
        whole = config.model_copy(update={"by_blocks": False})
        yield from _side_by_side(client, {n: items[n] for n in small}, whole, settings, joining)
        parts = config.model_copy(update={"by_blocks": True})
        helpers = SlideWorkers(client)
        for number in slides:
            yield FileBegun(number)
            yield from file_events(number, items[number], parts, settings, joining, workers=helpers)


def _is_slide(
    file: BatchFile, config: BatchConfig, settings: SegmentConfig, joining: JoinConfig | None
) -> bool:
    """Whether a file goes block by block; of one that cannot be opened, its turn will tell."""
    pixels = None if file.megapixels is None else file.megapixels * 1e6
    if pixels is None and config.by_blocks is None:
        try:
            height, width = read_file(file.item, settings).micrograph.shape
        except FAILURES:
            return False
        pixels = height * width
    return goes_by_blocks(pixels or 0, config.by_blocks, joining)


def _side_by_side(
    client: Any,
    items: dict[int, Item],
    config: BatchConfig,
    settings: SegmentConfig,
    joining: JoinConfig | None,
) -> Iterator[Event]:
    """Let every worker have a file and one in reserve."""
    from distributed import KilledWorker, as_completed

    running, numbers, coming = as_completed(), {}, iter(items)

    def begin(number: int) -> FileBegun:
        future = client.submit(
            _segment, number, items[number], config, settings, joining, pure=False
        )
        numbers[future.key] = number
        running.add(future)
        return FileBegun(number)

    for number in islice(coming, 2 * sum(client.nthreads().values())):
        yield begin(number)
    for future in running:
        number, problem = numbers.pop(future.key), future.exception()
        if problem is None:
            yield from future.result()
        elif isinstance(problem, KilledWorker):
            yield FileFailed(number, sentence(gone(str(items[number].path))))
        else:
            raise problem
        for following in islice(coming, 1):
            yield begin(following)


def _segment(
    number: int,
    item: Item,
    config: BatchConfig,
    settings: SegmentConfig,
    joining: JoinConfig | None,
) -> list[Event]:
    """Segment a file on a worker."""
    events = file_events(number, item, config, settings, joining)
    return [event for event in events if not isinstance(event, TileDone | NucleiWritten)]
