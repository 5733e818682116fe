"""Runs in TensorBoard: `ganbench run --tracker tensorboard`."""

from __future__ import annotations

from ganbench import hookimpl

ganbench_api = 1


@hookimpl
def ganbench_trackers():
    return {"tensorboard": f"{__name__}.tracker:TensorBoard"}
