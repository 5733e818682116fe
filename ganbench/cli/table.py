"""`ganbench table`: the tables of a results folder, run by run or cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ganbench.index import Summary

__all__ = ["summaries_of", "table"]

_CELLS = "Cells"
_STATS = {"median": ["median"], "iqr": ["q25", "q75"], "interval": ["low", "high"]}


def table(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Results folder.", show_default=True)
    ] = Path("results"),
    by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY[,KEY…]",
            help="A row a cell of these settings (opt: both optimizers), not a run.",
            rich_help_panel=_CELLS,
        ),
    ] = None,
    stat: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME…]",
            help="median, iqr (quartiles), interval (bootstrap, of the median).",
            rich_help_panel=_CELLS,
        ),
    ] = "median,iqr,interval",
    over: Annotated[
        str | None,
        typer.Option(
            metavar="KEY[,KEY…]",
            help="Sensitivity: best, median and spread of a cell over these settings.",
            rich_help_panel=_CELLS,
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="Of the cells.", rich_help_panel=_CELLS)
    ] = "fid",
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Only runs with this setting; repeatable.",
            rich_help_panel=_CELLS,
        ),
    ] = None,
    higher_is_better: Annotated[
        bool | None,
        typer.Option(
            "--higher/--lower",
            help="Which is better, for a metric of a plugin.",
            rich_help_panel=_CELLS,
        ),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(
            metavar="P", help="The interval's error: 1 − confidence.", rich_help_panel=_CELLS
        ),
    ] = 0.05,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The cells as .csv, .md or .tex.", rich_help_panel=_CELLS
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the rows as JSON, and nothing else.")
    ] = False,
) -> None:
    """Rebuild throughput.csv|md and fid.csv|md from the runs in DIR, and print them.

    With --by, print a row a cell instead: its median over seeds, quartiles, a
    bootstrap interval, and the share of runs that diverged.

    Examples:

      ganbench table --by loss,opt --stat median

      ganbench table --by loss --over opt --metric kid
    """
    from ganbench.errors import UsageError

    if by is not None:
        options = (stat, over, metric, where or [], higher_is_better, alpha, out, as_json)
        _print_cells(folder, by, *options)
        return
    if over or where or out:
        raise UsageError("--over, --where and --out are of cells: give --by as well")
    from ganbench.tables import as_rows, write_tables

    _require_runs(folder)
    throughput, fid = write_tables(folder)
    if as_json:
        import json

        print(json.dumps({"throughput": as_rows(throughput), "fid": as_rows(fid)}, indent=2))
    else:
        from ganbench.cli.concise import concise_tables

        print(concise_tables(throughput, fid), end="")


def summaries_of(folder: Path) -> Iterator[Summary]:
    """What the records under `folder` hold. Raises `UsageError` if there is none."""
    from ganbench.index import summaries

    _require_runs(folder)
    return summaries(folder)


def _require_runs(folder: Path) -> None:
    from ganbench.errors import UsageError

    if not any((folder / "runs").glob("[!.]*/record.json")):
        raise UsageError(
            f"no runs in '{folder}': make one with `ganbench run --out {folder}`, "
            "or name the folder that an earlier one wrote to"
        )


def _print_cells(
    folder: Path,
    by: str,
    stat: str,
    over: str | None,
    metric: str,
    where: list[str],
    higher_is_better: bool | None,
    alpha: float,
    out: Path | None,
    as_json: bool,
) -> None:
    from ganbench.cli.frames import (
        check_table_file,
        json_text,
        parse_list,
        parse_where,
        save_frame,
    )
    from ganbench.errors import UsageError, unknown
    from ganbench.stats.cells import cell_table, check_settings, remarks_on_cells, search_table
    from ganbench.stats.sample import sample_of
    from ganbench.tables import to_markdown

    if out:
        check_table_file(out)
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}, but must lie between 0 and 1")
    wanted = parse_list(stat)
    for name in wanted:
        if name not in _STATS:
            raise unknown("statistic", name, _STATS)
    keys = parse_list(by)
    check_settings(keys)
    found = sample_of(
        summaries_of(folder), metric, where=parse_where(where), higher_is_better=higher_is_better
    )
    if over is not None:
        frame, notes = search_table(found, keys, parse_list(over)), list(found.notes)
        notes.append(
            "the best of a search is chosen by the values it is shown with, and flatters: measure "
            "it again with other seeds"
        )
    else:
        frame = cell_table(found, keys, 1 - alpha)
        frame = frame[
            [
                *keys,
                "n",
                "diverged",
                *(c for name in _STATS if name in wanted for c in _STATS[name]),
            ]
        ]
        notes = [*found.notes, *remarks_on_cells(found, keys), *_told_apart(found, keys, alpha)]
    if out:
        save_frame(frame, out, notes)
    if as_json:
        rows: list[Any] = frame.to_dict("records")
        print(json_text({"metric": metric, "by": keys, "cells": rows, "notes": notes}))
        return
    better = "higher" if found.higher_is_better else "lower"
    print(f"{metric} ({better} is better)\n\n{to_markdown(frame)}\n")
    for note in notes:
        print(f"Note: {note}.")
    if out:
        print(f"\nwritten: {out}")


def _told_apart(sample: Any, keys: list[str], alpha: float) -> list[str]:
    """What the cells do not show: pairs with the best that can't be told apart from it."""
    from ganbench.errors import UsageError
    from ganbench.stats.ranks import rank
    from ganbench.stats.words import doubt

    try:
        ranking = rank(sample, keys, alpha)
    except UsageError as error:
        return [f"cells are not compared: {error}"]
    best = ranking.table["treatment"].iloc[0]
    pairs = [one for one in ranking.comparisons if best in (one.better, one.worse)]
    return [doubt(one, ranking.blocks.seeds) for one in pairs if not one.differ]
