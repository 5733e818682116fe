"""What a sweep says while it runs, and the tables that it keeps up to date meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

from ganbench.errors import GanbenchError
from ganbench.protocols import JobEnd
from ganbench.sweep.planning import PlannedSweep

__all__ = ["Watch", "duration"]

_TABLES_AT_MOST_EVERY_S = 60.0
_TABLES_SHARE = 0.01  # of the sweep's time


class Watch:
    """Told of each run's end: says how far the sweep is, and now and then renews the tables.

    Writing them reads every record of the folder, so the time between is a hundred times what the
    last writing took, and a minute at least.
    """

    def __init__(self, planned: PlannedSweep, say: Callable[[str], None]) -> None:
        self.planned, self.say = planned, say
        self.total = len(planned.left)
        self.ended = 0
        self.failed = 0
        self.started = time.monotonic()
        self.tables_due = self.started + _TABLES_AT_MOST_EVERY_S
        done = len(planned.runs) - self.total
        say(
            f"{self.total} run(s) on {planned.backend_name}"
            + (f", {done} already done" if done else "")
        )

    def on_end(self, end: JobEnd) -> None:
        self.ended += 1
        self.failed += end.status in ("failed", "lost", "unwritable")
        elapsed_s = time.monotonic() - self.started
        left_s = elapsed_s / self.ended * (self.total - self.ended)
        line = f"[{self.ended}/{self.total}] {end.status} {end.run_id}"
        if end.error:
            line += f": {end.error}"
        if self.ended < self.total:
            line += f"  ({self.failed} failed; {duration(left_s)} left)"
        self.say(line)
        if time.monotonic() > self.tables_due:
            self.write_tables()

    def write_tables(self) -> None:
        from ganbench.tables import write_tables

        if not (self.planned.out / "runs").is_dir():
            return
        began = time.monotonic()
        try:
            write_tables(self.planned.out)
        except GanbenchError as error:
            self.say(f"warning: {error}")
        took_s = time.monotonic() - began
        wait_s = max(_TABLES_AT_MOST_EVERY_S, took_s / _TABLES_SHARE)
        self.tables_due = time.monotonic() + wait_s


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`: two digits, for reading."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
