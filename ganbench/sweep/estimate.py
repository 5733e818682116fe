"""How long the runs of a sweep will take and how much disk they will need, and how that is known:
from finished runs of the folder, or from a rehearsal, which is a run of a few steps."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ganbench.errors import UsageError
from ganbench.plan import make_plan
from ganbench.record import RunRecord
from ganbench.registry import Registry
from ganbench.spec import RunSpec
from ganbench.sweep.check import Mistakes, PlannedRun, combination_of

__all__ = ["Cost", "Estimates", "estimate"]

_REHEARSED_STEPS = 3
_REHEARSED_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run takes, in seconds and bytes. `source` is where that is known from."""

    seconds: float
    disk_bytes: int
    source: Literal["finished runs", "rehearsal"]


@dataclass(frozen=True, slots=True)
class _Rates:
    """What the runs of one combination take, whatever their steps."""

    seconds_per_step: float
    other_s: float
    disk_bytes: int
    source: Literal["finished runs", "rehearsal"]

    def cost(self, steps: int) -> Cost:
        return Cost(self.other_s + steps * self.seconds_per_step, self.disk_bytes, self.source)


@dataclass(frozen=True, slots=True)
class Estimates:
    """The cost of each run by run_id. Those of `unchecked` combinations were not rehearsed, for
    lack of time, and have none."""

    costs: Mapping[str, Cost]
    unchecked: int = 0


def estimate(
    runs: Sequence[PlannedRun],
    records: Iterable[RunRecord],
    out: Path,
    registry: Registry,
    *,
    at_most_s: float = 120.0,
    say: Callable[[str], None] = lambda _: None,
) -> Estimates:
    """Estimate every run, rehearsing what no finished run tells about.

    A rehearsal plays steps and an evaluation of each combination of parts, so it also finds parts
    that do not fit together. Raises `UsageError` that tells of all of them.
    """
    known = _from_records(records, out, {run.combination for run in runs})
    rates: dict[str, _Rates] = {}
    evaluation_s: dict[str, float] = {}
    mistakes, unchecked, started = Mistakes(), 0, time.monotonic()
    pending = list({run.combination: run for run in reversed(runs)}.values())[::-1]
    for number, run in enumerate(pending):
        if run.combination in known:
            rates[run.combination] = known[run.combination]
            continue
        if time.monotonic() - started > at_most_s:
            unchecked += 1
            continue
        say(f"rehearsing {number + 1} of {len(pending)}: {run.run_id}")
        try:
            rates[run.combination] = _rehearse(run, registry, evaluation_s)
        except UsageError as error:
            for other in runs:
                if other.combination == run.combination:
                    mistakes.add(other.settings, error)
        except Exception:  # it will fail as a row of its own, and others go on
            unchecked += 1
    mistakes.raise_if_any([run.settings for run in runs])
    costs = {
        run.run_id: rates[run.combination].cost(run.plan.spec.steps)
        for run in runs
        if run.combination in rates
    }
    return Estimates(costs, unchecked)


def _from_records(records: Iterable[RunRecord], out: Path, wanted: Set[str]) -> dict[str, _Rates]:
    """The medians over the completed runs of each combination that is wanted."""
    found: dict[str, list[tuple[float, float, int]]] = {}
    for record in records:
        combination = combination_of(record.spec)
        if combination not in wanted or record.status != "completed" or not record.throughput:
            continue
        per_step = record.throughput.ms_per_step_p50 / 1e3
        other = max(0.0, record.elapsed_s - per_step * record.steps_done)
        size = _size(out / "runs" / record.run_id)
        found.setdefault(combination, []).append((per_step, other, size))
    return {key: _Rates(*_medians(values), "finished runs") for key, values in found.items()}


def _medians(values: Sequence[tuple[float, float, int]]) -> tuple[float, float, int]:
    per_step, other, size = zip(*values, strict=True)
    return statistics.median(per_step), statistics.median(other), int(statistics.median(size))


def _rehearse(run: PlannedRun, registry: Registry, evaluation_s: dict[str, float]) -> _Rates:
    """Run a few steps in a folder that is thrown away. The first run of each kind of evaluation
    measures it in full, the others only try it."""
    from ganbench.execution import execute

    spec = run.plan.spec
    kind = spec.model_dump_json(include={"data", "metrics", "extractor", "n_samples", "threads"})
    few = {
        "steps": min(spec.steps, 1 if spec.batch_size == "full" else _REHEARSED_STEPS),
        "n_samples": min(spec.n_samples, _REHEARSED_SAMPLES)
        if kind in evaluation_s
        else spec.n_samples,
        "checkpoint_every": 0,
    }
    plan = make_plan(RunSpec(**{**run.settings, **few}), registry)
    with tempfile.TemporaryDirectory(prefix="ganbench-rehearsal-") as folder:
        record = execute(plan, Path(folder) / "run", Path(folder) / "checkpoints")
        size = _size(Path(folder) / "run")
    evaluated_s = record.evaluated.elapsed_s if record.evaluated else 0.0
    evaluation_s.setdefault(kind, evaluated_s)
    per_step = record.throughput.ms_per_step_p50 / 1e3 if record.throughput else 0.0
    other = max(0.0, record.elapsed_s - evaluated_s - per_step * record.steps_done)
    return _Rates(per_step, other + evaluation_s[kind], size, "rehearsal")


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
