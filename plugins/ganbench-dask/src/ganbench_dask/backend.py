"""The backend that hands runs to a Dask cluster."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict

from distributed import Client, Event, Future, as_completed

from ganbench.protocols import Backend, Job, JobEnd
from ganbench_dask.child import execute

__all__ = ["dask"]


def dask(scheduler: str | None = None) -> Backend:
    """The workers of a Dask cluster, one run for each of their threads.

    `scheduler`: where the cluster's scheduler listens, such as tcp://10.0.0.1:8786; if not given,
    what DASK_SCHEDULER_ADDRESS says. The workers have the same packages installed and see the
    results folder under the same path.
    """
    address = scheduler or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        raise ValueError(
            "it must be told where the cluster is: --scheduler tcp://HOST:8786, "
            "or DASK_SCHEDULER_ADDRESS"
        )
    return Dask(address)


class Dask:
    """Jobs as tasks of a cluster. Nothing is kept there: what counts lies in the folder."""

    def __init__(self, scheduler: str) -> None:
        self.scheduler = scheduler

    def run(
        self, jobs: Sequence[Job], report: Callable[[JobEnd], None], stop: Callable[[], bool]
    ) -> None:
        if not jobs or stop():
            return
        with _client(self.scheduler) as client:
            ended = Event(f"ganbench-{uuid.uuid4().hex}", client=client)
            futures = {
                client.submit(execute, asdict(job), ended.name, pure=False): job for job in jobs
            }
            try:
                _follow(client, futures, report, stop, ended)
            except KeyboardInterrupt:
                ended.set()
                _follow(client, futures, report, lambda: True, ended)
                raise


def _follow(
    client: Client,
    futures: dict[Future, Job],
    report: Callable[[JobEnd], None],
    stop: Callable[[], bool],
    ended: Event,
) -> None:
    """Report each task that ends, once. After a stop those that have not begun end at once."""
    for future in as_completed(list(futures), loop=client.loop):
        job = futures.pop(future)
        end = _end_of(future, job)
        if end.status != "skipped" or job.not_after is not None:
            report(end)
        if stop() and not ended.is_set():
            ended.set()


def _end_of(future: Future, job: Job) -> JobEnd:
    error = future.exception()
    if error is not None:
        return JobEnd(job.run_id, "lost", f"{type(error).__name__}: {error}")
    return JobEnd(**future.result())


def _client(address: str) -> Client:
    try:
        return Client(address, timeout=60, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ConnectionError(f"no Dask scheduler answers at {address}: {error}") from error
