"""A metric of a case over commits, and what changed in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ganbench.errors import unknown
from ganbench.gate.directions import better
from ganbench.history.changes import Change, change_points
from ganbench.history.rows import HistoryRow, moment

__all__ = ["Series", "series_of", "sort_of"]


@dataclass(frozen=True)
class Series:
    """The rows of one case and metric, in the order of their dates, with its change points."""

    case: str
    metric: str
    rows: Sequence[HistoryRow]
    changes: Sequence[Change]

    @property
    def unit(self) -> str:
        return self.rows[-1].unit

    @property
    def values(self) -> list[float]:
        return [row.value for row in self.rows]


def series_of(
    rows: Iterable[HistoryRow], case: str | None = None, metric: str | None = None
) -> list[Series]:
    """A series for each case and metric, or those asked for. Raises `UsageError` for a name that
    no row has."""
    groups: dict[tuple[str, str], list[HistoryRow]] = {}
    for row in rows:
        groups.setdefault((row.case, row.metric), []).append(row)
    for what, wanted, at in (("case", case, 0), ("metric", metric, 1)):
        names = {key[at] for key in groups}
        if wanted is not None and wanted not in names:
            raise unknown(what, wanted, names, "(in the history)")
    return [
        _series(*key, groups[key])
        for key in sorted(groups)
        if case in (None, key[0]) and metric in (None, key[1])
    ]


def sort_of(change: Change, metric: str) -> str:
    """`worse`, `better`, or `changed` where nobody said which way is worse."""
    direction = better(metric)
    if direction is None:
        return "changed"
    return "worse" if (change.ratio > 1) == (direction == "lower") else "better"


def _series(case: str, metric: str, rows: list[HistoryRow]) -> Series:
    ordered = sorted(rows, key=lambda row: moment(row.date))
    return Series(case, metric, ordered, change_points([row.value for row in ordered]))
