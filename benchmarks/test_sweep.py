"""What a sweep costs beside its runs: parallel efficiency, and the overhead of each run.

    make bench

Bars: efficiency on 2 cores at least 0.9 for 16 equal single-threaded runs; overhead a run at most
1.5 s cold, in a worker that is new, and 0.1 s warm. The first worker of a sweep is none of the two:
it waits for the process that forks the workers to import torch, once a sweep.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from ganbench.protocols import Job, JobEnd
from ganbench.record import RunRecord
from ganbench.registry import default_registry
from ganbench.store import load_records
from ganbench.sweep.backends.local import local, places
from ganbench.sweep.backends.workers import ForkServer
from ganbench.sweep.check import plan_runs

pytestmark = pytest.mark.slow

SETTINGS = {
    "data": "fashion-mnist-10k",
    "metrics": ["fid"],
    "n_samples": 1000,
    "device": "cpu",
    "threads": 1,
}

# What any process pays that trains with torch: its optimizers import its compiler.
TORCH_ALONE = "import torch; torch.optim.Adam([torch.zeros(1, requires_grad=True)])"


def jobs(out: Path, n: int, steps: int) -> list[Job]:
    runs = plan_runs(
        # Metrics "on the way" at the last step only: the record then has the time of all steps.
        [{**SETTINGS, "steps": steps, "eval_every": steps, "seed": seed} for seed in range(n)],
        default_registry(),
    )
    return [Job(run.run_id, run.settings, str(out)) for run in runs]


def seconds(out: Path, workers: int, n: int, steps: int) -> float:
    """Wall time of a sweep, the start of its workers included."""
    ends: list[JobEnd] = []
    began = time.perf_counter()
    local(workers=workers).run(jobs(out, n, steps), ends.append, lambda: False)
    elapsed_s = time.perf_counter() - began
    assert [end.status for end in ends] == ["completed"] * n, ends
    return elapsed_s


@pytest.mark.timeout(1800)
def test_parallel_efficiency_on_two_cores(benchmark, tmp_path):
    seconds(tmp_path / "features", 1, 1, 10)  # so that neither computes those of the real data
    one = seconds(tmp_path / "one", 1, 16, 300)
    two = benchmark.pedantic(seconds, args=(tmp_path / "two", 2, 16, 300), rounds=1)
    benchmark.extra_info["efficiency"] = round(one / two / 2, 3)
    print(f"\n16 runs: one worker {one:.1f} s, two {two:.1f} s: efficiency {one / two / 2:.3f}")


@pytest.mark.timeout(900)
def test_overhead_of_a_run_cold_and_warm(benchmark, tmp_path):
    """Beyond its steps and evaluation. Warm: from a run's end to the next one's. First: of a
    sweep's first run, from the moment that its first process is started. Cold: of the first run of
    any other worker, from the moment that the worker is asked for."""
    seconds(tmp_path / "features", 1, 1, 10)
    ended: list[float] = []
    work = jobs(tmp_path / "out", 12, 300)
    began = time.perf_counter()
    note = lambda _: ended.append(time.perf_counter())  # noqa: E731
    benchmark.pedantic(local(workers=1).run, args=(work, note, lambda: False), rounds=1)
    spans = [b - a for a, b in zip([began, *ended], ended, strict=False)]
    records = sorted(load_records(tmp_path / "out"), key=lambda record: record.spec.seed)
    over = [span - useful_s(record) for span, record in zip(spans, records, strict=True)]
    cold_s = overhead_of_new_workers(jobs(tmp_path / "cold", 5, 100))
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", TORCH_ALONE], check=True)
    told = {
        "warm_s": round(statistics.median(over[1:]), 4),
        "cold_s": round(cold_s, 3),
        "first_s": round(over[0], 3),
        "of_it_torch_s": round(time.perf_counter() - began, 3),
    }
    benchmark.extra_info |= told
    print(f"\noverhead a run: {told}")


def useful_s(record: RunRecord) -> float:
    return record.evaluations[-1].train_s + record.evaluated.elapsed_s


def overhead_of_new_workers(work: list[Job]) -> float:
    """The median over workers that have one run each."""
    (place,) = places(work, 1)
    spans = []
    with contextlib.closing(ForkServer(place)) as fork_server:
        first = fork_server.fork(place)
        first.stdout.readline()  # the imports are done
        for job in work:
            began = time.perf_counter()
            worker = fork_server.fork(place)
            worker.stdout.readline()
            worker.stdin.write(json.dumps(asdict(job)) + "\n")
            worker.stdin.flush()
            assert json.loads(worker.stdout.readline())["status"] == "completed"
            spans.append(time.perf_counter() - began)
            worker.stdin.close()
            worker.wait()
        first.stdin.close()
        first.wait()
    records = sorted(load_records(Path(work[0].out)), key=lambda record: record.spec.seed)
    return statistics.median(a - useful_s(b) for a, b in zip(spans, records, strict=True))
