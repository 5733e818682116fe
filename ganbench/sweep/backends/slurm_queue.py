"""What was submitted to SLURM, what of it is still in the queue, and how each task ended."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ganbench.errors import GanbenchError
from ganbench.files import write_text
from ganbench.protocols import JobEnd

__all__ = ["Submission", "cancel", "in_queue", "read_end", "submissions", "write_end"]


@dataclass(frozen=True, slots=True)
class Submission:
    """An array job, and the run of each of its tasks that are meant. One run alone is no array for
    submitit, so SLURM gives it no task number. `taken_over`: an earlier command submitted it."""

    out: Path
    array_id: str
    run_ids: Mapping[int, str]
    alone: bool
    taken_over: bool = False

    def task(self, i: int) -> str:
        """The name that squeue and scancel know the task by."""
        return self.array_id if self.alone else f"{self.array_id}_{i}"

    def save(self) -> None:
        write_text(
            self.out / "slurm" / f"{self.array_id}.json",
            json.dumps({"array_id": self.array_id, "run_ids": list(self.run_ids.values())}),
        )


def submissions(out: Path) -> list[Submission]:
    """What was submitted for runs under `out`, the oldest first."""
    found = []
    for file in (out / "slurm").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(file.read_text(encoding="utf-8"))
            run_ids = dict(enumerate(values["run_ids"]))
            alone = len(run_ids) == 1
            found.append(Submission(out, str(values["array_id"]), run_ids, alone, taken_over=True))
    return sorted(found, key=lambda one: (len(one.array_id), one.array_id))


def in_queue(array_id: str) -> set[int]:
    """The tasks of an array that are waiting or running. One run alone is task 0."""
    command = ["squeue", "--noheader", "--array", "--format=%K", f"--jobs={array_id}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        if "Invalid job id" in done.stderr:  # so long gone that SLURM has forgotten it
            return set()
        raise GanbenchError(f"squeue does not answer: {done.stderr.strip()}")
    return {0 if word == "N/A" else int(word) for word in done.stdout.split()}


def cancel(watched: Iterable[Submission], *, pending_only: bool = False) -> None:
    """Cancel these tasks. Those under way get SIGTERM, on which a run saves what it has."""
    tasks = [one.task(i) for one in watched for i in one.run_ids]
    states = ["--state=PENDING"] if pending_only else []
    for first in range(0, len(tasks), 500):
        subprocess.run(["scancel", *states, *tasks[first : first + 500]], capture_output=True)


def write_end(out: Path, array_id: str, end: JobEnd) -> None:
    """Leave word of how a task ended. Where that can't be written, its run folder still tells."""
    with contextlib.suppress(OSError):
        write_text(_end_file(out, array_id, end.run_id), json.dumps(asdict(end)))


def read_end(out: Path, array_id: str, run_id: str) -> JobEnd | None:
    """How a task ended, if it got so far as to say so."""
    try:
        return JobEnd(**json.loads(_end_file(out, array_id, run_id).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _end_file(out: Path, array_id: str, run_id: str) -> Path:
    return out / "slurm" / array_id / "ends" / f"{run_id}.json"
