"""One side of a comparison: runs, from a results folder or from a table that was made of one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganbench.errors import UsageError
from ganbench.record import COMMON_COLUMNS, RunRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENVIRONMENT", "Run", "merged", "runs_of_folder", "runs_of_table"]

ENVIRONMENT = ("torch", "threads", "cpu", "device", "cuda", "cpu_capability")
"""What must be the same for two speeds to be comparable."""

# A case is the rest of a spec: all but the seed, the machine, and how it is measured.
_NOT_OF_CASE = {"seed", "device", "threads", "data_root", "extractor_weights", "checkpoint_every"}
_MEASURED = {"metrics", "extractor", "n_samples", "eval_every"}
_COLUMNS_OF_CASE = [
    name for name in COMMON_COLUMNS if name not in {"run_id", "seed", "status", "device"}
]
_NO_METRICS = {"extractor", "extractor_sha256", "n_real", "n_fake", "preprocessing", "elapsed_s"}


@dataclass(frozen=True)
class Run:
    """What compares of one run. `speed` holds throughput (images/s) and peak_memory (MB); `case`
    all settings that must be the same, `columns` those of them that a table has too."""

    case: Mapping[str, Any]
    columns: Mapping[str, Any]
    seed: int
    status: str
    speed: Mapping[str, float]
    quality: Mapping[str, float]
    measured_by: Mapping[str, Any]
    environment: Mapping[str, Any]
    timing_valid: bool
    weights_sha256: str | None
    started_at: str
    error: str | None = None


def runs_of_folder(folder: Path) -> list[Run]:
    """Every run of a results folder."""
    from ganbench.store import load_records

    return [_of_record(record) for record in load_records(folder)]


def runs_of_table(file: Path) -> list[Run]:
    """The rows of throughput.csv or fid.csv. What the table does not say (environment, when it
    was measured) is taken from the run's record, if that lies beside the table."""
    import pandas as pd

    try:
        frame = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"'{file}' can't be read as a table: {error}") from None
    missing = [name for name in COMMON_COLUMNS if name not in frame.columns]
    if missing:
        raise UsageError(
            f"'{file}' is no table of ganbench: it has no column {', '.join(missing)}. Give a "
            "results folder, its throughput.csv or fid.csv, or pytest-benchmark's JSON"
        )
    runs = [_of_row(row, file, "images_per_s" in frame.columns) for row in _rows(frame)]
    keys = [(json.dumps(run.columns, sort_keys=True, default=str), run.seed) for run in runs]
    twice = next((run for run, key in zip(runs, keys, strict=True) if keys.count(key) > 1), None)
    if twice is not None:
        words = f"{twice.columns['generator']}, {twice.columns['loss']}, seed {twice.seed}"
        raise UsageError(
            f"'{file}' has several rows that differ in nothing that a table says ({words}): "
            "compare the results folders, whose records hold all settings"
        )
    return runs


def merged(runs: list[Run]) -> list[Run]:
    """One run for each case and seed: throughput.csv has its speed, fid.csv its quality."""
    whole: dict[str, Run] = {}
    for run in runs:
        key = json.dumps([run.columns, run.seed], sort_keys=True)
        other = whole.get(key, run)
        whole[key] = replace(
            run,
            speed={**other.speed, **run.speed},
            quality={**other.quality, **run.quality},
            measured_by={**other.measured_by, **run.measured_by},
            timing_valid=other.timing_valid and run.timing_valid,
        )
    return list(whole.values())


def _of_record(record: RunRecord) -> Run:
    spec = record.spec.model_dump(mode="json")
    speed, timing_valid = {}, True
    if record.throughput is not None:
        speed = {
            "throughput": record.throughput.images_per_s,
            "peak_memory": record.throughput.peak_memory_mb,
        }
        timing_valid = _valid(record.throughput.timing_valid)
    made = record.evaluated
    measured_by = made.model_dump(include=_NO_METRICS - {"elapsed_s"}) if made else {}
    return Run(
        case={key: value for key, value in spec.items() if key not in _NOT_OF_CASE | _MEASURED},
        columns={key: str(spec[key]) for key in _COLUMNS_OF_CASE},
        seed=record.spec.seed,
        status=record.status,
        speed=speed,
        quality=dict(made.values) if made else {},
        measured_by=measured_by,
        environment={key: record.environment.get(key) for key in ENVIRONMENT},
        timing_valid=timing_valid,
        weights_sha256=record.weights_sha256,
        started_at=record.started_at,
        error=record.error,
    )


def _of_row(row: Mapping[str, Any], file: Path, is_throughput: bool) -> Run:
    folder = file.parent / "runs" / str(row["run_id"])
    record = _of_record(RunRecord.load(folder)) if (folder / "record.json").is_file() else None
    columns = {key: str(row[key]) for key in _COLUMNS_OF_CASE}
    speed, quality = {}, {}
    if is_throughput:
        named = {"throughput": "images_per_s", "peak_memory": "peak_memory_mb"}
        speed = {name: row[column] for name, column in named.items() if _is_number(row, column)}
    else:
        metrics = [key for key in row if key not in _NO_METRICS | {*COMMON_COLUMNS}]
        quality = {k.removesuffix(".1"): row[k] for k in metrics if _is_number(row, k)}
    return Run(
        case=columns,
        columns=columns,
        seed=int(row["seed"]),
        status=str(row["status"]),
        speed=speed,
        quality=quality,
        measured_by={key: row[key] for key in sorted(_NO_METRICS) if row.get(key) is not None},
        environment=record.environment if record else {},
        timing_valid=_valid(row.get("timing_valid", True)),
        weights_sha256=record.weights_sha256 if record else None,
        started_at=record.started_at if record else "",
    )


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = frame.to_dict("records")
    return [
        {str(k): None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        for row in rows
    ]


def _is_number(row: Mapping[str, Any], column: str) -> bool:
    return isinstance(row.get(column), int | float) and not isinstance(row[column], bool)


def _valid(value: Any) -> bool:
    """Whether a timing may count: yes where nobody knows, as in tables of an older version."""
    return value is None or (value is not False and str(value).lower() != "false")
