"""The Python interface: `ganbench.run(spec) -> RunRecord`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ganbench.launch import launch
from ganbench.plan import make_plan
from ganbench.protocols import Tracker
from ganbench.record import RunRecord
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.store import load_records, run_in_store
from ganbench.tables import write_tables

__all__ = ["load_records", "run"]


def run(
    spec: RunSpec,
    out: str | os.PathLike[str] = "results",
    *,
    force: bool = False,
    trackers: Sequence[Tracker] = (),
) -> RunRecord:
    """Run `spec` under the folder `out` and renew its tables; the record of a run that is already
    finished is returned at once, unless `force`.

    Raises `UsageError` if the spec can't run. A run that fails returns a record that says so.
    """
    plan = make_plan(spec, default_registry())
    outcome = run_in_store(plan, Path(out), force=force, trackers=trackers)
    if launch().rank == 0:
        write_tables(Path(out))
    return outcome.record
