"""Many runs: from a grid to jobs, and jobs to finished runs on whatever there is to run them.

`request` reads flags and files, `expand` makes the settings of every run, `check` makes plans of
them, `drive` hands jobs to a backend until every run has ended. `job` is what a backend calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganbench.sweep.job import execute_job

__all__ = ["execute_job"]


def __getattr__(name: str) -> Any:
    if name == "execute_job":
        from ganbench.sweep.job import execute_job

        return execute_job
    raise AttributeError(f"module 'ganbench.sweep' has no attribute '{name}'")
