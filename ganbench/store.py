"""Run folders: `<out>/runs/<run_id>/`, whole or absent, and the way back from them to records.

A run collects its files in a hidden folder of its own, which is renamed into place when it ends.
Checkpoints lie in `<out>/checkpoints/<run_id>/` until then: what a killed run left there is what
the same command goes on from. Two processes at the same run write the same bits, so neither
needs a lock.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import logging
import os
import shutil
import socket
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganbench.errors import CannotWrite, UsageError
from ganbench.files import write_text
from ganbench.plan import Plan
from ganbench.protocols import Tracker
from ganbench.record import RunRecord

__all__ = [
    "Outcome",
    "check_writable",
    "load_records",
    "run_in_store",
    "run_vectorized",
    "status_of",
]

log = logging.getLogger("ganbench")

_FINISHED = ("completed", "diverged")
_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request to run."""

    record: RunRecord
    folder: Path
    already_done: bool


def run_in_store(
    plan: Plan,
    out: Path,
    *,
    force: bool = False,
    trackers: Sequence[Tracker] = (),
    keep_refusals: bool = False,
) -> Outcome:
    """Run `plan` under `out`, go on with what was interrupted, or find the finished run.

    A failure inside the run is a record with status `failed` and the traceback in `error.txt`.
    Raises `UsageError`, with nothing written, for parts that turn out not to fit together; with
    `keep_refusals` that too is a failed run's record. Raises `CannotWrite` if files can't be
    written.
    """
    if plan.spec.ranks not in (None, 1):
        return _run_together(plan, out, force, trackers)
    if plan.spec.vectorize:
        return run_vectorized(
            [plan], out, force=force, trackers=trackers, keep_refusals=keep_refusals
        )[0]
    from ganbench.execution import execute

    return _run(plan, out, force, trackers, execute, keep_refusals)


def run_vectorized(
    plans: Sequence[Plan],
    out: Path,
    *,
    force: bool = False,
    trackers: Sequence[Tracker] = (),
    keep_refusals: bool = False,
) -> list[Outcome]:
    """As `run_in_store` for plans that differ in their seeds only, which train at once. Those that
    are finished are found."""
    from ganbench.many import failing, train_many

    found = {plan.run_id: _load(out / "runs" / plan.run_id) for plan in plans}
    done = {key for key, one in found.items() if one and one.status in _FINISHED and not force}
    check_writable(out)
    fresh = [plan for plan in plans if plan.run_id not in done]
    try:
        executes = train_many(fresh, trackers) if fresh else []
    except Exception as error:
        if isinstance(error, UsageError) and not keep_refusals:
            raise
        executes = [failing(error)] * len(fresh)
    execute = {plan.run_id: one for plan, one in zip(fresh, executes, strict=True)}
    return [
        _run(plan, out, force, trackers, execute.get(plan.run_id), keep_refusals) for plan in plans
    ]


def _run_together(plan: Plan, out: Path, force: bool, trackers: Sequence[Tracker]) -> Outcome:
    """Rank 0 runs and writes; the others play along and return its record."""
    from ganbench.launch import launch
    from ganbench.together import follow, leading

    if launch().rank:
        record = follow(plan, out / "checkpoints" / plan.run_id)
        return Outcome(record, out / "runs" / plan.run_id, already_done=False)
    with leading(plan) as (execute, tell):
        outcome = _run(plan, out, force, trackers, execute, keep_refusals=False)
        tell(outcome.record)
        return outcome


def _run(
    plan: Plan,
    out: Path,
    force: bool,
    trackers: Sequence[Tracker],
    execute: Callable[..., RunRecord] | None,
    keep_refusals: bool = False,
) -> Outcome:
    """Execute the plan unless it is done. No `execute` says that it is."""
    final, checkpoints = out / "runs" / plan.run_id, out / "checkpoints" / plan.run_id
    earlier = _load(final)
    if earlier is not None and earlier.status in _FINISHED and (execute is None or not force):
        return Outcome(earlier, final, already_done=True)
    check_writable(out)
    if force:
        shutil.rmtree(checkpoints, ignore_errors=True)
    work = final.with_name(f".{plan.run_id}.{socket.gethostname()}-{os.getpid()}.tmp")
    try:
        try:
            assert execute is not None
            record = execute(plan, work, checkpoints, trackers=trackers)
        except Exception as error:
            if isinstance(error, UsageError) and not keep_refusals:
                raise
            if isinstance(error, OSError) and error.errno in _CANNOT_WRITE:
                raise
            record = _failed(plan, work, error)
        record.save(work)
        _publish(work, final)
    except OSError as error:
        raise _cannot_write(error, checkpoints) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if record.status in _FINISHED:
        shutil.rmtree(checkpoints, ignore_errors=True)
        _remove_if_empty(checkpoints.parent)
        _remove_abandoned(final)
    for tracker in trackers:
        tracker.run_end(record, final)
    return Outcome(record, final, already_done=False)


def status_of(out: Path, run_id: str) -> str | None:
    """The status of a run that has a record."""
    record = _load(out / "runs" / run_id)
    return record.status if record else None


def load_records(out: Path) -> list[RunRecord]:
    """Every record under `out`, by run_id. One that can't be read is reported and left out. Hidden
    folders are of runs under way, or killed before theirs was renamed."""
    folders = sorted(p.parent for p in (out / "runs").glob("[!.]*/record.json"))
    return [record for folder in folders if (record := _load(folder)) is not None]


def _load(folder: Path) -> RunRecord | None:
    try:
        return RunRecord.load(folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, UsageError) as error:
        log.warning("%s can't be read and is left out: %s", folder / "record.json", error)
        return None


def check_writable(out: Path) -> None:
    """Raise `UsageError` unless files can be made under `out`. Leaves nothing behind."""
    existing = next(p for p in (out, *out.absolute().parents) if p.exists())
    try:
        if not existing.is_dir():
            raise NotADirectoryError(f"{existing} is not a folder")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"out is '{out}', where nothing can be written: {reason}") from None


def _cannot_write(error: OSError, checkpoints: Path) -> CannotWrite:
    kept = " The last checkpoint is kept." if (checkpoints / "checkpoint.json").exists() else ""
    where = f" ({error.filename})" if error.filename else ""
    return CannotWrite(
        f"the run's files can't be written: {error.strerror or error}{where}.{kept} "
        "Mend that, then give the same command again"
    )


def _failed(plan: Plan, work: Path, error: Exception) -> RunRecord:
    write_text(work / "error.txt", traceback.format_exc())
    return RunRecord(
        run_id=plan.run_id,
        spec=plan.spec,
        spec_sha256=plan.spec_sha256,
        status="failed",
        steps_done=0,
        nimg=0,
        error=f"{type(error).__name__}: {error}",
    )


def _publish(work: Path, final: Path) -> None:
    """Rename the finished folder into its place, putting an older one aside first."""
    aside = work.with_suffix(".old")
    for _ in range(10):
        try:
            work.replace(final)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        with contextlib.suppress(FileNotFoundError):
            final.replace(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _remove_abandoned(final: Path) -> None:
    """Drop what processes of this machine that were killed had begun to write for this run."""
    import psutil

    for folder in final.parent.glob(f".{glob.escape(final.name)}.{socket.gethostname()}-*.tmp"):
        pid = folder.name.removesuffix(".tmp").rpartition("-")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
