"""A report for a person at a terminal."""

from __future__ import annotations

from ganbench.gate import words
from ganbench.gate.report import Report

__all__ = ["print_report"]

_WIDTH = 160  # of a table that is not printed to a terminal
_STYLES = {"ok": "green", "regressed": "bold red", "inconclusive": "yellow", "reported": "dim"}


def print_report(report: Report) -> None:
    """The table, then why each figure that is not ok is not, notes, and the verdict last."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    if report.rows:
        table = Table(box=SIMPLE_HEAD)
        for name in ("verdict", "case", "metric"):
            table.add_column(name, overflow="fold")
        for name in ("base", "head", "worse by", "interval", "fails above", "n"):
            table.add_column(name, justify="right", overflow="fold")
        for row in report.rows:
            verdict = words.verdict(row)
            cells = (
                row.case,
                row.metric,
                words.number(row.base),
                words.number(row.head, row.unit),
                words.change(row),
                words.interval(row),
                words.percent(row.threshold, sign=False),
                str(row.n),
            )
            table.add_row(f"[{_STYLES[verdict]}]{verdict}[/]", *map(escape, cells))
        console.print(table)
    for row in report.rows:
        if row.gated and row.verdict != "ok":
            _line(console, f"{row.case}, {row.metric}: {row.reason}")
    for note in report.notes:
        _line(console, f"note: {note}")
    if report.problem is not None and report.verdict == "regressed":
        _line(console, f"problem: {report.problem}")
    style = _STYLES["regressed"] if report.problem else _STYLES[report.verdict]
    console.print(words.headline(report), style=style, markup=False, soft_wrap=True)


def _line(console: object, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)  # type: ignore[attr-defined]
