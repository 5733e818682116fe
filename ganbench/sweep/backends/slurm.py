"""Array jobs of a SLURM cluster, submitted through submitit.

What was submitted is written to `<out>/slurm/`, and each task writes there how it ended, so that
whoever comes later, on this machine or another, can find out. The run folders are what counts.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ganbench.errors import GanbenchError, UsageError
from ganbench.protocols import Job, JobEnd
from ganbench.sweep.backends.slurm_queue import (
    Submission,
    cancel,
    in_queue,
    read_end,
    submissions,
)

__all__ = ["Slurm", "slurm"]

_LOOK_EVERY_S = 2.0
_LARGEST_ARRAY = 1000
_TIMES_UP = 100  # how often a task may run out of time; each time it goes on from where it was
_NOTICE_S = 90  # before the time is up
_GONE_FOR_GOOD_S = 10.0  # what a task wrote may reach this machine after it has left the queue


def slurm(
    partition: str | None = None,
    account: str | None = None,
    qos: str | None = None,
    time_min: int = 240,
    mem: str | None = None,
    gpus_per_node: int | None = None,
    array_parallelism: int = 256,
    more: dict[str, Any] | None = None,
) -> Slurm:
    """Array jobs of a SLURM cluster, one task a run, requeued on pre-emption and node failure.

    `time_min`: minutes a run may take. `mem`: memory of a run, such as 8GB. `array_parallelism`:
    how many tasks of an array at once. `more`: any other options of sbatch, without the dashes; on
    the command line --slurm-KEY VALUE gives each of these. A run has as many CPUs as threads.
    """
    for name, n in (("time_min", time_min), ("array_parallelism", array_parallelism)):
        if n < 1:
            raise ValueError(f"{name} is {n}, but must be 1 or more")
    if shutil.which("sbatch") is None:
        raise UsageError("backend 'slurm' submits with sbatch, which is not on this machine's path")
    answer = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True)
    if answer.returncode:
        raise UsageError(f"no SLURM cluster answers here: {' '.join(answer.stderr.split())[:200]}")
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UsageError("backend 'slurm' needs submitit: pip install 'ganbench[slurm]'") from None
    given = {
        "partition": partition,
        "account": account,
        "qos": qos,
        "mem": mem,
        "gpus_per_node": gpus_per_node,
    }
    return Slurm(
        {key: value for key, value in given.items() if value is not None}
        | {"time": time_min, "array_parallelism": array_parallelism},
        dict(more or {}),
    )


@dataclass(frozen=True)
class Slurm:
    """Submits jobs and watches the queue. Tasks that an earlier command submitted and that are
    still in it are taken over, not submitted again."""

    parameters: Mapping[str, Any]
    more: Mapping[str, Any]

    def run(
        self, jobs: Sequence[Job], report: Callable[[JobEnd], None], stop: Callable[[], bool]
    ) -> None:
        if not jobs or stop():
            return
        watched = self.submit(jobs)
        try:
            _watch(watched, {job.run_id: job for job in jobs}, report, stop)
        except KeyboardInterrupt:
            cancel(watched)
            raise

    def submit(self, jobs: Sequence[Job]) -> list[Submission]:
        """Submit what is not in the queue already; what is to be watched for these jobs."""
        out = Path(jobs[0].out)
        wanted = {job.run_id for job in jobs}
        watched: list[Submission] = []
        queued: set[str] = set()
        for earlier in submissions(out):
            tasks = {i: r for i, r in earlier.run_ids.items() if r in wanted - queued}
            waiting = in_queue(earlier.array_id) if tasks else set()
            tasks = {i: run_id for i, run_id in tasks.items() if i in waiting}
            if tasks:
                watched.append(replace(earlier, run_ids=tasks))
                queued |= set(tasks.values())
        rest = [job for job in jobs if job.run_id not in queued]
        for first in range(0, len(rest), _LARGEST_ARRAY):
            watched.append(self._submit(out, rest[first : first + _LARGEST_ARRAY]))
        return watched

    def _submit(self, out: Path, jobs: Sequence[Job]) -> Submission:
        import submitit

        from ganbench.sweep.backends.slurm_task import Task

        folder = out / "slurm"
        executor = submitit.SlurmExecutor(folder=folder / "%A", max_num_timeout=_TIMES_UP)
        executor.update_parameters(
            job_name="ganbench",
            cpus_per_task=max(int(job.settings.get("threads") or 1) for job in jobs),
            stderr_to_stdout=True,
            signal_delay_s=min(_NOTICE_S, 15 * int(self.parameters["time"])),
            additional_parameters={"requeue": True, **self.more},
            **self.parameters,
        )
        try:
            submitted = executor.map_array(Task(), [asdict(job) for job in jobs])
        except (submitit.core.utils.FailedJobError, OSError) as error:
            raise GanbenchError(f"SLURM refuses the array job: {error}") from error
        array_id = submitted[0].job_id.partition("_")[0]
        run_ids = {i: job.run_id for i, job in enumerate(jobs)}
        submission = Submission(out, array_id, run_ids, alone=len(jobs) == 1)
        submission.save()
        return submission


def _watch(
    watched: Sequence[Submission],
    jobs: Mapping[str, Job],
    report: Callable[[JobEnd], None],
    stop: Callable[[], bool],
) -> None:
    """Report each task once it has left the queue."""
    left = {(one.array_id, i): run_id for one in watched for i, run_id in one.run_ids.items()}
    out = watched[0].out
    gone_since: dict[tuple[str, int], float] = {}
    cancelled = False
    while left:
        for submission in watched:
            waiting = in_queue(submission.array_id)
            for i, run_id in submission.run_ids.items():
                key = (submission.array_id, i)
                if key not in left or i in waiting:
                    gone_since.pop(key, None)
                    continue
                end = read_end(out, submission.array_id, run_id)
                since = gone_since.setdefault(key, time.monotonic())
                if end is None and time.monotonic() - since < _GONE_FOR_GOOD_S:
                    continue
                lost = JobEnd(run_id, "lost", f"SLURM task {submission.task(i)} was ended")
                report(end or lost)
                del left[key]
        if stop() and not cancelled:
            cancel(watched, pending_only=True)
            cancelled = True
        if left:
            time.sleep(_LOOK_EVERY_S)
