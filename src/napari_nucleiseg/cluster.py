"""Many processes at the same time: workers of dask, on this computer or on others."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from . import __version__
from .errors import DependencyError, FileError, NucleisegError, reason

PATIENCE = "10s"


@contextmanager
def open_client(
    workers: int, scheduler: str | None = None, *, shares_cores: bool = False
) -> Iterator[Any]:
    """Start worker processes, or use those of a scheduler; they end with the context.

    Parameters
    ----------
    workers : int
        How many processes on this computer.
    scheduler : str, optional
        Address of a dask scheduler, ``tcp://HOST:PORT``, whose workers are used instead; those go
        on when the context ends.
    shares_cores : bool
        Whether the processes on this computer share its cores evenly when they run networks.
        Otherwise each has the threads that dask gives it, or that its task asks for.

    Yields
    ------
    distributed.Client

    Raises
    ------
    DependencyError
        If dask.distributed is not installed.
    FileError
        If there is no scheduler at the address, or it has no workers that can do the work.
    NucleisegError
        If the scheduler ends while it is needed.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise DependencyError(
            "Dask is not installed", "", 'Install it: pip install "napari-nucleiseg[cluster]"'
        ) from error
    with ExitStack() as opened:
        # what they have to say of lost connections is said here, in one sentence
        opened.enter_context(_silent("distributed", "distributed.client"))
        address = scheduler
        if address is None:
            cluster = opened.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    # any free port: by itself it takes 8787, and warns where another run has it
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    # a worker that has to be ended while it works is no news
                    silence_logs=logging.ERROR,
                )
            )
            address = cluster.scheduler_address
        try:
            client = opened.enter_context(Client(address, timeout=PATIENCE))
        except (OSError, ValueError) as error:
            raise FileError(
                "There is no dask scheduler at this address",
                f"{scheduler} ({reason(error)})",
                "Start one (dask scheduler) with workers, or leave --scheduler out",
            ) from error
        if scheduler is not None:
            _check_workers(client, scheduler)
        else:
            share = max(1, (os.cpu_count() or 1) // workers) if shares_cores else None
            # also in processes that take the place of others
            client.register_worker_callbacks(partial(_settle, share))
        with lost_scheduler():
            yield client


@contextmanager
def lost_scheduler() -> Iterator[None]:
    """Say it in words where the scheduler ends while it is needed."""
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError

    try:
        yield
    except (FutureCancelledError, CommClosedError) as error:
        raise NucleisegError(
            "The dask scheduler has ended, or cannot be reached any more",
            "",
            "Start it again, with its workers, and do the same with --resume: what is done stays, "
            "and a slide goes on where it was",
        ) from error


@contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Let libraries write no log meanwhile."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _check_workers(client: Any, scheduler: str) -> None:
    """See that a scheduler has workers, with this version of this program."""
    if not client.ncores():
        raise FileError(
            "The dask scheduler has no workers",
            scheduler,
            f"Start some: dask worker {scheduler} --nthreads 1",
        )
    package = __package__ or ""
    seen = client.get_versions(packages=[package])["workers"].values()
    versions = {(worker or {}).get("packages", {}).get(package) for worker in seen}
    if None in versions:
        raise FileError(
            "A worker of the dask scheduler does not have this program",
            scheduler,
            f'Install it there, too: pip install "napari-nucleiseg[cluster]=={__version__}"',
        )
    if versions != {__version__}:
        others = ", ".join(sorted(versions - {__version__}))
        raise FileError(
            "A worker of the dask scheduler has another version of this program",
            f"{others} at {scheduler}, and {__version__} here",
            "Install the same version on all computers",
        )


def _settle(threads: int | None) -> None:
    """Get a process on this computer ready for work."""
    # Ctrl-C in the terminal is this program's to answer: it ends the workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if threads is not None:
        from .engine import limit_threads

        limit_threads(threads)


def gone(what: str) -> NucleisegError:
    """Give the error for work at which one worker after the other has ended."""
    return NucleisegError(
        "Its worker ended again and again", what, "Give it more memory: fewer workers at a time"
    )
