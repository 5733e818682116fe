"""What BASE and HEAD are: a results folder, a table, or pytest-benchmark's JSON."""

from __future__ import annotations

import glob
from pathlib import Path

from ganbench.compare.pytest_json import Restart, read_restart
from ganbench.compare.runs import Run, merged, runs_of_folder, runs_of_table
from ganbench.errors import UsageError

__all__ = ["Side", "read_side"]

Side = list[Run] | list[Restart]

_TABLES = ("throughput.csv", "fid.csv")
_ALLOWED = (
    "a results folder, a throughput.csv or fid.csv, a JSON file that pytest-benchmark wrote, or a "
    "folder or pattern (in quotes) of such files"
)


def read_side(name: str, place: str) -> Side:
    """The runs or the restarts at `place`. `name` is base or head, for messages.

    Raises `UsageError` where there is neither.
    """
    path = Path(place)
    if path.is_dir():
        return _of_folder(name, path)
    if path.is_file():
        if path.suffix == ".csv":
            return runs_of_table(path)
        if path.suffix == ".json":
            return [read_restart(path)]
        raise UsageError(f"{name} is '{place}', a file of another kind. Give {_ALLOWED}")
    files = sorted(Path(found) for found in glob.glob(place, recursive=True))
    if files and all(file.suffix == ".json" for file in files):
        return [read_restart(file) for file in files]
    what = "a pattern that matches something else" if files else "which does not exist"
    raise UsageError(f"{name} is '{place}', {what}. Give {_ALLOWED}")


def _of_folder(name: str, folder: Path) -> Side:
    if any((folder / "runs").glob("*/record.json")):
        return runs_of_folder(folder)
    tables = [folder / table for table in _TABLES if (folder / table).is_file()]
    if tables:
        return merged([run for table in tables for run in runs_of_table(table)])
    files = sorted(folder.rglob("*.json"))
    if files:
        return [read_restart(file) for file in files]
    raise UsageError(f"{name} is '{folder}', a folder with nothing to compare. Give {_ALLOWED}")
