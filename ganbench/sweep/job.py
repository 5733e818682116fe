"""What every backend calls for each run: the one way from a job to a run folder.

`python -m ganbench.sweep.job` is the same for a process of its own: a job as JSON on stdin, its end
as JSON on stdout. SIGTERM interrupts the run, which saves what it has.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from ganbench.discovery import use_local_plugins
from ganbench.errors import CannotWrite, GanbenchError
from ganbench.plan import Plan, make_plan
from ganbench.protocols import Job, JobEnd
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.store import run_in_store
from ganbench.sweep.claims import claim

__all__ = ["execute_job", "interrupt_on_sigterm", "job_from"]


def execute_job(job: Job) -> JobEnd:
    """Run `job` unless it is finished or another process is at it. Raises nothing that a run can
    raise, KeyboardInterrupt aside: its end says what happened, and the run folder has the rest."""
    if job.not_after is not None and time.time() > job.not_after:
        return JobEnd(job.run_id, "skipped")
    try:
        use_local_plugins(job.plugins)
        plan = make_plan(RunSpec(**job.settings), default_registry())
        _check_same(plan, job)
        with claim(Path(job.out), job.run_id) as held:
            if not held:
                return JobEnd(job.run_id, "busy")
            outcome = run_in_store(plan, Path(job.out), force=job.force, keep_refusals=True)
    except (CannotWrite, OSError) as error:
        return JobEnd(job.run_id, "unwritable", str(error))
    except GanbenchError as error:
        return JobEnd(job.run_id, "failed", str(error))
    status = "done" if outcome.already_done else outcome.record.status
    return JobEnd(job.run_id, status, outcome.record.error or "")


def _check_same(plan: Plan, job: Job) -> None:
    if plan.run_id != job.run_id:
        raise GanbenchError(
            f"the sweep asked for {job.run_id}, but here the same settings are {plan.run_id}: "
            "other versions of torch or of plugins are installed here than where it was started"
        )


def job_from(values: Mapping[str, Any]) -> Job:
    """The job that `dataclasses.asdict` and JSON made these values of."""
    return Job(**{**values, "plugins": tuple(values.get("plugins", ()))})


def interrupt_on_sigterm() -> None:
    """From now on SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _main() -> None:
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a plugin prints is no answer
    interrupt_on_sigterm()
    job = job_from(json.load(sys.stdin))
    try:
        end = execute_job(job)
    except KeyboardInterrupt:
        end = JobEnd(job.run_id, "interrupted")
    print(json.dumps(asdict(end)), file=answer, flush=True)


if __name__ == "__main__":
    _main()
