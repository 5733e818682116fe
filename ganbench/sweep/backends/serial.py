"""One run after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ganbench.protocols import Backend, Job, JobEnd
from ganbench.sweep.job import execute_job

__all__ = ["serial"]


class Serial:
    def run(
        self, jobs: Sequence[Job], report: Callable[[JobEnd], None], stop: Callable[[], bool]
    ) -> None:
        for job in jobs:
            if stop():
                return
            end = execute_job(job)
            report(end)
            if end.status == "interrupted":
                raise KeyboardInterrupt


def serial() -> Backend:
    """One run after another, in the process of the sweep."""
    return Serial()
