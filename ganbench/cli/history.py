"""`ganbench history`: figures over commits, and where they changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ganbench.history.series import Series

__all__ = ["history_app"]

history_app = typer.Typer(
    no_args_is_help=True, help="Figures over commits: add to them, show them, draw them."
)

_WIDTH = 120  # of a table that is not printed to a terminal

File = Annotated[Path, typer.Option("--file", metavar="FILE", help="The history, JSON lines.")]
Case = Annotated[str | None, typer.Option(metavar="NAME", help="This case only.")]
Metric = Annotated[str | None, typer.Option(metavar="NAME", help="This metric only.")]
_DEFAULT = Path("performance-history.jsonl")


@history_app.command()
def add(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="REPORT|RESULTS",
            help="The --json of compare or perf, or a results folder.",
            show_default=False,
        ),
    ],
    commit: Annotated[
        str, typer.Option(metavar="SHA", help="What was measured.", show_default=False)
    ],
    date: Annotated[
        str | None, typer.Option(metavar="ISO", help="The commit's date. Default: now.")
    ] = None,
    file: File = _DEFAULT,
) -> None:
    """Add the figures of a commit to the history.

    Of a report, the head's figures are added. Of a results folder, medians over seeds.

    Example:

      ganbench history add report.json --commit $(git rev-parse HEAD)
    """
    from ganbench.history.rows import add_rows, rows_of

    rows = rows_of(place, commit, date)
    add_rows(file, rows)
    print(f"{file}: {len(rows)} figures of {commit[:10]} added")


@history_app.command()
def show(
    file: File = _DEFAULT,
    case: Case = None,
    metric: Metric = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the series as JSON, and nothing else.")
    ] = False,
) -> None:
    """Print each series with the commits at which its level changed."""
    from ganbench.history.rows import read_rows
    from ganbench.history.series import series_of

    found = series_of(read_rows(file), case, metric)
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        _print_table(found)


@history_app.command()
def plot(
    file: File = _DEFAULT,
    case: Case = None,
    metric: Metric = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The picture: .png, .svg or .pdf.")
    ] = Path("performance-history.png"),
) -> None:
    """Draw each series with its levels and the commits at which they changed."""
    from ganbench.errors import GanbenchError
    from ganbench.history.draw import check_picture, draw_history
    from ganbench.history.rows import read_rows
    from ganbench.history.series import series_of

    check_picture(out)
    found = series_of(read_rows(file), case, metric)
    if not found:
        raise GanbenchError(f"history '{file}' is empty")
    draw_history(found, out)
    print(f"picture: {out}")


def _print_table(found: Sequence[Series]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ganbench.gate.words import number, percent
    from ganbench.history.series import sort_of

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    table = Table(box=SIMPLE_HEAD)
    for name in ("case", "metric"):
        table.add_column(name, overflow="fold")
    for name in ("commits", "last"):
        table.add_column(name, justify="right")
    table.add_column("changes", overflow="fold")
    for one in found:
        changes = [
            f"{one.rows[c.index].commit[:10]} {percent(c.ratio - 1)} {sort_of(c, one.metric)}"
            for c in one.changes
        ]
        last = number(one.values[-1], one.unit)
        cells = (one.case, one.metric, str(len(one.rows)), last, "\n".join(changes) or "–")
        table.add_row(*map(escape, cells))
    console.print(table)
