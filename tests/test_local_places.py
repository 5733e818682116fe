"""Where the workers of backend `local` go: cores and GPUs, by what a worker's process is given."""

from __future__ import annotations

import os
import time

import psutil
import pytest
import torch

from ganbench import load
from ganbench.protocols import Job
from ganbench.sweep.backends import local
from ganbench.sweep.backends.workers import Place, start


def jobs(*devices: str, threads: int = 1) -> list[Job]:
    return [
        Job(f"run-{i}", {"device": device, "threads": threads}, "out")
        for i, device in enumerate(devices)
    ]


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(local, "_cores", lambda: list(range(8)))


@pytest.fixture
def gpus(monkeypatch, eight_cores):
    """gpus(n, visible): a machine with n GPUs that this process sees, by these names."""

    def see(n: int, visible: str | None) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return see


def environment_of_worker(place: Place) -> dict[str, str]:
    """That of the real process, which is ended before it imports anything."""
    worker = start(Place((), place.gpu, place.shares_gpu))
    process = psutil.Process(worker.pid)
    try:
        # Until the new program is there, a process shows what it was forked from.
        deadline = time.monotonic() + 400
        while "ganbench.sweep.worker" not in process.cmdline() and time.monotonic() < deadline:
            time.sleep(0.001)
        return process.environ()
    finally:
        worker.kill()
        worker.communicate()


@pytest.mark.parametrize(
    ("visible", "n", "workers", "given"),
    [
        (None, 2, None, ["0", "1"]),
        ("2,3", 2, None, ["2", "3"]),
        ("GPU-5ad1, GPU-77fe", 2, 1, ["GPU-5ad1"]),
        ("3,1", 2, 3, ["3", "1", "3"]),
        ("0,-1,1", 1, 2, ["0", "0"]),
    ],
)
def test_a_worker_sees_one_gpu_of_those_that_the_sweep_sees(gpus, visible, n, workers, given):
    gpus(n, visible)
    found = local.places(jobs("cuda", "cuda"), workers)
    environments = [environment_of_worker(place) for place in found]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in environments] == given
    # Timings count where a GPU has one worker.
    shared = [load.SHARED_DEVICE in one for one in environments]
    assert shared == [given.count(name) > 1 for name in given]


@pytest.mark.parametrize("workers", [None, 2, 3, 5])
def test_workers_on_gpus_have_cores_of_their_own_which_are_all_that_there_are(gpus, workers):
    gpus(2, None)
    found = local.places(jobs("cuda", "cpu"), workers)
    assert sorted(core for place in found for core in place.cores) == list(range(8))
    assert all(place.cores for place in found)


def test_runs_that_name_their_gpu_keep_its_number_and_come_one_at_a_time(gpus, monkeypatch):
    gpus(2, "4,5")
    (place,) = local.places(jobs("cuda:0", "cuda:1"), None)
    assert environment_of_worker(place)["CUDA_VISIBLE_DEVICES"] == "4,5"
    assert place.cores == tuple(range(8))


@pytest.mark.parametrize(
    ("threads", "workers", "cores"),
    [
        (1, 2, [(0, 1, 2, 3), (4, 5, 6, 7)]),
        (4, None, [(0, 1, 2, 3), (4, 5, 6, 7)]),
        (3, None, [(0, 1, 2, 3), (4, 5, 6, 7)]),
        (16, None, [tuple(range(8))]),
    ],
)
def test_workers_on_cores_share_none(eight_cores, threads, workers, cores):
    found = local.places(jobs("cpu", "cpu", threads=threads), workers)
    assert [place.cores for place in found] == cores
    assert all(place.gpu is None for place in found)


def test_timings_of_a_process_that_was_told_it_shares_its_gpu_are_not_valid(monkeypatch):
    begun = load.OtherLoad.begin()
    monkeypatch.setattr(load.OtherLoad, "cores_taken", lambda self: 0.0)
    assert begun.is_negligible() is True
    monkeypatch.setitem(os.environ, load.SHARED_DEVICE, "1")
    assert begun.is_negligible() is False
