"""The tracker that writes to an MLflow tracking store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run

from ganbench.protocols import Snapshot
from ganbench.record import RunRecord
from ganbench.spec import RunSpec

__all__ = ["MLflow"]

_RUN_ID = "ganbench.run_id"
_STATUS = {
    "completed": "FINISHED",
    "diverged": "FINISHED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}


class MLflow:
    """Spec as parameters, losses and speed as metrics; metrics, pictures and record at the end.

    `tracking_uri`: MLflow's own choice unless given (MLFLOW_TRACKING_URI); a local store is
    tracking_uri="sqlite:///mlflow.db". `weights`: keep the networks' safetensors too.
    A run that was stopped and goes on is one run of MLflow.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str = "ganbench",
        weights: bool = False,
    ) -> None:
        self.client = MlflowClient(tracking_uri)
        known = self.client.get_experiment_by_name(experiment)
        self.experiment_id = (
            known.experiment_id if known else self.client.create_experiment(experiment)
        )
        self.weights = weights
        self.id = ""

    def run_start(self, spec: RunSpec, run_id: str) -> None:
        stopped = self.find(run_id, "status != 'FINISHED' AND status != 'FAILED'")
        if stopped is not None:
            self.id = stopped.info.run_id
            self.client.update_run(self.id, status="RUNNING")
            return
        tags = {_RUN_ID: run_id}
        run = self.client.create_run(self.experiment_id, run_name=run_id, tags=tags)
        self.id = run.info.run_id
        params = [Param(key, str(value)) for key, value in spec.model_dump(mode="json").items()]
        self.client.log_batch(self.id, params=params)

    def progress(self, snapshot: Snapshot) -> None:
        values = {f"loss/{name}": value for name, value in snapshot.terms.items()}
        values |= {"speed/steps_per_s": snapshot.steps_per_s, "progress/nimg": snapshot.nimg}
        self.log(values, snapshot.step)

    def run_end(self, record: RunRecord, folder: Path) -> None:
        if not self.id:  # a run can fail before it starts
            self.run_start(record.spec, record.run_id)
        values = record.evaluated.values if record.evaluated else {}
        self.log({f"metric/{name}": value for name, value in values.items()}, record.steps_done)
        if record.throughput:
            speeds = record.throughput.model_dump(exclude_none=True).items()
            self.log({f"throughput/{name}": value for name, value in speeds}, record.steps_done)
        for file in sorted(folder.iterdir()):
            if self.weights or file.suffix != ".safetensors":
                self.client.log_artifact(self.id, str(file))
        self.client.set_tag(self.id, "ganbench.status", record.status)
        self.client.set_tag(self.id, "ganbench.spec_sha256", record.spec_sha256)
        self.client.set_terminated(self.id, _STATUS[record.status])
        self.id = ""

    def log(self, values: Mapping[str, float], step: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        metrics = [Metric(name, float(value), now_ms, step) for name, value in values.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def find(self, run_id: str, condition: str) -> Run | None:
        """The latest MLflow run of that ganbench run for which `condition` holds."""
        found = self.client.search_runs(
            [self.experiment_id],
            f"tags.`{_RUN_ID}` = '{run_id}' AND {condition}",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        return found[0] if found else None
