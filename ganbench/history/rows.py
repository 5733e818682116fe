"""The history's file: JSON lines, one for each commit, case and metric.

    {"commit": "1f2e…", "date": "2026-11-25T20:00:00+00:00", "case": "mlp-nonsat-adam-…",
     "metric": "fid", "unit": "", "value": 9.8, "n": 5}

Lines are only ever added, and a commit that is measured again adds its lines again: the last of a
commit, case and metric counts. So branches merge, and a text editor mends what is wrong.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from ganbench.compare.cases import cases_of
from ganbench.compare.runs import runs_of_folder
from ganbench.errors import GanbenchError, UsageError
from ganbench.gate.json_report import from_json

__all__ = ["DEFAULT_FILE", "HistoryRow", "add_rows", "moment", "read_rows", "rows_of"]

DEFAULT_FILE = Path("performance-history.jsonl")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_SPEED_UNITS = {"throughput": "images/s", "peak_memory": "MB"}


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A figure of a case at a commit: `value` in `unit`, from `n` seeds or restarts."""

    commit: str
    date: str
    case: str
    metric: str
    unit: str
    value: float
    n: int


def read_rows(file: Path) -> list[HistoryRow]:
    """All rows, in the file's order, the last of a commit, case and metric only.

    Raises `UsageError` for a file that is not there, `GanbenchError` for a line that is no row.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(
            f"history '{file}' can't be read: {error.strerror}. Begin one with: "
            "ganbench history add REPORT --commit SHA"
        ) from None
    latest: dict[tuple[str, str, str], HistoryRow] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = _row(line, f"{file}:{number}")
            latest[row.commit, row.case, row.metric] = row
    return list(latest.values())


def add_rows(file: Path, rows: Sequence[HistoryRow]) -> None:
    """Add lines at the end, in one write."""
    text = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise GanbenchError(f"history '{file}' can't be written: {error.strerror}") from error


def rows_of(place: Path, commit: str, date: str | None) -> list[HistoryRow]:
    """What there is to add: the head's figures of a report (`--json` of compare or perf), or the
    medians over seeds of a results folder.

    Raises `UsageError` for a commit that is none, a date that is none, or a place with neither.
    """
    if not _COMMIT.fullmatch(commit):
        raise UsageError(
            f"--commit is '{commit}', but must be a commit's hash, 7 to 64 digits and a to f: "
            "--commit $(git rev-parse HEAD)"
        )
    at = _date(date)
    if place.is_dir():
        figures = list(_of_results(place))
    elif place.is_file():
        report = from_json(_text(place))
        figures = [(r.case, r.metric, r.unit, r.head, r.n) for r in report.rows if not r.control]
    else:
        raise UsageError(
            f"'{place}' does not exist. Give a results folder, or a report from --json"
        )
    rows = [HistoryRow(commit, at, *one) for one in figures if math.isfinite(one[3])]
    if not rows:
        raise GanbenchError(f"'{place}' has no figures to add")
    return rows


def moment(date: str) -> datetime:
    """The time of an ISO 8601 text, of UTC if it names no zone. Raises `ValueError`."""
    parsed = datetime.fromisoformat(date.replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def _of_results(folder: Path) -> Iterable[tuple[str, str, str, float, int]]:
    runs = runs_of_folder(folder)
    for case in cases_of(runs, runs).both:
        values: dict[str, list[float]] = {}
        for run in case.base.values():
            speed = dict(run.speed)
            if not run.timing_valid:  # other programs disturb the time, not the memory
                speed.pop("throughput", None)
            for metric, value in {**speed, **run.quality}.items():
                if math.isfinite(value):
                    values.setdefault(metric, []).append(value)
        for metric, of_seeds in values.items():
            unit = _SPEED_UNITS.get(metric, "")
            yield case.name, metric, unit, median(of_seeds), len(of_seeds)


def _row(line: str, where: str) -> HistoryRow:
    try:
        values: dict[str, Any] = json.loads(line)
        row = HistoryRow(**values)
        if not (isinstance(row.value, int | float) and math.isfinite(row.value)):
            raise ValueError(f"value is {row.value!r}, which is no number")
        moment(row.date)
    except (ValueError, TypeError, AttributeError) as error:
        raise GanbenchError(f"{where} is no row of a history: {error}") from None
    return row


def _date(text: str | None) -> str:
    if text is None:
        return datetime.now(timezone.utc).isoformat(timespec="seconds")
    try:
        return moment(text).isoformat(timespec="seconds")
    except ValueError:
        raise UsageError(
            f"--date is '{text}', but must be ISO 8601, such as 2026-11-25T20:00:00+00:00: "
            "--date $(git show -s --format=%cI)"
        ) from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"'{file}' can't be read: {error}") from None
