"""From the settings of every run to a sweep that can start: what is done, what is left, and what
that will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganbench.discovery import Settings
from ganbench.errors import UsageError
from ganbench.protocols import Backend, Job
from ganbench.registry import Registry
from ganbench.store import load_records, status_of
from ganbench.sweep.budget import Budget, within_kimg
from ganbench.sweep.check import PlannedRun, plan_runs
from ganbench.sweep.estimate import Estimates, estimate

__all__ = ["PlannedSweep", "plan_sweep"]

_FINISHED = ("completed", "diverged")


@dataclass(frozen=True)
class PlannedSweep:
    """`runs` are all runs of the sweep, `earlier` the status of each that has a record, `beyond`
    how many more the budget in kimg leaves out."""

    runs: Sequence[PlannedRun]
    earlier: Mapping[str, str]
    estimates: Estimates
    out: Path
    backend: Backend = field(repr=False)
    backend_name: str
    budget: Budget | None = None
    force: bool = False
    beyond: int = 0

    @property
    def left(self) -> list[PlannedRun]:
        """The runs that are to be run."""
        return [run for run in self.runs if self.force or not self.is_done(run)]

    def is_done(self, run: PlannedRun) -> bool:
        return self.earlier.get(run.run_id) in _FINISHED

    def jobs(self) -> list[Job]:
        """What is left, as backends take it. The time of a budget begins now."""
        seconds = self.budget.seconds if self.budget else None
        not_after = None if seconds is None else time.time() + seconds
        plugins = Settings.from_environment().local
        return [
            Job(run.run_id, run.settings, str(self.out.absolute()), self.force, plugins, not_after)
            for run in self.left
        ]


def plan_sweep(
    everything: Sequence[Mapping[str, Any]],
    registry: Registry,
    out: Path,
    *,
    backend: Backend,
    backend_name: str,
    budget: Budget | None = None,
    force: bool = False,
    rehearse: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> PlannedSweep:
    """Check every run, find those that are done, rehearse and estimate the rest. Writes nothing in
    `out`. Raises `UsageError` that tells every mistake."""
    if not everything:
        raise UsageError("the sweep has no runs: every combination is excluded")
    runs = plan_runs(everything, registry)
    n_all = len(runs)
    if budget is not None and budget.kimg is not None:
        runs = within_kimg(runs, budget.kimg)
        if not runs:
            raise UsageError(f"budget is {budget.kimg:g} kimg, which the first run alone exceeds")
    earlier = {run.run_id: status for run in runs if (status := status_of(out, run.run_id))}
    left = [run for run in runs if force or earlier.get(run.run_id) not in _FINISHED]
    estimates = Estimates({})
    if left and rehearse:
        estimates = estimate(left, load_records(out), out, registry, say=say)
    return PlannedSweep(
        runs, earlier, estimates, out, backend, backend_name, budget, force, n_all - len(runs)
    )
