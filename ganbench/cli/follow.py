"""`ganbench run` on the ranks after the first: the same run, and not a word about it."""

from __future__ import annotations

import logging
from pathlib import Path

from ganbench.cli.flags import RunFlags
from ganbench.cli.seeds import specs_of

__all__ = ["follow_request"]

_INTERRUPTED = 130


def follow_request(flags: RunFlags, out: Path, force: bool, seeds: str | None) -> int:
    """Play along with rank 0, which prints what there is to say; 0 once it has done so."""
    logging.getLogger("ganbench").addHandler(logging.NullHandler())
    logging.getLogger("ganbench").propagate = False
    from ganbench.plan import make_plan
    from ganbench.registry import default_registry
    from ganbench.store import run_in_store
    from ganbench.together import LeaderFailed, report_failure

    try:
        try:
            registry = default_registry()
            registry.require_local_plugins()
            plans = [make_plan(spec, registry) for spec in specs_of(flags, seeds)]
        except Exception as error:
            report_failure(error)
            raise
        for plan in plans:
            if run_in_store(plan, out, force=force).record.status == "interrupted":
                break
    except LeaderFailed:
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0
