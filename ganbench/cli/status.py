"""`ganbench status` and `collect`: how far the sweeps of a folder are, and their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["collect", "status"]

_Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="Results folder.")]
_Json = Annotated[bool, typer.Option("--json", help="Print it as JSON, and nothing else.")]
_SHOWN = 20


def status(folder: _Folder = Path("results"), as_json: _Json = False) -> None:
    """How far the sweeps of DIR are: done, running, waiting, failed.

    The folder alone is asked, so this works from any machine that sees it.
    """
    counts = _states(folder)
    _tell(counts, as_json)


def collect(folder: _Folder = Path("results"), as_json: _Json = False) -> None:
    """Write the tables of what is done in DIR, and tell what is not and why.

    Exit code 0 if every run of its sweeps is done, 1 if one is not.
    """
    from ganbench.tables import write_tables

    found = _states(folder)
    if (folder / "runs").is_dir():
        write_tables(folder)
    _tell(found, as_json, reasons=True)
    if found["done"] < found["runs"]:
        raise typer.Exit(1)


def _states(folder: Path) -> dict[str, Any]:
    from ganbench.errors import UsageError
    from ganbench.sweep.manifest import error_of, run_ids_of, state_of

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"'{folder}' is a file: give the results folder, sweep's --out")
    run_ids = run_ids_of(folder)
    if not run_ids:
        raise UsageError(f"no sweeps in '{folder}': start one with ganbench sweep --out {folder}")
    states = {run_id: state_of(folder, run_id) for run_id in run_ids}
    counts: dict[str, int] = {}
    for state in states.values():
        counts[state] = counts.get(state, 0) + 1
    done = counts.get("completed", 0) + counts.get("diverged", 0)
    left = {r: state for r, state in states.items() if state not in ("completed", "diverged")}
    errors = {r: error_of(folder, r) for r, state in left.items() if state == "failed"}
    return {
        "out": str(folder),
        "runs": len(run_ids),
        "done": done,
        "states": counts,
        "left": left,
        "errors": errors,
    }


def _tell(found: dict[str, Any], as_json: bool, *, reasons: bool = False) -> None:
    import json

    if as_json:
        print(json.dumps(found, indent=2))
        return
    counts = ", ".join(f"{n} {state}" for state, n in sorted(found["states"].items()))
    print(f"{found['done']} of {found['runs']} runs done: {counts}")
    left = list(found["left"].items())
    for run_id, state in left[:_SHOWN] if reasons else ():
        error = found["errors"].get(run_id)
        print(f"  {state}: {run_id}" + (f": {error}" if error else ""))
    if reasons and len(left) > _SHOWN:
        print(f"  and {len(left) - _SHOWN} more")
    if reasons:
        print(f"  tables  {Path(found['out']) / 'throughput.md'}  {Path(found['out']) / 'fid.md'}")
