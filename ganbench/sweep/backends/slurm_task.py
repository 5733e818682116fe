"""What a task of an array job does, on the node."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from ganbench.interrupts import StopRequest
from ganbench.protocols import Job, JobEnd
from ganbench.store import status_of
from ganbench.sweep.backends.slurm_queue import write_end
from ganbench.sweep.claims import GONE_AFTER_S
from ganbench.sweep.job import execute_job, job_from

__all__ = ["Task"]

_LOOK_EVERY_S = 5.0


class Task:
    """A callable that submitit can send. When its time is up the run saves what it has, and then
    submitit calls `checkpoint` and puts the task back into the queue, where the run goes on."""

    def __call__(self, values: Mapping[str, Any]) -> None:
        job = _once_forced(job_from(values))
        array_id = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ["SLURM_JOB_ID"]
        notice = _Notice()
        try:
            end = _execute(job)
        except KeyboardInterrupt:
            end = JobEnd(job.run_id, "interrupted")
        if end.status == "interrupted":
            notice.obey()
        write_end(Path(job.out), array_id, end)

    def checkpoint(self, values: Mapping[str, Any]) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, values)


def _execute(job: Job) -> JobEnd:
    """A task that was put back may find its own claim from a node that failed, which lapses."""
    end = execute_job(job)
    deadline = time.monotonic() + GONE_AFTER_S + _LOOK_EVERY_S
    while end.status == "busy" and _was_put_back() and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
        end = execute_job(job)
    return end


def _once_forced(job: Job) -> Job:
    """The job, no longer forced where this task was put back after it had saved what it had: to
    force it again would throw that away."""
    saved = _was_put_back() and status_of(Path(job.out), job.run_id) == "interrupted"
    return replace(job, force=False) if job.force and saved else job


def _was_put_back() -> bool:
    return int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0


class _Notice:
    """Takes the signal that says the task must go, on which submitit would requeue it and exit in
    the midst of a step. A run that is training is let save first; `obey` then does what submitit
    would have done. Anything else goes at once."""

    def __init__(self) -> None:
        name = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")
        self.number = signal.Signals[f"SIG{name}"]
        before = signal.getsignal(self.number)
        self.requeue: Callable[[int, FrameType | None], Any] | None = None
        if callable(before):
            self.requeue = before
            signal.signal(self.number, self._take)
        self.taken = False

    def obey(self) -> None:
        """Requeue the task and leave, if it has been told to go."""
        if self.taken and self.requeue:
            self.requeue(self.number, None)

    def _take(self, number: int, frame: FrameType | None) -> None:
        stop = signal.getsignal(signal.SIGTERM)
        self.taken = True
        if not isinstance(stop, StopRequest):
            self.obey()
        elif not stop:
            stop(number, frame)
