"""The loop: restart after restart until each gated figure is clear or the time is up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ganbench.gate.report import Report, Row, overall
from ganbench.gate.thresholds import Thresholds
from ganbench.perf.decision import METRICS, rows_of
from ganbench.perf.evidence import Restart
from ganbench.perf.installations import (
    Installation,
    check_same_environment,
    check_sources,
)
from ganbench.perf.instructions import INSTRUCTIONS, check_device, count, instructions_row
from ganbench.perf.intervals import looks
from ganbench.perf.sampling import Design, Sampler
from ganbench.perf.servers import Server, SideFailed, running

__all__ = ["Measurement", "Progress", "judge", "measure"]

_MOST_RESTARTS = 100_000

# How far it has come: restarts so far, seconds so far, the rows of the last look.
Progress = Callable[[int, float, Sequence[Row]], None]


@dataclass(frozen=True)
class Measurement:
    """What to measure. `specs` are settings by case; only those that somebody set."""

    base: Installation
    head: Installation
    specs: Mapping[str, Mapping[str, Any]]
    thresholds: Thresholds
    max_time_s: float = 180.0
    design: Design = field(default_factory=Design)
    servers_per_side: int = 3
    instructions: bool = False  # count them, too, under valgrind
    min_restarts: int = 0  # go on to so many, however clear it is: to record evidence
    seed: int | None = None

    def thresholds_of(self, case: str) -> dict[str, float]:
        return {metric: self.thresholds.of(case, metric) for metric in METRICS}


def measure(
    wanted: Measurement,
    *,
    on_restart: Callable[[Restart], None] = lambda _restart: None,
    progress: Progress = lambda _n, _elapsed_s, _rows: None,
) -> Report:
    """Measure head against base. A side that fails makes a report with a problem and no verdict.

    The time that `max_time_s` limits begins when all servers run.
    """
    sides = {side.side: {"label": side.label} for side in (wanted.base, wanted.head)}
    evidence: dict[str, list[Restart]] = {case: [] for case in wanted.specs}
    try:
        with running(
            wanted.base,
            wanted.head,
            wanted.specs,
            per_side=wanted.servers_per_side,
            threads=wanted.design.threads,
        ) as (bases, heads, answers):
            for side, answer in zip((wanted.base, wanted.head), answers, strict=True):
                check_sources(side, answer)
                sides[side.side] |= _described(answer)
            problem = check_same_environment(*answers)
            if problem is not None:
                return Report((), "inconclusive", sides["base"], sides["head"], (), problem)
            counted, counting = _count(wanted, answers[0]) if wanted.instructions else ([], [])
            rows, notes = _draw(wanted, evidence, bases, heads, on_restart, progress)
            rows, notes = rows + counted, notes + counting + _changed_parts(*answers)
    except SideFailed as failure:
        return Report((), "inconclusive", sides["base"], sides["head"], (), str(failure))
    return Report(tuple(rows), overall(rows), sides["base"], sides["head"], tuple(notes))


def judge(
    evidence: Mapping[str, Sequence[Restart]],
    thresholds_of: Callable[[str], Mapping[str, float]],
    look: int,
) -> list[Row]:
    """All cases' rows at a look."""
    gated = sum(1 for case in evidence for limit in thresholds_of(case).values() if limit < 1e300)
    return [
        row
        for case, restarts in evidence.items()
        for row in rows_of(case, restarts, thresholds_of(case), look, gated)
    ]


def _count(wanted: Measurement, answer: Mapping[str, Any]) -> tuple[list[Row], list[str]]:
    """A row of instructions for each case, and a note on how they were counted."""
    check_device(answer)
    counts, capability = count(wanted.base, wanted.head, wanted.specs)
    timed = answer["environment"]["cpu_capability"]
    rows = [
        instructions_row(case, one, wanted.thresholds.of(case, INSTRUCTIONS))
        for case, one in counts.items()
    ]
    return rows, [
        f"instructions were counted by callgrind with {capability} kernels, one thread; "
        f"times are those of {timed}"
    ]


def _draw(
    wanted: Measurement,
    evidence: dict[str, list[Restart]],
    bases: list[Server],
    heads: list[Server],
    on_restart: Callable[[Restart], None],
    progress: Progress,
) -> tuple[list[Row], list[str]]:
    """Restarts of each case in turn, until the evidence decides at a look or the time is up.

    At the end of the time there is one look more, at what there is.
    """
    rng = random.Random(wanted.seed)
    samplers = {case: Sampler(case, bases, heads, wanted.design, rng) for case in evidence}
    rows: list[Row] = []
    begun, look, n, looked_at = time.monotonic(), 0, 0, 0
    for n in range(1, _MOST_RESTARTS):
        for case, restarts in evidence.items():
            restarts.append(samplers[case].draw())
            on_restart(restarts[-1])
        elapsed_s = time.monotonic() - begun
        if n in _LOOKS:
            look, looked_at = look + 1, n
            rows = judge(evidence, wanted.thresholds_of, look)
        progress(n, elapsed_s, rows)
        gated = [row for row in rows if row.gated]
        if looked_at == n >= wanted.min_restarts and all(
            row.verdict != "inconclusive" for row in gated
        ):
            return rows, []
        if elapsed_s > wanted.max_time_s:
            break
    if looked_at != n:
        rows = judge(evidence, wanted.thresholds_of, look + 1)
    return rows, [f"stopped by --max-time after {elapsed_s:.0f} s and {n} restarts"]


_LOOKS = frozenset(looks(_MOST_RESTARTS))


def _described(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ganbench": answer["ganbench"],
        "folder": answer["folder"],
        **{key: str(value) for key, value in answer["environment"].items() if key != "device"},
        "device": ", ".join(answer["environment"]["device"]),
    }


def _changed_parts(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[str]:
    """A note for each case whose parts are others in head: a default may have changed."""
    return [
        f"{case}: {key} is {_names(parts)} in base and {_names(head['components'][case][key])} "
        "in head"
        for case, all_parts in base["components"].items()
        for key, parts in all_parts.items()
        if _names(parts) != _names(head["components"][case].get(key, []))
    ]


def _names(parts: Sequence[Sequence[str]]) -> str:
    return "+".join(name for name, _ in parts)
