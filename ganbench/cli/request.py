"""From the flags of `ganbench run` to a run, what it prints, and its exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ganbench.cli.flags import RunFlags
from ganbench.cli.quiet import log_to_stderr, quieten_libraries
from ganbench.cli.seeds import specs_of
from ganbench.heap import give_back_freed_memory
from ganbench.interrupts import leave_at_once
from ganbench.launch import launch

__all__ = ["execute_request"]

_TOO_EARLY = "interrupted before there was anything to keep"
_EXIT_CODES = {"completed": 0, "diverged": 0, "failed": 1, "interrupted": 130}


def execute_request(
    flags: RunFlags,
    out: Path,
    tracker_texts: Sequence[str],
    force: bool,
    as_json: bool,
    quiet: bool,
    seeds: str | None = None,
) -> int:
    """Run what the flags ask for, once a seed, and return the exit code. A run that diverged is a
    result: 0."""
    quieten_libraries()
    if launch().rank:
        from ganbench.cli.follow import follow_request

        return follow_request(flags, out, force, seeds)
    log_to_stderr(logging.WARNING if quiet or as_json else logging.INFO)
    specs = specs_of(flags, seeds)
    with leave_at_once(_TOO_EARLY):
        import_module("ganbench.execution")  # and torch, numpy, torchvision with it
        from ganbench.plan import make_plan
        from ganbench.registry import default_registry
        from ganbench.store import run_in_store, run_vectorized
        from ganbench.tables import write_tables

        registry = default_registry()
        registry.require_local_plugins()
        trackers = [_tracker(registry, text) for text in tracker_texts]
        plans = [make_plan(spec, registry) for spec in specs]
    progress = None if quiet else _progress()
    try:
        watching = trackers if progress is None else [progress, *trackers]
        outcomes = []
        if plans[0].spec.vectorize:
            outcomes = run_vectorized(plans, out, force=force, trackers=watching)
        for plan in plans[len(outcomes) :]:
            outcomes.append(run_in_store(plan, out, force=force, trackers=watching))
            if outcomes[-1].record.status == "interrupted":
                break
    except KeyboardInterrupt:
        print(_TOO_EARLY, file=sys.stderr)
        return 130
    finally:
        if progress is not None:
            progress.close()
    give_back_freed_memory()
    with leave_at_once():
        import_module("pandas")
    write_tables(out)
    if as_json:
        texts = [outcome.record.model_dump_json(indent=2) for outcome in outcomes]
        print(texts[0] if seeds is None else f"[{', '.join(texts)}]")
    elif not quiet:
        from ganbench.cli.summary import summary_lines

        for outcome in outcomes:
            if seeds is not None:
                print(f"seed {outcome.record.spec.seed}")
            print("\n".join(summary_lines(outcome, out)))
    for outcome in outcomes:
        if outcome.record.status == "failed":
            error_file = outcome.folder / "error.txt"
            print(f"error: the run failed: {outcome.record.error} ({error_file})", file=sys.stderr)
    return max(_EXIT_CODES[outcome.record.status] for outcome in outcomes)


def _progress() -> Any:
    from rich.console import Console

    from ganbench.cli.progress import Bar, Lines

    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines()


def _tracker(registry: Any, text: str) -> Any:
    from ganbench.grammar import parse_component
    from ganbench.plan import make_part

    return make_part(registry, "tracker", parse_component(text)).create()
