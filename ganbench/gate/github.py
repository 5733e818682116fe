"""A report for GitHub: annotations of a workflow run, and github-action-benchmark's JSON."""

from __future__ import annotations

import json
import math

from ganbench.gate import words
from ganbench.gate.directions import SHARES, better
from ganbench.gate.report import Report, Row

__all__ = ["to_annotations", "to_github_benchmark"]


def to_annotations(report: Report) -> str:
    """Workflow commands, one a line: an error a regression, a warning what is undecided, and a
    notice for the headline. GitHub shows ten of each kind a step, so the worst come first."""
    lines = []
    if report.problem is not None:
        lines.append(_command("error", "Not compared", report.problem))
    gated = sorted((row for row in report.rows if row.gated), key=_badness)
    for row in gated:
        if row.verdict == "regressed":
            lines.append(_command("error", f"Regressed: {row.metric}", words.sentence(row)))
    for row in gated:
        if row.verdict == "inconclusive":
            lines.append(_command("warning", f"Inconclusive: {row.metric}", words.sentence(row)))
    lines.append(_command("notice", "Performance", words.headline(report)))
    return "\n".join(lines) + "\n"


def to_github_benchmark(report: Report) -> str:
    """The head's figures for github-action-benchmark with `tool: customSmallerIsBetter`.

    That action takes one direction a file, so a figure of which more is better is turned round: a
    throughput into the time of an image, a share into what it lacks of 1. Others are left out, as
    are figures whose direction nobody declared.
    """
    return json.dumps([entry for row in report.rows for entry in _entry(row)], indent=2) + "\n"


def _entry(row: Row) -> list[dict[str, object]]:
    name, value, unit = row.metric, row.head, row.unit
    if not math.isfinite(value):
        return []
    if row.metric == "throughput":
        name, value, unit = "time of an image", 1000 / value if value else math.inf, "ms"
    elif row.metric in SHARES:
        name, value, unit = f"1 - {row.metric}", 1 - value, ""
    elif better(row.metric) != "lower":
        return []
    extra = f"base: {words.number(row.base, row.unit)}\nworse by {words.change(row)}"
    entry: dict[str, object] = {"name": f"{row.case} / {name}", "unit": unit, "value": value}
    if math.isfinite(row.low) and math.isfinite(row.high):
        entry["range"] = f"± {100 * (row.high - row.low) / 2:.2g} %"
    if not math.isfinite(value):
        return []
    return [{**entry, "extra": f"{extra}\n{row.reason}"}]


def _badness(row: Row) -> float:
    return -row.worsening if math.isfinite(row.worsening) else 0.0


def _command(kind: str, title: str, message: str) -> str:
    return f"::{kind} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """The escapes of a workflow command's message, as the toolkit's `escapeData` writes them."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
