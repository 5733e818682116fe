"""From evidence to rows: regressed, ok, or not yet clear."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ganbench.gate.report import CONTROL, Row, Verdict
from ganbench.perf.evidence import ARMS, Arm, Clock, Restart
from ganbench.perf.intervals import Interval, alpha_of_look, centre_interval

__all__ = ["ALPHA", "DEFAULTS", "METRICS", "Judged", "decide", "gated_clock", "rows_of"]

# The chance that any bound of any gated row, at any look, is wrong, for each side of the threshold.
ALPHA = 0.005
DEFAULTS: Mapping[str, float] = {
    "throughput": 0.02,
    "peak_memory": 0.03,
    "memory_growth": 0.10,
}
METRICS = ("throughput", "peak_memory", "memory_growth", "wall_time")
TOO_NOISY = "this machine is too noisy"


@dataclass(frozen=True, slots=True)
class Judged:
    verdict: Verdict
    reason: str


def decide(change: Interval, twin: Interval, threshold: float) -> Judged:
    """The rule. All three are relative changes: 0.05 is 5 % worse.

    regressed: head's lower bound is above the threshold, and above all that base can differ from
    itself, as its second worker (the twin) shows. ok: head's upper bound and the twin's interval
    are within the threshold. Nothing is decided while the twin seems to differ from base.
    """
    if math.isinf(change.low) or math.isinf(twin.low):
        return Judged("inconclusive", "too few restarts for an interval: raise --max-time")
    noise = max(abs(twin.low), abs(twin.high))
    if twin.low > 0 or twin.high < 0:
        return Judged("inconclusive", f"{TOO_NOISY}: base differs from itself by {_range(twin)}")
    if change.low > threshold:
        if change.low > noise:
            return Judged("regressed", f"at least {_percent(change.low)} worse")
        return Judged(
            "inconclusive", f"{TOO_NOISY}: base differs from itself by up to {_percent(noise)}"
        )
    if change.high < threshold:
        if noise < threshold:
            return Judged("ok", f"at most {_percent(change.high)} worse")
        return Judged(
            "inconclusive", f"{TOO_NOISY}: base differs from itself by up to {_percent(noise)}"
        )
    return Judged("inconclusive", f"the interval includes the threshold, {_percent(threshold)}")


def gated_clock(restarts: Sequence[Restart]) -> Clock:
    """Device events where there are some, else CPU time."""
    return "device_s" if restarts[0].chunks[0].device_s is not None else "cpu_s"


def rows_of(
    case: str, restarts: Sequence[Restart], thresholds: Mapping[str, float], look: int, family: int
) -> list[Row]:
    """The case's rows at this look: those gated by `thresholds`, and the others as they are.

    `family` is how many rows are gated in all; each gets an equal share of `ALPHA`.
    """
    alpha = alpha_of_look(ALPHA / max(family, 1), look)
    clock = gated_clock(restarts)
    images = restarts[0].images_per_step

    def rate(arm: Arm) -> float:
        return float(np.median([images / one.seconds_per_step(arm, clock) for one in restarts]))

    def row(
        metric: str, unit: str, base: float, head: float, changes: tuple[Interval, Interval]
    ) -> Row:
        change, twin = changes
        threshold = thresholds.get(metric, math.inf)
        judged = (
            decide(change, twin, threshold)
            if math.isfinite(threshold)
            else Judged("ok", "reported, not gated")
        )
        figures = (change.estimate, change.low, change.high, threshold)
        return Row(
            case, metric, unit, base, head, *figures, judged.verdict, judged.reason, len(restarts)
        )

    def growth(arm: Arm) -> float:
        return float(np.median([one.growth_bytes_per_step(arm) for one in restarts])) / 1e3

    def time_changes(clock: Clock) -> tuple[Interval, Interval]:
        return _changes(restarts, lambda one, twin: one.log_ratio(clock, twin=twin), alpha)

    grown = tuple(
        centre_interval([one.projected_growth(twin=twin) for one in restarts], alpha)
        for twin in (False, True)
    )
    gated = time_changes(clock)
    twin = gated[1]
    memory = _changes(restarts, lambda one, twin: one.log_memory_ratio(twin=twin), alpha)
    peaks = {
        arm: float(np.median([one.peak_memory[arm] for one in restarts])) / 1e6 for arm in ARMS
    }
    wall = {
        arm: float(np.median([one.seconds_per_step(arm, "wall_s") for one in restarts])) * 1e3
        for arm in ARMS
    }
    made = [
        row("throughput", "images/s", rate("base"), rate("head"), gated),
        row("peak_memory", "MB", peaks["base"], peaks["head"], memory),
        row("memory_growth", "kB/step", growth("base"), growth("head"), (grown[0], grown[1])),
        row("wall_time", "ms/step", wall["base"], wall["head"], time_changes("wall_s")),
    ]
    own = (twin.estimate, twin.low, twin.high, math.inf)
    reason = "base against a second worker of base: should be 0"
    rates = (rate("base"), rate("twin"))
    made.append(
        Row(case, "throughput" + CONTROL, "images/s", *rates, *own, "ok", reason, len(restarts))
    )
    return made


def _changes(
    restarts: Sequence[Restart], log_ratio: Callable[[Restart, bool], float], alpha: float
) -> tuple[Interval, Interval]:
    """Head's relative change, exp(log-ratio) − 1, and the twin's."""
    change, twin = (
        centre_interval([log_ratio(one, twin) for one in restarts], alpha) for twin in (False, True)
    )
    return _relative(change), _relative(twin)


def _relative(logs: Interval) -> Interval:
    return Interval(*(_expm1(x) for x in (logs.estimate, logs.low, logs.high)))


def _expm1(x: float) -> float:
    return math.expm1(x) if math.isfinite(x) else x


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %".replace("-", "−")


def _range(interval: Interval) -> str:
    return f"{_percent(interval.low)} to {_percent(interval.high)}"
