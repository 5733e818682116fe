"""Hand jobs to a backend until every run has ended. The results folder is the only truth."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ganbench.protocols import Backend, Job, JobEnd
from ganbench.sweep.claims import forget_claims, is_claimed

__all__ = ["Sweep", "drive"]

_RETRIES = 1  # of a run whose process died
_LOOK_EVERY_S = 1.0


@dataclass
class Sweep:
    """What has become of each run so far. `ends` are final; a run that is in none has not begun,
    or was begun and lost when the sweep was stopped."""

    ends: dict[str, JobEnd] = field(default_factory=dict)
    stopped_because: str = ""

    def counts(self) -> Counter[str]:
        return Counter(end.status for end in self.ends.values())


def drive(
    jobs: Sequence[Job],
    backend: Backend,
    on_end: Callable[[JobEnd], None] = lambda _: None,
    *,
    sweep: Sweep | None = None,
) -> Sweep:
    """Run all jobs on `backend`.

    A job whose process died is tried once more when the others have ended. A run that another
    process is at is waited for, and taken over if that process dies. When files can't be written,
    no further run is begun. `on_end` is called for each run that has ended for good.
    """
    sweep = Sweep() if sweep is None else sweep
    tries: Counter[str] = Counter()
    pending = list(jobs)
    while pending and not sweep.stopped_because:
        again: dict[str, Job] = {}
        busy: dict[str, Job] = {}
        by_id = {job.run_id: job for job in pending}

        def report(
            end: JobEnd,
            by_id: dict[str, Job] = by_id,
            again: dict[str, Job] = again,
            busy: dict[str, Job] = busy,
        ) -> None:
            job = by_id[end.run_id]
            if end.status == "busy":
                busy[end.run_id] = job
                return
            if end.status == "lost" and tries[end.run_id] < _RETRIES:
                tries[end.run_id] += 1
                again[end.run_id] = job
                return
            if end.status == "unwritable":
                sweep.stopped_because = end.error
            sweep.ends[end.run_id] = end
            on_end(end)

        backend.run(pending, report, lambda: bool(sweep.stopped_because))
        pending = list(again.values())
        if not pending and busy:
            _wait_for_one(busy)
        pending += list(busy.values())
    for out in {job.out for job in jobs}:
        forget_claims(Path(out))
    return sweep


def _wait_for_one(busy: dict[str, Job]) -> None:
    """Until one of these runs has ended elsewhere, or whoever was at it is gone."""
    while all(is_claimed(Path(job.out), run_id) for run_id, job in busy.items()):
        time.sleep(_LOOK_EVERY_S)
