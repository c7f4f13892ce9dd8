"""All runs of a study, one after the other or on many workers; what is finished stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..cluster import gone, open_client
from ..errors import FAILURES
from ..events import Event
from ..wording import sentence
from .plan import Run, StudyConfig, plan
from .run import check_test, hash_of, is_finished, perform

# a worker that dies costs its run one more beginning, from its last checkpoint
RETRIES = 2


@dataclass(frozen=True)
class RunsPlanned(Event):
    """How many runs there are, and how many are finished already."""

    total: int
    finished: int


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins, or goes on."""

    name: str
    number: int
    total: int


@dataclass(frozen=True)
class RunFinished(Event):
    """A run is trained and tested."""

    name: str
    finished: int
    total: int


@dataclass(frozen=True)
class RunFailed(Event):
    """A run ended in an error; the others go on."""

    name: str
    sentence: str


def conduct(
    data: Path,
    study: StudyConfig,
    out: Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
) -> Iterator[Event]:
    """Perform all runs of a study that are not finished.

    Parameters
    ----------
    data : Path
        Folder of pairs with an index.csv; a cluster's workers must see it by the same path.
    study : StudyConfig
    out : Path
        Folder of the study, likewise.
    workers : int
        Processes on this computer that work at the same time; each with the threads that the
        study's settings say.
    scheduler : str, optional
        Address of a dask scheduler, ``tcp://HOST:PORT``, whose workers are used instead.

    Yields
    ------
    Event
        `RunsPlanned`, then for each run `RunStarted`, `RunFinished` or `RunFailed`; in this
        process also those of `napari_nucleiseg.study.run.perform`.

    Raises
    ------
    NucleisegError
        If the study cannot begin: see `plan`, `is_finished` and `check_test`.
    """
    runs = plan(study)
    contents = hash_of(data)
    waiting = [run for run in runs if not is_finished(run, out, contents)]
    yield RunsPlanned(len(runs), len(runs) - len(waiting))
    if not waiting:
        return
    check_test(data, study.test_split)
    if workers > 1 or scheduler is not None:
        yield from _on_workers(data, waiting, len(runs), out, workers, scheduler)
        return
    done = len(runs) - len(waiting)
    for run in waiting:
        yield RunStarted(run.name, runs.index(run) + 1, len(runs))
        try:
            yield from perform(data, run, out)
        except FAILURES as error:
            yield RunFailed(run.name, sentence(error))
            continue
        done += 1
        yield RunFinished(run.name, done, len(runs))


def _on_workers(
    data: Path,
    waiting: Sequence[Run],
    total: int,
    out: Path,
    workers: int,
    scheduler: str | None,
) -> Iterator[Event]:
    done = total - len(waiting)
    count = max(1, min(workers, len(waiting)))
    with ExitStack() as opened:
        client = opened.enter_context(open_client(count, scheduler))
        from distributed import KilledWorker, as_completed

        names = {}
        futures = []
        for run in waiting:
            future = client.submit(
                _drain, data.resolve(), run, out.resolve(), pure=False, retries=RETRIES
            )
            names[future.key] = run.name
            futures.append(future)
            opened.callback(future.cancel)
            yield RunStarted(run.name, done + len(futures), total)
        for future in as_completed(futures):
            name, problem = names[future.key], future.exception()
            if problem is None:
                done += 1
                yield RunFinished(name, done, total)
            elif isinstance(problem, KilledWorker):
                yield RunFailed(name, sentence(gone(name)))
            elif isinstance(problem, FAILURES):
                yield RunFailed(name, sentence(problem))
            else:
                raise problem


def _drain(data: Path, run: Run, out: Path) -> None:
    for _ in perform(data, run, out):
        pass
