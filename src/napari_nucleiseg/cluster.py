"""Many processes at the same time: workers of dask, on this computer or on others."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

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
        If there is no scheduler at the address, or it has no workers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise DependencyError(
            "Dask is not installed", "", 'Install it: pip install "napari-nucleiseg[cluster]"'
        ) from error
    with ExitStack() as opened:
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
        if scheduler is not None and not client.ncores():
            raise FileError(
                "The dask scheduler has no workers",
                scheduler,
                f"Start some: dask worker {scheduler} --nthreads 1",
            )
        if scheduler is None:
            share = max(1, (os.cpu_count() or 1) // workers) if shares_cores else None
            # also in processes that take the place of others
            client.register_worker_callbacks(partial(_settle, share))
        yield client


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
