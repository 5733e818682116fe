"""Runs in MLflow: `ganbench run --tracker mlflow`, and `ganbench mlflow-log` for finished ones."""

from __future__ import annotations

from ganbench import hookimpl

ganbench_api = 1


@hookimpl
def ganbench_trackers():
    return {"mlflow": f"{__name__}.tracker:MLflow"}


@hookimpl
def ganbench_commands():
    return {"mlflow-log": f"{__name__}.command:mlflow_log"}
