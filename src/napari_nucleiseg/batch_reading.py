"""Reading the next file while the network works on the present one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from types import TracebackType

from .batch import ReadFile, read_file
from .batch_plan import BatchFile
from .config import SegmentConfig
from .io._decoding import available_bytes
from .result_names import Item

# three components of 16 bits are more than most micrographs have
_BYTES_PER_PIXEL = 6
# of the free memory; decoding the present file needs most of it
_SHARE = 0.1


class ReadAhead:
    """Files in their order, each read on a thread as soon as the one before it is taken.

    One file is ahead and no more. One that would take too much of the free memory is read when
    its turn comes. What goes wrong while reading is raised when the file is taken.

    Parameters
    ----------
    files : sequence of BatchFile
    settings : SegmentConfig
    """

    def __init__(self, files: Sequence[BatchFile], settings: SegmentConfig) -> None:
        self._next = {one.item: two for one, two in pairwise(files) if _fits(two)}
        self._settings = settings
        self._coming: dict[Item, Future[ReadFile]] = {}
        self._thread = ThreadPoolExecutor(1, "reading")

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def take(self, item: Item) -> ReadFile:
        """Give a file, and begin to read the next one.

        Raises
        ------
        NucleisegError
            See `batch.read_file`.
        """
        future = self._coming.pop(item, None)
        try:
            return read_file(item, self._settings) if future is None else future.result()
        finally:
            following = self._next.get(item)
            if following is not None:
                work = partial(read_file, following.item, self._settings)
                self._coming[following.item] = self._thread.submit(work)


def _fits(file: BatchFile) -> bool:
    free = available_bytes()
    if file.megapixels is None or free is None:
        # such formats stay in their file until they are looked at
        return True
    return file.megapixels * 1e6 * _BYTES_PER_PIXEL < _SHARE * free
