"""Sweeps on a real cluster of processes, through the command line."""

from __future__ import annotations

import contextlib
import glob
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ganbench.errors import UsageError
from ganbench.registry import default_registry
from ganbench.store import load_records
from ganbench.sweep.backend import make_backend

SMALL = [
    *("--generator", "mlp:hidden=[8]", "--discriminator", "mlp:hidden=[8]", "--data", "ring8"),
    *("--metrics", "none", "--batch-size", "16", "--device", "cpu", "--z-dim", "4"),
    *("--checkpoint-every", "250", "--no-rehearse"),
]


def start(cluster, out, *flags):
    command = [sys.executable, "-m", "ganbench", "sweep", *SMALL, *flags, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sweep(cluster, out, *flags):
    process = start(cluster, out, *flags)
    said, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return said


def weights(out):
    return {record.run_id: record.weights_sha256 for record in load_records(out)}


def test_a_sweep_has_the_weights_of_one_in_a_single_process(cluster, tmp_path):
    grid = ["--loss", "nonsat,hinge", "--opt", "adam,sgd", "--steps", "20", "--json"]
    on_dask = ["--backend", "dask", "--scheduler", cluster.scheduler_address]
    told = json.loads(sweep(cluster, tmp_path / "dask", *grid, *on_dask))
    assert (told["done"], told["ran_now"]) == (4, 4)
    sweep(cluster, tmp_path / "serial", *grid, "--backend", "serial")
    assert None not in weights(tmp_path / "serial").values()
    assert weights(tmp_path / "dask") == weights(tmp_path / "serial")
    told = json.loads(sweep(cluster, tmp_path / "dask", *grid, *on_dask))
    assert (told["done"], told["ran_now"]) == (4, 0)


def claims(out):
    """The claims of processes at a run. Folders may go meanwhile, which `Path.glob` takes amiss."""
    return sorted(map(Path, glob.glob(f"{glob.escape(str(out))}/claims/*/*")))


def claimant(owner):
    """The process that holds a claim, if it still does."""
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        return psutil.Process(json.loads(owner.read_text())["pid"])
    return None


def test_a_killed_worker_and_a_killed_sweep_lose_nothing(cluster, tmp_path):
    grid = ["--seed", "0..3", "--steps", "1500"]
    on_dask = ["--backend", f'dask:scheduler="{cluster.scheduler_address}"']
    process = start(cluster, tmp_path / "dask", *grid, *on_dask)
    deadline = time.monotonic() + 400
    while not (at_work := list(filter(None, map(claimant, claims(tmp_path / "dask"))))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with contextlib.suppress(psutil.NoSuchProcess):
        at_work[0].kill()
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    told = json.loads(sweep(cluster, tmp_path / "dask", *grid, *on_dask, "--json"))
    assert told["done"] == 4
    sweep(cluster, tmp_path / "serial", *grid, "--backend", "serial")
    assert weights(tmp_path / "dask") == weights(tmp_path / "serial")


def test_without_an_address_it_says_how_to_give_one(monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS")
    with pytest.raises(UsageError, match="--scheduler tcp://HOST:8786"):
        make_backend("dask", default_registry())
