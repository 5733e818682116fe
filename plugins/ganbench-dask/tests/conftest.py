"""A real cluster: a scheduler and two processes on this machine."""

from __future__ import annotations

import os

import pytest
from distributed import LocalCluster


@pytest.fixture(scope="session", autouse=True)
def cluster():
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        os.environ["DASK_SCHEDULER_ADDRESS"] = cluster.scheduler_address
        yield cluster
