"""Workers that are forked: as those that are started, and no one is left when a sweep is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from ganbench.protocols import Job
from ganbench.record import RunRecord
from ganbench.sweep.backends.workers import ForkServer, Place, Worker, how_it_ended, start
from ganbench.sweep.check import plan_runs

CORES = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
HERE = Place(CORES[-1:])
SETTINGS = {
    "generator": "mlp:hidden=[8]",
    "discriminator": "mlp:hidden=[8]",
    "data": "ring8",
    "metrics": "none",
    "steps": 30,
    "batch_size": 16,
    "z_dim": 4,
    "device": "cpu",
}

pytestmark = pytest.mark.skipif(
    not ForkServer.can_fork(HERE), reason="workers are forked on Linux from 5.14 on"
)


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    made = ForkServer(HERE)
    yield made
    made.close()


def ready(worker: Worker) -> int:
    """Its process, when it waits for jobs."""
    return int(json.loads(worker.stdout.readline())["ready"])


def do(worker: Worker, registry, out: Path, **settings) -> RunRecord:
    (run,) = plan_runs([SETTINGS | settings], registry)
    worker.stdin.write(json.dumps(asdict(Job(run.run_id, run.settings, str(out)))) + "\n")
    worker.stdin.flush()
    assert json.loads(worker.stdout.readline())["status"] == "completed"
    return RunRecord.load(out / "runs" / run.run_id)


def end(worker: Worker) -> int | None:
    worker.stdin.close()
    return worker.wait()


def test_a_forked_worker_is_as_one_that_is_started(fork_server, registry, tmp_path):
    started, forked = start(HERE), fork_server.fork(HERE)
    seen, records = [], []
    for worker, out in ((started, tmp_path / "started"), (forked, tmp_path / "forked")):
        process = psutil.Process(ready(worker))
        seen.append((process.cpu_affinity(), os.getsid(process.pid) == process.pid))
        # Threads are left open: as many as the cores that the worker has.
        records.append(do(worker, registry, out, threads=None))
        assert end(worker) == 0
    assert seen == [(list(HERE.cores), True)] * 2
    alone, other = records
    assert other.environment == alone.environment
    assert (other.environment["threads"], other.environment["usable_cores"]) == (1, 1)
    assert other.weights_sha256 == alone.weights_sha256
    # The libraries that are shared with the process that forked it are counted: without them it
    # would be a third less.
    ratio = other.throughput.peak_memory_mb / alone.throughput.peak_memory_mb
    assert ratio == pytest.approx(1, abs=0.2)  # pages of files count as the system maps them


def test_each_worker_has_its_own_cores(fork_server):
    workers = [fork_server.fork(Place((core,))) for core in CORES]
    pids = [ready(worker) for worker in workers]
    assert [psutil.Process(pid).cpu_affinity() for pid in pids] == [[core] for core in CORES]
    assert [end(worker) for worker in workers] == [0] * len(CORES)


def test_it_is_told_how_a_worker_ended(fork_server):
    worker = fork_server.fork(HERE)
    os.kill(ready(worker), signal.SIGTERM)
    assert worker.wait() == 0  # with nothing under way, it leaves
    worker = fork_server.fork(HERE)
    os.kill(ready(worker), signal.SIGSEGV)
    assert worker.wait() == worker.wait() == -signal.SIGSEGV
    assert how_it_ended(-signal.SIGSEGV) == "was ended by SIGSEGV"


def test_one_worker_is_killed_and_the_other_works_on(fork_server, registry, tmp_path):
    killed, other = fork_server.fork(HERE), fork_server.fork(HERE)
    killed.kill()  # before anybody knows its process
    assert killed.wait() == -signal.SIGKILL
    ready(other)
    assert do(other, registry, tmp_path).status == "completed"
    assert end(other) == 0
    other.kill()  # of nobody any more
    assert end(fork_server.fork(HERE)) == 0


def test_workers_outlive_the_process_that_forked_them_which_then_forks_no_more(registry, tmp_path):
    fork_server = ForkServer(HERE)
    worker = fork_server.fork(HERE)
    ready(worker)
    fork_server._process.kill()
    fork_server._process.wait()
    assert do(worker, registry, tmp_path).status == "completed"
    with pytest.raises(BrokenPipeError):
        fork_server.fork(HERE)
    assert end(worker) is None
    assert "the one that forked it" in how_it_ended(None)
    fork_server.close()


def test_a_killed_sweep_leaves_no_process(tmp_path):
    code = (
        "from ganbench.sweep.backends.workers import ForkServer, Place\n"
        f"fork_server = ForkServer(Place({HERE.cores}))\n"
        f"worker = fork_server.fork(Place({HERE.cores}))\n"
        "print(fork_server._process.pid, worker.stdout.readline(), flush=True)\n"
        "worker.stdout.readline()\n"
    )
    sweep = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid, _, line = sweep.stdout.readline().partition(" ")
    left = [psutil.Process(int(pid)), psutil.Process(json.loads(line)["ready"])]
    sweep.kill()
    sweep.communicate()
    _, alive = psutil.wait_procs(left, timeout=400)
    assert not alive


def test_a_worker_can_be_killed_while_the_imports_are_made():
    fork_server = ForkServer(HERE)
    worker = fork_server.fork(HERE)
    worker.kill()
    assert worker.stdout.readline() == ""
    assert worker.wait() is None
    fork_server.close()


def test_the_process_that_forks_ends_without_a_word_when_the_sweep_is_gone(capfd):
    fork_server = ForkServer(HERE)
    worker = fork_server.fork(HERE)
    ready(worker)
    fork_server._requests.close()
    assert fork_server._process.wait(timeout=400) == 0
    assert end(worker) is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"])
def test_nothing_is_forked_where_openmp_pins_threads_itself(monkeypatch, name):
    monkeypatch.setenv(name, "true")
    assert not ForkServer.can_fork(HERE)


def test_a_process_that_will_use_a_gpu_is_not_forked():
    assert not ForkServer.can_fork(Place(HERE.cores, gpu=0))
