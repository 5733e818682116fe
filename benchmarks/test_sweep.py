"""What a sweep costs beside its runs: parallel efficiency, and the overhead of each run.

    make bench

Bars: efficiency on 2 cores at least 0.9 for 16 equal single-threaded runs; overhead a run at most
1.5 s cold and 0.1 s warm.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganbench.protocols import Job, JobEnd
from ganbench.registry import default_registry
from ganbench.store import load_records
from ganbench.sweep.backends.local import local
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
    """Warm: from a run's end to the next one's, less its steps and evaluation. Cold: the same for
    the first run of a worker, from the moment that the process is started."""
    seconds(tmp_path / "features", 1, 1, 10)
    ended: list[float] = []
    work = jobs(tmp_path / "out", 12, 300)
    began = time.perf_counter()
    note = lambda _: ended.append(time.perf_counter())  # noqa: E731
    benchmark.pedantic(local(workers=1).run, args=(work, note, lambda: False), rounds=1)
    spans = [b - a for a, b in zip([began, *ended], ended, strict=False)]
    records = sorted(load_records(tmp_path / "out"), key=lambda record: record.spec.seed)
    useful = [record.evaluations[-1].train_s + record.evaluated.elapsed_s for record in records]
    over = [span - one for span, one in zip(spans, useful, strict=True)]
    warm = sorted(over[1:])
    benchmark.extra_info |= {"cold_s": round(over[0], 3), "warm_s": round(warm[len(warm) // 2], 4)}
    print(f"\noverhead a run: cold {over[0]:.2f} s, warm median {warm[len(warm) // 2]:.3f} s")
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", TORCH_ALONE], check=True)
    benchmark.extra_info["of_it_torch_s"] = round(time.perf_counter() - began, 3)
    print(f"of the cold one, torch's own imports: {time.perf_counter() - began:.2f} s")
