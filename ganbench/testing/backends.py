"""What a backend must do, whoever wrote it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ganbench.protocols import Backend, Job, JobEnd
from ganbench.registry import Registry, default_registry
from ganbench.store import load_records
from ganbench.sweep.check import plan_runs
from ganbench.testing.faults import (
    ConformanceFailure,
    Crash,
    NotDeterministic,
    WrongInterface,
    crashes_are_faults,
)
from ganbench.testing.subject import Component, subject_of

__all__ = ["check_backend"]

_SETTINGS = {
    "generator": "mlp:hidden=[8]",
    "discriminator": "mlp:hidden=[8]",
    "data": "gaussian:n=64",
    "metrics": [],
    "steps": 3,
    "batch_size": 8,
    "z_dim": 3,
    "device": "cpu",
    "threads": 1,
}


def check_backend(component: Component, *, registry: Registry | None = None) -> None:
    """Raise a `ConformanceFailure` unless the backend runs a small sweep by the rules.

    Each job is run and reported once, one that can't be run is reported as failed and harms no
    other, the weights are those of the same runs one after another in this process, a second
    sweep finds them done, and nothing is begun after `stop()`. Raises `UsageError` if the backend
    refuses to be made.
    """
    part = subject_of("backend", component, registry)
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            expected = _run_here(Path(folder) / "here")
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)
            with crashes_are_faults(part.label, "the backend"):
                backend = part.create()
                if not callable(getattr(backend, "run", None)):
                    raise WrongInterface(part.label, f"{backend!r} has no method run")
                _check(part.label, backend, Path(folder) / "there", expected)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def _check(label: str, backend: Backend, out: Path, expected: dict[str, str | None]) -> None:
    jobs = _jobs(out)
    bad = Job("no-such-run", {**_SETTINGS, "loss": "no-such-loss"}, str(out))
    _expect(label, _ends(backend, [], stopped=False), {}, "no jobs")
    _expect(label, _ends(backend, jobs, stopped=True), {}, "jobs after stop()")
    ends = _ends(backend, [jobs[0], bad, *jobs[1:]], stopped=False)
    wanted = {**dict.fromkeys(expected, "completed"), bad.run_id: "failed"}
    _expect(label, ends, wanted, "two jobs and a bad one")
    found = {record.run_id: record.weights_sha256 for record in load_records(out)}
    if found != expected:
        raise NotDeterministic(label, f"the runs end with other weights: {found}, not {expected}")
    _expect(
        label, _ends(backend, jobs, stopped=False), dict.fromkeys(expected, "done"), "them again"
    )


def _expect(label: str, ends: Sequence[Any], wanted: dict[str, str], given: str) -> None:
    for end in ends:
        if not isinstance(end, JobEnd):
            raise WrongInterface(label, f"reports {end!r}, not a JobEnd")
    found = [(end.run_id, end.status) for end in ends]
    if sorted(found) != sorted(wanted.items()):
        told = "; ".join(end.error for end in ends if end.error)
        raise Crash(label, f"given {given} it reports {found}, not {wanted}. {told}".rstrip())


def _ends(backend: Backend, jobs: Sequence[Job], *, stopped: bool) -> list[JobEnd]:
    ends: list[JobEnd] = []
    backend.run(jobs, ends.append, lambda: stopped)
    return ends


def _jobs(out: Path) -> list[Job]:
    runs = plan_runs([{**_SETTINGS, "seed": seed} for seed in (0, 1)], default_registry())
    return [Job(run.run_id, run.settings, str(out)) for run in runs]


def _run_here(out: Path) -> dict[str, str | None]:
    from ganbench.sweep.job import execute_job

    for job in _jobs(out):
        end = execute_job(job)
        if end.status != "completed":
            raise ConformanceFailure("the kit", f"its own run {end.status}: {end.error}")
    return {record.run_id: record.weights_sha256 for record in load_records(out)}
