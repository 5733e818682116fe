"""From the flags of `ganbench sweep` to its runs, what it prints, and its exit code."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from ganbench.cli.config import read_settings
from ganbench.cli.quiet import log_to_stderr, quieten_libraries
from ganbench.errors import UsageError
from ganbench.interrupts import leave_at_once

__all__ = ["Request", "execute_sweep"]


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says."""

    file: Path | None
    flags: Mapping[str, str]
    config: str | None
    assignments: Sequence[str]
    exclude: Sequence[str]
    backend: str
    backend_options: Mapping[str, Any]
    detach: bool
    budget: str | None
    dry_run: bool
    rehearse: bool
    out: Path
    force: bool
    as_json: bool
    quiet: bool


def execute_sweep(asked: Request) -> int:
    """Run the sweep and return the exit code: 0 if every run is done, 1 if one failed or was not
    begun, 130 if it was interrupted."""
    quieten_libraries()
    log_to_stderr(logging.WARNING if asked.quiet or asked.as_json else logging.INFO)
    say = _nothing if asked.quiet else _say
    with leave_at_once("interrupted before a run was begun"):
        import_module("ganbench.execution")
        planned = _planned(asked, say)
    if asked.dry_run:
        from ganbench.cli.sweep_summary import dry_run_lines, dry_run_values

        listed = dry_run_values(planned)
        print(json.dumps(listed, indent=2) if asked.as_json else "\n".join(dry_run_lines(planned)))
        return 0
    from ganbench.sweep.manifest import save_manifest

    save_manifest(asked.out, [run.run_id for run in planned.runs])
    if asked.detach:
        return _detach(asked, planned)
    with _sigterm_interrupts():
        return _run(asked, planned, say)


def _planned(asked: Request, say: Callable[[str], None]) -> Any:
    """Every run, checked, with what is done of them and what the rest will take."""
    from ganbench.registry import default_registry
    from ganbench.store import check_writable
    from ganbench.sweep.backend import make_backend
    from ganbench.sweep.budget import parse_budget
    from ganbench.sweep.expand import expand
    from ganbench.sweep.planning import plan_sweep
    from ganbench.sweep.request import make_request, parse_exclusion, read_sweep_file

    check_writable(asked.out)
    registry = default_registry()
    registry.require_local_plugins()
    backend = make_backend(asked.backend, registry, **asked.backend_options)
    if asked.detach and not callable(getattr(backend, "submit", None)):
        raise UsageError(
            f"backend '{asked.backend}' runs as long as the sweep does, so it can't be left: "
            "--detach is for slurm"
        )
    budget = parse_budget(asked.budget) if asked.budget else None
    request = make_request(
        read_sweep_file(asked.file) if asked.file else {},
        asked.flags,
        read_settings(asked.config, asked.assignments),
        [parse_exclusion(text) for text in asked.exclude],
        f"'{asked.file}'" if asked.file else "the command line",
    )
    return plan_sweep(
        list(expand(request)),
        registry,
        asked.out,
        backend=backend,
        backend_name=asked.backend,
        budget=budget,
        force=asked.force,
        rehearse=asked.rehearse,
        say=say,
    )


def _detach(asked: Request, planned: Any) -> int:
    """Hand over what is left and leave."""
    jobs = planned.jobs()
    submissions = planned.backend.submit(jobs) if jobs else []
    tasks = [
        {"run_id": run_id, "task": one.task(i), "submitted": not one.taken_over}
        for one in submissions
        for i, run_id in one.run_ids.items()
    ]
    done = len(planned.runs) - len(jobs)
    new = sum(task["submitted"] for task in tasks)
    if asked.as_json:
        told = {"out": str(asked.out), "runs": len(planned.runs), "done": done, "tasks": tasks}
        print(json.dumps(told, indent=2))
    elif not asked.quiet:
        before = f", {len(tasks) - new} of them from before" if len(tasks) > new else ""
        already = f"; {done} already done" if done else ""
        print(f"{len(tasks)} run(s) are with {planned.backend_name}{before}{already}")
        print(f"  how far they are:  ganbench status {asked.out}")
        print(f"  tables and errors: ganbench collect {asked.out}")
    return 0


def _run(asked: Request, planned: Any, say: Callable[[str], None]) -> int:
    from ganbench.cli.sweep_summary import summary_lines, summary_values
    from ganbench.sweep.drive import Sweep, drive
    from ganbench.sweep.progress import Watch

    sweep, interrupted = Sweep(), False
    watch = Watch(planned, say)
    try:
        drive(planned.jobs(), planned.backend, watch.on_end, sweep=sweep)
    except KeyboardInterrupt:
        interrupted = True
    with leave_at_once():
        import_module("pandas")
    watch.write_tables()
    values = summary_values(planned, sweep, interrupted)
    if asked.as_json:
        print(json.dumps(values, indent=2))
    elif not asked.quiet:
        print("\n".join(summary_lines(planned, sweep, values)))
    if sweep.stopped_because:
        print(f"error: {sweep.stopped_because}", file=sys.stderr)
    if interrupted:
        return 130
    return 0 if values["done"] == values["runs"] else 1


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """In the body SIGTERM does what Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _nothing(text: str) -> None:
    """--quiet"""
