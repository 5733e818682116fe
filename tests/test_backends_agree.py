"""One sweep on every backend: the same weights in every row, the same tables but for timings.

`make test-slurm` has all four of them; without a cluster, or without ganbench-dask, its part is
skipped.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganbench.store import load_records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# 3 losses × 2 optimizers × 3 seeds on points and 3 × 2 on images are 24 runs; steps of 10⁶ diverge.
SWEEP = """
[base]
generator = "mlp:hidden=[8]"
discriminator = "mlp:hidden=[8]"
device = "cpu"
z_dim = 4
batch_size = 16
steps = 30
n_samples = 200
checkpoint_every = 10

[grid]
data = "ring8"
metrics = "mode-coverage,wasserstein"
loss = ["nonsat", "hinge", "wgan+wgan-gp"]
opt = ["adam", "sgd:lr=0.1"]
seed = "0..2"

[[include]]
data = "fashion-mnist-10k"
metrics = "fid"
loss = ["nonsat", "hinge", "wgan+wgan-gp"]
opt = ["adam", "sgd:lr=0.01"]

[[include]]
data = "fashion-mnist-10k"
metrics = "fid"
opt = "sgd:lr=1e6"
"""
# What depends on the machine and on what else it does. All else is compared.
TIMINGS = {
    *("images_per_s", "images_per_s_p10", "images_per_s_p90", "ms_per_step_p50", "ms_per_step_p95"),
    *("peak_memory_mb", "fraction_of_peak", "timing_valid"),
}


def sweep(folder: Path, *backend: str) -> Path:
    out = folder / "out"
    file = folder / "sweep.toml"
    file.write_text(SWEEP)
    command = [sys.executable, "-m", "ganbench", "sweep", str(file), "--no-rehearse", "--quiet"]
    done = subprocess.run(
        [*command, "--backend", *backend, "--out", str(out)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out


def weights(out: Path) -> dict[str, str | None]:
    return {record.run_id: record.weights_sha256 for record in load_records(out)}


def table(file: Path) -> list[list[tuple[str, str]]]:
    """The rows, each of (column, cell), without `TIMINGS`."""
    head, *rows = csv.reader(file.read_text(encoding="utf-8").splitlines())
    return [
        [pair for pair in zip(head, row, strict=True) if pair[0] not in TIMINGS] for row in rows
    ]


@pytest.fixture(scope="module")
def serial(tmp_path_factory) -> Path:
    return sweep(tmp_path_factory.mktemp("serial"), "serial")


@pytest.fixture
def dask_scheduler() -> Iterator[str]:
    """A cluster of two processes."""
    if importlib.util.find_spec("ganbench_dask") is None:
        pytest.skip("ganbench-dask is not installed here; make test-slurm installs it")
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def same_as(serial: Path, out: Path) -> None:
    assert weights(out) == weights(serial)
    for name in ("throughput.csv", "fid.csv"):
        assert table(out / name) == table(serial / name)


def test_the_sweep_that_is_compared_has_24_runs_with_weights_and_one_that_diverges(serial):
    statuses = Counter(record.status for record in load_records(serial))
    assert statuses == {"completed": 24, "diverged": 1}
    trained = {sha for sha in weights(serial).values() if sha}
    assert len(trained) == 24
    assert len(table(serial / "throughput.csv")) == len(table(serial / "fid.csv")) == 25


def test_processes_of_this_machine_give_what_one_process_gives(serial, tmp_path):
    workers = min(2, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else 1
    same_as(serial, sweep(tmp_path, f"local:workers={workers}"))


@pytest.mark.slurm
def test_a_slurm_cluster_gives_what_one_process_gives(serial, tmp_path):
    here = shutil.which("sinfo") and subprocess.run(["sinfo", "-h"], capture_output=True)
    if not here or here.returncode:
        pytest.skip("no SLURM cluster answers: scripts/slurm.sh up")
    same_as(serial, sweep(tmp_path, "slurm"))


def test_a_dask_cluster_gives_what_one_process_gives(serial, dask_scheduler, tmp_path):
    same_as(serial, sweep(tmp_path, "dask", "--scheduler", dask_scheduler))
