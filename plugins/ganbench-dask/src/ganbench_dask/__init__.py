"""Sweeps on a Dask cluster: `ganbench sweep --backend dask --scheduler tcp://HOST:8786`."""

from __future__ import annotations

from ganbench import hookimpl

ganbench_api = 1


@hookimpl
def ganbench_backends():
    return {"dask": f"{__name__}.backend:dask"}
