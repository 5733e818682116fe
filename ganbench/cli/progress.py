"""A run's progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from ganbench.protocols import Snapshot
from ganbench.record import RunRecord
from ganbench.spec import RunSpec

__all__ = ["Bar", "Lines"]

_LINES_PER_RUN = 10
_SECONDS_BETWEEN_LINES = 5.0


def _terms(snapshot: Snapshot) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in snapshot.terms.items())


class Bar:
    """A tracker: it/s, losses and time left.

    It is drawn between timed chunks only. A thread that redraws it would take part in them.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}"),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task: TaskID | None = None
        self._metrics = ""

    def run_start(self, spec: RunSpec, run_id: str) -> None:
        self._metrics = ", ".join(spec.metrics)
        self._progress.console.print(f"run {escape(run_id)}", highlight=False)
        self._task = self._progress.add_task("training", total=spec.steps, rate="", terms="")
        self._progress.start()

    def progress(self, snapshot: Snapshot) -> None:
        assert self._task is not None
        done = snapshot.step >= snapshot.steps
        self._progress.update(
            self._task,
            completed=snapshot.step,
            description="evaluating" if done and self._metrics else "training",
            rate=f"{snapshot.steps_per_s:.1f} it/s",
            terms=escape(_terms(snapshot)),
            refresh=True,
        )

    def run_end(self, record: RunRecord, folder: Path) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back, whatever became of the run."""
        self._progress.stop()


class Lines:
    """A tracker that prints plain lines: about ten a run, none within five seconds of another."""

    def __init__(self) -> None:
        self._printed_at = 0.0
        self._printed_step = 0
        self._metrics = ""

    def run_start(self, spec: RunSpec, run_id: str) -> None:
        self._metrics = ", ".join(spec.metrics)
        self._printed_at = time.monotonic()
        self._say(f"run {run_id}")

    def progress(self, snapshot: Snapshot) -> None:
        now, done = time.monotonic(), snapshot.step >= snapshot.steps
        due = snapshot.step - self._printed_step >= snapshot.steps / _LINES_PER_RUN
        if done or (due and now - self._printed_at >= _SECONDS_BETWEEN_LINES):
            left_s = (snapshot.steps - snapshot.step) / snapshot.steps_per_s
            self._say(
                f"step {snapshot.step}/{snapshot.steps}  {snapshot.steps_per_s:.1f} it/s  "
                f"{_terms(snapshot)}  {left_s:.0f} s left"
            )
            self._printed_at, self._printed_step = now, snapshot.step
        if done and self._metrics:
            self._say(f"evaluating {self._metrics}")

    def run_end(self, record: RunRecord, folder: Path) -> None:
        """The summary follows."""

    def close(self) -> None:
        """Lines leave nothing open."""

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
