"""A report as a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ganbench.gate import words
from ganbench.gate.report import Report, Row

__all__ = ["MARKER", "to_markdown"]

MARKER = "<!-- ganbench -->"
"""The first line, by which the next run finds its comment and renews it."""

_HEADER = ("verdict", "case", "metric", "base", "head", "worse by", "interval", "fails above", "n")
_SIGNS = {"ok": "✅ ok", "regressed": "❌ regressed", "inconclusive": "❔ inconclusive"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def to_markdown(report: Report, title: str = "Performance") -> str:
    """Headline, what needs attention as a table, and the rest folded away."""
    needed = [row for row in report.rows if row.gated and row.verdict != "ok"]
    others = [row for row in report.rows if row not in needed]
    parts = [MARKER, f"### {escape(title)}: {escape(words.headline(report))}"]
    if report.problem is not None:
        parts.append(f"**{escape(report.problem)}**")
    if needed:
        parts.append(_table(needed))
        parts.append("\n".join(f"- {escape(words.sentence(row))}" for row in needed))
    if others:
        title = f"{len(others)} more {'figure' if len(others) == 1 else 'figures'}"
        parts.append(_folded(title, _table(others)))
    if report.notes:
        parts.append("\n".join(f"- {escape(note)}" for note in report.notes))
    sides = [_side(name, side) for name, side in (("base", report.base), ("head", report.head))]
    if any(sides):
        parts.append(_folded("what was compared", "\n".join(filter(None, sides))))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in a table's cell too."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _table(rows: list[Row]) -> str:
    lines = [_line(_HEADER), _line(["---"] * 3 + ["---:"] * 6)]
    return "\n".join([*lines, *(_line(_cells(row)) for row in rows)])


def _cells(row: Row) -> list[str]:
    cells = [
        row.case,
        row.metric,
        words.number(row.base, row.unit),
        words.number(row.head, row.unit),
        words.change(row),
        words.interval(row),
        words.percent(row.threshold, sign=False),
        str(row.n),
    ]
    return [_SIGNS.get(words.verdict(row), words.verdict(row)), *map(escape, cells)]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _side(name: str, side: Mapping[str, Any]) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in side.items() if value not in (None, ""))
    return f"- {name}: {escape(facts)}" if facts else ""
