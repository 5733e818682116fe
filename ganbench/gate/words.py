"""How numbers and verdicts of a report read, the same in every output."""

from __future__ import annotations

import math

from ganbench.gate.report import Report, Row

__all__ = ["change", "headline", "interval", "number", "percent", "sentence", "verdict"]

NONE = "–"


def number(value: float, unit: str = "") -> str:
    """About four digits and the unit."""
    if not math.isfinite(value):
        return NONE
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{text} {unit}".rstrip()


def percent(fraction: float, sign: bool = True) -> str:
    """0.0512 -> '+5.1 %'."""
    if not math.isfinite(fraction):
        return NONE
    digits = f"{100 * fraction:+.1f}" if sign else f"{100 * fraction:.3g}"
    return f"{digits} %".replace("-", "−")


def change(row: Row) -> str:
    """How much worse: '+5.1 %'; better is negative."""
    return percent(row.worsening)


def interval(row: Row) -> str:
    """'+3.0 % to +7.4 %', with an open side where there is no bound."""
    if math.isnan(row.low) or math.isnan(row.high) or (row.low, row.high) == (-math.inf, math.inf):
        return NONE
    if row.low == -math.inf:
        return f"at most {percent(row.high)}"
    if row.high == math.inf:
        return f"at least {percent(row.low)}"
    return f"{percent(row.low)} to {percent(row.high)}"


def verdict(row: Row) -> str:
    """The verdict, or 'reported' for a figure that is not gated."""
    return row.verdict if row.gated else "reported"


def sentence(row: Row) -> str:
    """'mlp-nonsat: throughput 5.1 % worse (3.0 to 7.4): reason', for a message of one line."""
    spread = f" ({interval(row)})" if interval(row) != NONE else ""
    figures = f"{number(row.base)} → {number(row.head, row.unit)}, {change(row)} worse{spread}"
    return f"{row.case}: {row.metric} {figures}. {row.reason}".strip()


def headline(report: Report) -> str:
    """The verdict over all in a line."""
    gated = [row for row in report.rows if row.gated]
    if report.problem is not None and report.verdict != "regressed":
        return f"not compared: {report.problem}"
    if report.verdict == "regressed":
        named = ", ".join(
            dict.fromkeys(f"{row.metric} of {row.case}" for row in report.regressions())
        )
        return f"regressed: {named}"
    if report.verdict == "inconclusive":
        unsure = sum(row.verdict == "inconclusive" for row in gated)
        return f"inconclusive: {unsure} of {len(gated)} figures are undecided"
    return f"ok: {len(gated)} figures are within their thresholds"
