"""`ganbench mlflow-log`: runs that are already there."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ganbench_mlflow.tracker import MLflow

__all__ = ["mlflow_log"]


def mlflow_log(
    out: Annotated[Path, typer.Argument(help="Results folder.")] = Path("results"),
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow's store.")] = None,
    experiment: Annotated[str, typer.Option(help="MLflow's experiment.")] = "ganbench",
    weights: Annotated[bool, typer.Option(help="Log the networks' weights too.")] = False,
) -> None:
    """Log the runs under a results folder to MLflow, each once."""
    from ganbench import load_records
    from ganbench_mlflow.tracker import MLflow

    tracker = MLflow(tracking_uri, experiment, weights)
    logged = 0
    for record in load_records(out):
        done = f"tags.`ganbench.spec_sha256` = '{record.spec_sha256}'"
        if tracker.find(record.run_id, done) is None:
            folder = out / "runs" / record.run_id
            tracker.run_start(record.spec, record.run_id)
            _log_history(tracker, folder / "history.csv")
            tracker.run_end(record, folder)
            logged += 1
    print(f"{logged} run(s) of {out} logged to MLflow's experiment '{experiment}'")


def _log_history(tracker: MLflow, file: Path) -> None:
    if not file.is_file():
        return
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            step = int(row.pop("step"))
            nimg = float(row.pop("nimg"))
            losses = {f"loss/{name}": float(value) for name, value in row.items() if value}
            tracker.log({**losses, "progress/nimg": nimg}, step)
