"""pytest-benchmark's JSON against pytest-benchmark's JSON: each file is one restart.

Rounds of one process share its layout in memory, its neighbours and its frequency, so they are not
independent: their spread says how well this process was measured, not how the next one will do.
What counts is the median of each file, and files are the units of evidence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ganbench.compare.interleaved import interleaved
from ganbench.compare.judge import LEVEL, Question, judge
from ganbench.compare.results import NOT_IN_TURNS, differing
from ganbench.compare.runs import ENVIRONMENT
from ganbench.errors import UsageError
from ganbench.gate.paired import enough
from ganbench.gate.report import Report, overall
from ganbench.gate.thresholds import Thresholds
from ganbench.gate.words import percent

__all__ = ["DEFAULTS", "FEW_RESTARTS", "Restart", "compare_restarts", "read_restart"]

DEFAULTS = {"time": 0.05, "cpu_time": 0.05, "peak_memory": 0.05}
FEW_RESTARTS = 0.25
"""What a difference must exceed beyond its threshold to be believed of a few restarts: hosted
runners vary by up to a fifth, and medians of restarts spread by 4 to 5 % on a shared machine."""

_UNITS = {"time": "ms", "cpu_time": "ms", "peak_memory": "MB"}


@dataclass(frozen=True)
class Restart:
    """One file: the figures of each benchmark, lower is better; times are ms a step or a call."""

    file: Path
    taken_at: str
    environment: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, float]]


def read_restart(file: Path) -> Restart:
    """Raises `UsageError` for a file that is not pytest-benchmark's."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        machine, benchmarks = content["machine_info"], content["benchmarks"]
        figures = {one["fullname"]: _figures(one) for one in benchmarks}
        cases = [one["extra_info"].get("ganbench") for one in benchmarks]
        own: Mapping[str, Any] = next((case["environment"] for case in cases if case), {})
        cpu = machine.get("cpu") or {}
        environment = {
            "python": machine.get("python_version"),
            "machine": machine.get("machine"),
            "cpu": cpu.get("brand_raw") or machine.get("processor"),
            **{key: own[key] for key in ENVIRONMENT if key in own},
        }
        return Restart(file, content.get("datetime", ""), environment, figures)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"'{file}' is not pytest-benchmark's JSON ({type(error).__name__}: {error}). Write one "
            "with: pytest --benchmark-json FILE"
        ) from None


def compare_restarts(
    base: Sequence[Restart], head: Sequence[Restart], given: Thresholds, allowance: float | None
) -> Report:
    """Judge every benchmark that all files have, the restarts paired in the order of time."""
    base, head = (sorted(side, key=lambda one: one.taken_at) for side in (base, head))
    n = min(len(base), len(head))
    pairs = list(zip(base[:n], head[:n], strict=True))
    names, notes = _common([*base, *head])
    if len(base) != len(head):
        notes.append(f"base has {len(base)} files and head {len(head)}: {n} pairs are compared.")
    given.check_metrics({*DEFAULTS, *(m for name in names for m in base[0].figures[name])})
    problems = []
    if not names:
        problems.append("no benchmark is in every file of both sides")
    differs = _difference(base, head)
    if differs:
        problems.append(f"the speeds can't be compared: {differs}")
    in_turns = interleaved([(b.taken_at, h.taken_at) for b, h in pairs])
    questions = []
    for name in names:
        metrics = [
            m for m in base[0].figures[name] if all(m in r.figures[name] for r in [*base, *head])
        ]
        defaults = {**DEFAULTS, **({"time": math.inf} if "cpu_time" in metrics else {})}
        thresholds = given.over(defaults)
        for metric in metrics:
            apart = not in_turns and metric != "peak_memory"
            question = Question(
                case=name,
                metric=metric,
                unit=_UNITS[metric],
                base=tuple(b.figures[name][metric] for b, _ in pairs),
                head=tuple(h.figures[name][metric] for _, h in pairs),
                direction="lower",
                threshold=thresholds.of(name, metric),
                unit_of_evidence="restart",
                allowance=allowance or 0.0 if apart else 0.0,
                ruled=("inconclusive", f"Not comparable: {differs}.") if differs else None,
            )
            if not differs:
                question = _with_few(question)
            if apart and allowance is None and question.ruled is None:
                question = _ruled(question, "inconclusive", NOT_IN_TURNS)
            questions.append(question)
    rows = tuple(judge(questions))
    return Report(rows, overall(rows), {}, {}, tuple(notes), "; ".join(problems) or None)


def _with_few(question: Question) -> Question:
    """Too few restarts for a test: regressed if every one is far beyond, else inconclusive."""
    n, d = len(question.base), question.differences
    if d is None or n >= enough(LEVEL) or not math.isfinite(question.threshold):
        return question
    limit = math.log1p(question.threshold) + math.log1p(FEW_RESTARTS)
    needed = f"{n} restart{'s' if n > 1 else ''} of the {enough(LEVEL)} that a test needs"
    far = percent(FEW_RESTARTS, sign=False)
    if min(d) > limit:
        reason = f"{needed}, but all are worse by {far} more than the threshold."
        return _ruled(question, "regressed", reason)
    return _ruled(
        question, "inconclusive", f"{needed}: write a file a restart and give a folder of them."
    )


def _ruled(question: Question, verdict: Any, reason: str) -> Question:
    return replace(question, ruled=(verdict, reason))


def _figures(benchmark: Mapping[str, Any]) -> dict[str, float]:
    """Medians of the rounds. A `ganbench_case` says how many steps a round is."""
    stats, own = benchmark["stats"], benchmark["extra_info"].get("ganbench") or {}
    median_s = float(np.median(stats["data"])) if stats.get("data") else float(stats["median"])
    found = {"time": 1e3 * median_s / own.get("steps_per_round", 1)}
    if "cpu_ms_per_step" in own:
        found["cpu_time"] = float(own["cpu_ms_per_step"])
    if "peak_memory_mb" in own:
        found["peak_memory"] = float(own["peak_memory_mb"])
    return found


def _common(restarts: Sequence[Restart]) -> tuple[list[str], list[str]]:
    """The benchmarks of every file, and a note for each other one."""
    every = dict.fromkeys(name for one in restarts for name in one.figures)
    common = [name for name in every if all(name in one.figures for one in restarts)]
    notes = []
    for name in every:
        missing = [one.file.name for one in restarts if name not in one.figures]
        if missing:
            notes.append(f"{name} is not in {', '.join(missing[:3])}: not compared.")
    return common, notes


def _difference(base: Sequence[Restart], head: Sequence[Restart]) -> str:
    sides = [[one.environment for one in side] for side in (base, head)]
    keys = dict.fromkeys(key for side in sides for one in side for key in one)
    return differing(sides, list(keys), {})
