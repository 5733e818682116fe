"""`ganbench table`: rebuild the tables of a results folder and print them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["table"]


def table(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Results folder.", show_default=True)
    ] = Path("results"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the rows of both tables as JSON.")
    ] = False,
) -> None:
    """Rebuild throughput.csv|md and fid.csv|md from the runs in DIR, and print them."""
    from ganbench.errors import UsageError
    from ganbench.tables import as_rows, write_tables

    if not any((folder / "runs").glob("*/record.json")):
        raise UsageError(
            f"no runs in '{folder}': make one with `ganbench run --out {folder}`, "
            "or name the folder that an earlier one wrote to"
        )
    throughput, fid = write_tables(folder)
    if as_json:
        import json

        print(json.dumps({"throughput": as_rows(throughput), "fid": as_rows(fid)}, indent=2))
    else:
        from ganbench.cli.concise import concise_tables

        print(concise_tables(throughput, fid), end="")
