"""What a run leaves behind: frozen, written as `record.json`, read back for the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from ganbench.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COMMON_COLUMNS",
    "Evaluated",
    "EvaluatedAt",
    "RunRecord",
    "Status",
    "Throughput",
    "common_row",
    "metric_columns",
]

Status = Literal["completed", "diverged", "interrupted", "failed"]

COMMON_COLUMNS = [
    "run_id",
    "generator",
    "discriminator",
    "loss",
    "opt_g",
    "opt_d",
    "rule",
    "data",
    "batch_size",
    "n_dis",
    "steps",
    "seed",
    "device",
    "precision",
    "status",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")


class Throughput(_Frozen):
    """Speed of the timed chunks. `p10`, `p50` … are percentiles over chunks.

    `timing_valid`: whether the run had its cores to itself meanwhile; None: not known."""

    images_per_s: float
    images_per_s_p10: float
    images_per_s_p90: float
    ms_per_step_p50: float
    ms_per_step_p95: float
    cpu_ms_per_step_p50: float
    peak_memory_mb: float
    gflops_per_step: float
    matmul_gflops_per_s: float
    fraction_of_peak: float
    warmup_steps: int
    timed_steps: int
    timing_valid: bool | None = None


class Evaluated(_Frozen):
    """Metrics of the final generator, with what a number needs beside it."""

    extractor: str | None
    extractor_sha256: str | None
    preprocessing: str | None
    n_real: int
    n_fake: int
    values: dict[str, float]
    elapsed_s: float


class EvaluatedAt(_Frozen):
    """Metrics on the way. `train_s`: seconds spent in training steps, evaluation left out.

    `values` is empty where the generator could not be measured."""

    step: int
    nimg: int
    train_s: float
    values: dict[str, float]


class RunRecord(_Frozen):
    """One run, whatever became of it."""

    run_id: str
    spec: RunSpec
    spec_sha256: str
    status: Status
    steps_done: int
    nimg: int
    diverged_step: int | None = None
    error: str | None = None
    weights_sha256: str | None = None
    throughput: Throughput | None = None
    evaluated: Evaluated | None = None
    evaluations: tuple[EvaluatedAt, ...] = ()
    components: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    started_at: str = ""
    elapsed_s: float = 0.0

    def common_row(self) -> dict[str, Any]:
        """The columns that every table begins with."""
        return common_row(self.model_dump(mode="json", include={"run_id", "spec", "status"}))

    def metric_columns(self) -> dict[str, float]:
        """The metrics by column."""
        return metric_columns(self.evaluated.values if self.evaluated else {})

    def to_frame(self) -> pd.DataFrame:
        """One row: the common columns, throughput, and the metrics."""
        import pandas as pd

        row = self.common_row()
        if self.throughput:
            row |= self.throughput.model_dump()
        if self.evaluated:
            row |= self.evaluated.model_dump(exclude={"values"}) | self.metric_columns()
        return pd.DataFrame([row])

    def save(self, folder: Path) -> None:
        from ganbench.files import write_text

        write_text(folder / "record.json", self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> RunRecord:
        return cls.model_validate_json((folder / "record.json").read_text(encoding="utf-8"))


def common_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that every table begins with, of a record as JSON has it."""
    values = {**record["spec"], "run_id": record["run_id"], "status": record["status"]}
    return {column: values[column] for column in COMMON_COLUMNS}


def metric_columns(values: Mapping[str, float]) -> dict[str, float]:
    """The metrics by column. The metric precision is `precision.1`, as pandas reads the second of
    two columns of one name: `precision` is the arithmetic's."""
    return {f"{key}.1" if key in COMMON_COLUMNS else key: v for key, v in values.items()}
