"""Processes of this machine, each on cores or a GPU of its own, each for many runs."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict

from ganbench.errors import GanbenchError
from ganbench.protocols import Backend, Job, JobEnd
from ganbench.sweep.backends.workers import ForkServer, Place, Worker, how_it_ended, start

__all__ = ["local", "places"]


def local(workers: int | None = None) -> Backend:
    """Processes of this machine, each pinned to cores of its own, or to a GPU.

    `workers`: how many. If not given, as many as the usable cores hold at the runs' `threads`, or
    for runs on CUDA one a GPU. Workers beyond the number of GPUs share one, which marks timings as
    not valid. Runs that name their GPU (`cuda:1`) have one worker. A process lives for many runs;
    one that dies loses only the run it was at, which is tried once more by a fresh one.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}, but must be 1 or more")
    if workers is not None and workers > len(_cores()):
        raise ValueError(
            f"workers is {workers}, but there are {len(_cores())} usable cores: "
            "two runs on one core would only slow each other and spoil both timings"
        )
    return Local(workers)


class Local:
    def __init__(self, workers: int | None) -> None:
        self.workers = workers

    def run(
        self, jobs: Sequence[Job], report: Callable[[JobEnd], None], stop: Callable[[], bool]
    ) -> None:
        if not jobs:
            return
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        at = places(jobs, self.workers)[: len(jobs)]
        on_cpu = all(job.settings["device"] == "cpu" for job in jobs)
        forks = on_cpu and ForkServer.can_fork(at[0])
        with closing(ForkServer(at[0])) if forks else nullcontext() as fork_server:
            _employ(at, fork_server, waiting, report, stop)


def _employ(
    at: Sequence[Place],
    fork_server: ForkServer | None,
    waiting: queue.SimpleQueue[Job],
    report: Callable[[JobEnd], None],
    stop: Callable[[], bool],
) -> None:
    """Have a crew at each place until nothing waits or somebody interrupts."""
    ends: queue.SimpleQueue[JobEnd | BaseException | None] = queue.SimpleQueue()
    crews = [_Crew(place, fork_server, waiting, ends, stop) for place in at]
    for crew in crews:
        crew.start()
    at_work = len(crews)
    interrupted: BaseException | None = None
    while at_work:
        try:
            end = ends.get()
            if end is None:
                at_work -= 1
            elif isinstance(end, BaseException):
                raise end
            else:
                report(end)
        except BaseException as error:
            if interrupted is not None:
                for crew in crews:
                    crew.kill()
            interrupted = interrupted or error
            for crew in crews:
                crew.leave()
    if interrupted is not None:
        raise interrupted


class _Crew(threading.Thread):
    """A thread that has one worker at a time do one job at a time."""

    def __init__(
        self,
        place: Place,
        fork_server: ForkServer | None,
        waiting: queue.SimpleQueue[Job],
        ends: queue.SimpleQueue[JobEnd | BaseException | None],
        stop: Callable[[], bool],
    ) -> None:
        super().__init__(daemon=True)
        self.place, self.fork_server = place, fork_server
        self.waiting, self.ends, self.stop = waiting, ends, stop
        self.worker: Worker | None = None
        self.leaving = False
        self.lock = threading.Lock()

    def run(self) -> None:
        try:
            while not (self.leaving or self.stop()):
                try:
                    job = self.waiting.get_nowait()
                except queue.Empty:
                    break
                self.ends.put(self._do(job))
        except BaseException as error:
            self.ends.put(error)
        finally:
            self.leave()
            if self.worker is not None:
                self.worker.wait()
            self.ends.put(None)

    def leave(self) -> None:
        """Let the worker save what it has and end."""
        with self.lock:
            self.leaving = True
            if self.worker is not None and self.worker.stdin and not self.worker.stdin.closed:
                self.worker.stdin.close()

    def kill(self) -> None:
        if self.worker is not None:
            self.worker.kill()

    def _do(self, job: Job) -> JobEnd:
        worker = self._ready_worker()
        if worker is None:
            return JobEnd(job.run_id, "interrupted")
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            worker.stdin.write(json.dumps(asdict(job)) + "\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
        except (BrokenPipeError, ValueError):  # it died, or was told to leave just now
            answer = ""
        if answer:
            return JobEnd(**json.loads(answer))
        if self.leaving:
            return JobEnd(job.run_id, "interrupted")
        code = worker.wait()
        self.worker = None
        return JobEnd(job.run_id, "lost", f"the process that ran it {how_it_ended(code)}")

    def _ready_worker(self) -> Worker | None:
        """The worker, started if need be. None if there shall be none any more."""
        if self.worker is not None:
            return self.worker
        with self.lock:
            if self.leaving:
                return None
            self.worker = worker = self._new_worker()
        assert worker.stdout is not None
        if not worker.stdout.readline() and not self.leaving:
            how = how_it_ended(worker.wait())
            raise GanbenchError(f"a worker could not start: it {how}; what it said is above")
        return worker

    def _new_worker(self) -> Worker:
        if self.fork_server is not None:
            with contextlib.suppress(OSError):
                return self.fork_server.fork(self.place)
        return start(self.place)


def places(jobs: Sequence[Job], workers: int | None) -> list[Place]:
    """Where workers go."""
    n_cores = len(_cores())
    cores = _cores() if hasattr(os, "sched_getaffinity") else []
    devices = [str(job.settings["device"]) for job in jobs]
    if any(device.startswith("cuda:") for device in devices):
        n = workers or 1
        return [Place(tuple(cores[i::n]), shares_gpu=n > 1) for i in range(n)]
    if "cuda" in devices:
        import torch

        gpus = torch.cuda.device_count()
        n = workers or gpus
        taken = Counter(i % gpus for i in range(n))
        return [Place(tuple(cores[i::n]), i % gpus, taken[i % gpus] > 1) for i in range(n)]
    threads = max(int(job.settings["threads"] or 1) for job in jobs)
    workers = workers or max(1, n_cores // threads)
    each = n_cores // workers
    return [Place(tuple(cores[i * each : (i + 1) * each])) for i in range(workers)]


def _cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
