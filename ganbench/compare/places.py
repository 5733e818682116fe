"""From two places to a report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from ganbench.compare.pytest_json import Restart, compare_restarts
from ganbench.compare.results import compare_results
from ganbench.compare.runs import Run
from ganbench.compare.sides import Side, read_side
from ganbench.errors import UsageError
from ganbench.gate.report import Report
from ganbench.gate.thresholds import Thresholds

__all__ = ["compare_places"]


def compare_places(
    base: str,
    head: str,
    thresholds: Thresholds | None = None,
    *,
    session_allowance: float | None = None,
) -> Report:
    """Compare two results folders, tables, or sets of pytest-benchmark files.

    `session_allowance` is how far, as a fraction, the machine's speed may have moved between
    sides that were not measured in turns. Without one, their speeds decide nothing.

    Raises `UsageError` for places that hold neither, or one of each.
    """
    given = thresholds or Thresholds({})
    sides = read_side("base", base), read_side("head", head)
    kinds = [_kind(side) for side in sides]
    if kinds[0] != kinds[1]:
        raise UsageError(f"base is {kinds[0]} and head is {kinds[1]}: compare two of one kind")
    if kinds[0] == _RUNS:
        runs = cast("tuple[list[Run], list[Run]]", sides)
        made = compare_results(*runs, given, session_allowance)
    else:
        restarts = cast("tuple[list[Restart], list[Restart]]", sides)
        made = compare_restarts(*restarts, given, session_allowance)
    described = [_described(place, side) for place, side in zip((base, head), sides, strict=True)]
    return replace(made, base=described[0], head=described[1])


_RUNS, _RESTARTS = "ganbench results", "pytest-benchmark JSON"


def _kind(side: Side) -> str:
    return _RUNS if side and isinstance(side[0], Run) else _RESTARTS


def _described(place: str, side: Side) -> dict[str, Any]:
    """Where it is, how much there is, and the environment of the last of it."""
    what = "runs" if _kind(side) == _RUNS else "files"
    environment = side[-1].environment if side else {}
    return {"place": place, what: len(side), **environment}
