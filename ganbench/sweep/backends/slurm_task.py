"""What a task of an array job does, on the node."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganbench.protocols import JobEnd
from ganbench.sweep.backends.slurm_queue import write_end
from ganbench.sweep.job import execute_job, job_from

__all__ = ["Task"]


class Task:
    """A callable that submitit can send. When its time is up, submitit calls `checkpoint` and puts
    the task back into the queue, where it goes on from the run's last checkpoint."""

    def __call__(self, values: Mapping[str, Any]) -> None:
        job = job_from(values)
        array_id = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ["SLURM_JOB_ID"]
        try:
            end = execute_job(job)
        except KeyboardInterrupt:
            end = JobEnd(job.run_id, "interrupted")
        write_end(Path(job.out), array_id, end)

    def checkpoint(self, values: Mapping[str, Any]) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, values)
