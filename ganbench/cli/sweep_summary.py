"""What a sweep's plan and its end look like, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ganbench.sweep.drive import Sweep
from ganbench.sweep.planning import PlannedSweep
from ganbench.sweep.progress import duration

__all__ = ["dry_run_lines", "dry_run_values", "summary_lines", "summary_values"]

_DONE = ("completed", "diverged")
_SHOWN = 10


def dry_run_values(planned: PlannedSweep) -> dict[str, Any]:
    """The runs, what is done of them, and what the rest will take."""
    costs = planned.estimates.costs
    left = {run.run_id for run in planned.left}
    runs: list[dict[str, Any]] = []
    for run in planned.runs:
        cost = costs.get(run.run_id)
        status = planned.earlier.get(run.run_id) if run.run_id not in left else None
        runs.append(
            {
                "run_id": run.run_id,
                "status": status or "to run",
                "seconds": round(cost.seconds, 1) if cost else None,
                "disk_bytes": cost.disk_bytes if cost else None,
                "estimated_from": cost.source if cost else None,
            }
        )
    return {
        "runs": runs,
        "to_run": len(left),
        "already_done": len(planned.runs) - len(left),
        "beyond_budget": planned.beyond,
        "seconds": round(sum(cost.seconds for cost in costs.values()), 1),
        "disk_bytes": sum(cost.disk_bytes for cost in costs.values()),
        "not_estimated": len(left - costs.keys()),
    }


def dry_run_lines(planned: PlannedSweep) -> Iterator[str]:
    values = dry_run_values(planned)
    for run in values["runs"]:
        took = f"{duration(run['seconds']):>8}" if run["seconds"] is not None else " " * 8
        size = f"{run['disk_bytes'] / 1e6:7.1f} MB" if run["disk_bytes"] is not None else " " * 10
        yield f"{run['status']:<11}{took} {size}  {run['run_id']}"
    yield f"{values['to_run']} runs to run, {values['already_done']} already done"
    if planned.beyond:
        yield f"{planned.beyond} more are beyond the budget"
    if values["seconds"]:
        yield (
            f"about {duration(values['seconds'])} one after another, "
            f"{values['disk_bytes'] / 1e6:,.0f} MB of disk"
        )
        yield from _sources(values)
    if values["not_estimated"]:
        yield f"{values['not_estimated']} runs were not rehearsed, so they have no estimate"


def _sources(values: dict[str, Any]) -> Iterator[str]:
    told = {
        "finished runs": "from finished runs of this folder",
        "rehearsal": "from a rehearsal of a few steps on this machine just now",
    }
    for source, text in told.items():
        n = sum(run["estimated_from"] == source for run in values["runs"])
        if n:
            yield f"  {n} runs estimated {text}"


def summary_values(planned: PlannedSweep, sweep: Sweep, interrupted: bool) -> dict[str, Any]:
    """Counts, and each run that is not done with its reason. The folder is asked, not memory."""
    from ganbench.store import status_of

    status = {run.run_id: status_of(planned.out, run.run_id) for run in planned.runs}
    not_done = []
    for run_id, now in status.items():
        if now in _DONE:
            continue
        end = sweep.ends.get(run_id)
        reason = end.status if end and end.status != "done" else now or "not begun"
        not_done.append({"run_id": run_id, "status": reason, "error": end.error if end else ""})
    ran = sum(end.status in _DONE for end in sweep.ends.values())
    done = sum(now in _DONE for now in status.values())
    return {
        "runs": len(planned.runs),
        "done": done,
        "completed": sum(now == "completed" for now in status.values()),
        "diverged": sum(now == "diverged" for now in status.values()),
        "ran_now": ran,
        "interrupted": interrupted,
        "not_done": not_done,
        "out": str(planned.out),
    }


def summary_lines(planned: PlannedSweep, sweep: Sweep, values: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{values['done']} of {values['runs']} runs done "
        f"({values['completed']} completed, {values['diverged']} diverged), "
        f"{values['ran_now']} of them now"
    )
    for one in values["not_done"][:_SHOWN]:
        yield f"  {one['status']}: {one['run_id']}" + (f": {one['error']}" if one["error"] else "")
    if len(values["not_done"]) > _SHOWN:
        yield f"  and {len(values['not_done']) - _SHOWN} more"
    if values["not_done"]:
        yield "the same command again runs what is not done"
    yield f"  tables  {planned.out / 'throughput.md'}  {planned.out / 'fid.md'}"
