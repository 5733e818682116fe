"""How long do 100,000 runs take to tabulate, and in how much memory?

Each tabulation is a process of its own, as the command is: cold without an index, warm with one,
and warm with one new run. Budget: 20 s and 2 GB. As a yardstick, a plain loop that only reads and
parses the same files (`json.load`) runs in between, and each figure is also given as a ratio to it.

    make bench

About 600 MB of files are made in pytest's temporary folder, of `GANBENCH_BENCH_RUNS` runs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ganbench import RunRecord, RunSpec
from ganbench.index import INDEX
from ganbench.record import Evaluated, Throughput

RUNS = int(os.environ.get("GANBENCH_BENCH_RUNS", "100000"))
LOSSES = ("nonsat", "minimax", "lsgan", "hinge", "wgan+wgan-gp", "nonsat+r1:gamma=1.0")
COMPONENTS = ("generator", "discriminator", "opt_g", "opt_d", "schedule", "rule", "data", "metrics")
SPEED = dict.fromkeys(Throughput.model_fields, 123.456789) | {
    "warmup_steps": 10,
    "timed_steps": 990,
    "timing_valid": True,
}
TABULATE = """
import resource, sys, time
from pathlib import Path
started = time.perf_counter()
from ganbench.tables import write_tables
throughput, fid = write_tables(Path(sys.argv[1]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(time.perf_counter() - started, time.process_time(), peak, len(throughput))
"""
PLAIN = """
import json, sys, time
from pathlib import Path
started = time.perf_counter()
n = 0
for path in Path(sys.argv[1], "runs").glob("*/record.json"):
    with path.open() as file:
        n += bool(json.load(file))
print(time.perf_counter() - started, time.process_time(), 0, n)
"""


def record(i: int) -> RunRecord:
    """Run i of a search: 6 losses, 60 learning rates, many seeds; one in ten has diverged."""
    loss, rate, seed = LOSSES[i % 6], 1 + i // 6 % 60, i // 360
    spec = RunSpec(loss=loss, opt=f"adam:lr={rate}e-05", seed=seed, device="cpu", threads=1)
    values = {"fid": 100 * random.random(), "kid": random.random(), "kid_std": 0.01}
    done = i % 10 != 0
    part = {"name": "mlp", "package": "ganbench", "version": "0.1.0", "options": {"a": [256, 512]}}
    return RunRecord(
        run_id=f"mlp-{loss}-adam_lr={rate}e-05-s{seed}-{i:010x}".replace(":", "_"),
        spec=spec,
        spec_sha256=f"{i:064x}",
        status="completed" if done else "diverged",
        steps_done=1500,
        nimg=192_000,
        diverged_step=None if done else 1500,
        weights_sha256=f"{i:064x}" if done else None,
        throughput=Throughput(**SPEED),
        evaluated=Evaluated(
            extractor="fmnist-cnn-v1",
            extractor_sha256="c" * 64,
            preprocessing="resize to 28x28",
            n_real=10_000,
            n_fake=10_000,
            values={**values, "precision": random.random(), "recall": random.random()},
            elapsed_s=1.0,
        )
        if done
        else None,
        components={name: [part] * 2 for name in COMPONENTS},
        environment={f"key{k}": "some text about the machine" for k in range(10)},
        started_at="2026-01-01T00:00:00+00:00",
        elapsed_s=30.0,
    )


def write(out: Path, i: int) -> None:
    made = record(i)
    folder = out / "runs" / made.run_id
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(made.model_dump_json(indent=2))


def in_its_own_process(code: str, out: Path) -> tuple[float, float, float, int]:
    command = [sys.executable, "-c", code, str(out)]
    seconds, cpu_s, peak, rows = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    return float(seconds), float(cpu_s), float(peak), int(rows)


@pytest.mark.timeout(1800)
def test_results_at_size(benchmark, tmp_path):
    random.seed(0)
    for i in range(RUNS):
        write(tmp_path, i)
    size = len(json.dumps(json.loads(record(1).model_dump_json()), indent=2))
    print(f"\n{RUNS} runs, records of {size} bytes")
    cases = {"cold": 0, "warm": 0, "one new run": 1}
    for done, (name, new) in enumerate(cases.items()):
        for i in range(new):
            write(tmp_path, RUNS + i)
        plain_s, _, _, _ = in_its_own_process(PLAIN, tmp_path)
        seconds, cpu_s, peak, rows = in_its_own_process(TABULATE, tmp_path)
        assert rows == RUNS + new
        told = {"s": round(seconds, 1), "cpu_s": round(cpu_s, 1), "gb": round(peak / 1e9, 2)}
        benchmark.extra_info |= {f"{name} {key}": value for key, value in told.items()}
        print(
            f"{name}: {seconds:.1f} s ({cpu_s:.1f} s of CPU), {peak / 1e9:.2f} GB, "
            f"{seconds / plain_s:.2f} of a plain reading ({plain_s:.1f} s)"
        )
        if not done:
            print(f"index: {(tmp_path / INDEX).stat().st_size / 1e6:.1f} MB")
    benchmark.pedantic(in_its_own_process, args=(TABULATE, tmp_path), rounds=1)
    shutil.rmtree(tmp_path / "runs")
