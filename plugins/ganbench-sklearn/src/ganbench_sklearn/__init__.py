"""Toy data of scikit-learn, and its nearest neighbours as a two-sample test."""

from __future__ import annotations

from ganbench import hookimpl

ganbench_api = 1


@hookimpl
def ganbench_data():
    return {"moons": f"{__name__}.data:moons", "circles": f"{__name__}.data:circles"}


@hookimpl
def ganbench_metrics():
    return {"nearest-neighbour": f"{__name__}.metric:nearest_neighbour"}
