"""The tables of a results folder: derived from its records, so they can be deleted and rebuilt."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganbench.errors import GanbenchError
from ganbench.files import write_text
from ganbench.index import Summary, present, summaries, summary_of
from ganbench.record import COMMON_COLUMNS, RunRecord, common_row, metric_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FID_COLUMNS",
    "MOST_MARKDOWN_ROWS",
    "THROUGHPUT_COLUMNS",
    "as_rows",
    "fid_frame",
    "readable",
    "throughput_frame",
    "to_markdown",
    "write_tables",
]

THROUGHPUT_COLUMNS = [
    *COMMON_COLUMNS,
    "images_per_s",
    "images_per_s_p10",
    "images_per_s_p90",
    "ms_per_step_p50",
    "ms_per_step_p95",
    "peak_memory_mb",
    "gflops_per_step",
    "fraction_of_peak",
    "warmup_steps",
    "timed_steps",
    "timing_valid",
]
FID_COLUMNS = [
    *COMMON_COLUMNS,
    "extractor",
    "extractor_sha256",
    "n_real",
    "n_fake",
    "fid",
    "kid",
    "kid_std",
    "precision",
    "recall",
]
MOST_MARKDOWN_ROWS = 2000  # of one table, which is for reading
_FACTS = ("extractor", "extractor_sha256", "n_real", "n_fake")
_OF_EXTRACTOR = {"fid", "kid", "kid_std", "precision.1", "recall"}
_TITLES = {"fid": "FID", "kid": "KID", "kid_std": "KID std", "precision.1": "precision"}


def throughput_frame(records: Iterable[RunRecord | Summary]) -> pd.DataFrame:
    """One row a run, `THROUGHPUT_COLUMNS`. A run with no timed step keeps its row."""
    return _frame([_throughput_row(_summary(one)) for one in records], THROUGHPUT_COLUMNS)


def fid_frame(records: Iterable[RunRecord | Summary]) -> pd.DataFrame:
    """One row a run, `FID_COLUMNS`, then any other metric. A diverged run keeps its row, under
    the extractor that was asked for.

    Two of the columns are called precision: the arithmetic's, and the metric, which is
    `precision.1` here, as it is when pandas reads `fid.csv`.
    """
    return _fid_frame([_fid_row(_summary(one)) for one in records])


def write_tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rebuild `throughput.csv|md` and `fid.csv|md` in `out` from its records; return both tables.

    Several processes may do so at once: each writes again if a record came or went meanwhile, so
    the last file written holds every run. Raises `GanbenchError` if the files can't be written.
    """
    while True:
        before = present(out)
        speeds, metrics = [], []
        for summary in summaries(out):
            speeds.append(_throughput_row(summary))
            metrics.append(_fid_row(summary))
        throughput, fid = _frame(speeds, THROUGHPUT_COLUMNS), _fid_frame(metrics)
        try:
            write_text(out / "throughput.csv", _csv(throughput))
            write_text(out / "throughput.md", "# Throughput\n\n" + _throughput_markdown(throughput))
            write_text(out / "fid.csv", _csv(fid))
            write_text(out / "fid.md", "# FID\n\n" + _fid_markdown(fid))
        except OSError as error:
            raise GanbenchError(
                f"the tables in '{out}' can't be written: {error.strerror or error}. The runs "
                f"are safe; mend that, then: ganbench table {out}"
            ) from error
        if present(out) == before:
            return throughput, fid


def as_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON takes them: no NaN, null where there is no number."""
    return [
        {str(key): None if _is_nan(value) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def to_markdown(frame: pd.DataFrame) -> str:
    """A GitHub table, numbers rounded for reading and set to the right."""
    numeric = [frame[column].map(_is_number).any() for column in frame.columns]
    return frame.map(readable).to_markdown(
        index=False,
        disable_numparse=True,
        colalign=["right" if one else "left" for one in numeric],
    )


def readable(value: Any) -> str:
    """About four digits; the csv file has all of them."""
    if value is None or _is_nan(value):
        return ""
    if isinstance(value, float) and value:
        return f"{value:.0f}" if 1000 <= abs(value) < 1e15 else f"{value:#.4g}"
    if isinstance(value, float):
        return "0"
    return str(value).replace("|", "\\|")


def _summary(record: RunRecord | Summary) -> Summary:
    return summary_of(record) if isinstance(record, RunRecord) else record


def _throughput_row(summary: Summary) -> dict[str, Any]:
    return common_row(summary) | (summary["throughput"] or {})


def _fid_row(summary: Summary) -> dict[str, Any]:
    row = common_row(summary)
    if evaluated := summary["evaluated"]:
        row |= {key: evaluated[key] for key in _FACTS} | metric_columns(evaluated["values"])
    elif summary["spec"]["metrics"]:
        row["extractor"] = summary["spec"]["extractor"]
    return row


def _fid_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = dict.fromkeys([*FID_COLUMNS[:-2], "precision.1", "recall"])
    for row in rows:
        columns.update(dict.fromkeys(row))
    return _frame(rows, [*columns])


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    cells = {column: [row.get(column) for row in rows] for column in columns}
    return pd.DataFrame(cells, columns=columns, index=range(len(rows)), dtype=object)


def _csv(frame: pd.DataFrame) -> str:
    """Numbers in full: the shortest text that reads back as the same float."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.removesuffix(".1") for column in frame.columns])
    writer.writerows(frame.where(frame.notna(), "").itertuples(index=False, name=None))
    return text.getvalue()


def _throughput_markdown(frame: pd.DataFrame) -> str:
    return to_markdown(frame[:MOST_MARKDOWN_ROWS]) + "\n" + _rest_of(frame, "throughput.csv")


def _rest_of(frame: pd.DataFrame, file: str) -> str:
    rest = len(frame) - MOST_MARKDOWN_ROWS
    return f"\n… and {rest} more rows: {file}\n" if rest > 0 else ""


def _fid_markdown(frame: pd.DataFrame) -> str:
    """A table for each extractor, since values of two extractors are two quantities."""
    parts = []
    for name, rows in frame.groupby(frame["extractor"].fillna("")):
        columns = list(map(str, rows.columns))
        own = {key for key in columns if key in _OF_EXTRACTOR or key.startswith("fid")}
        foreign = {key for key in columns if key not in FID_COLUMNS and key not in own}
        empty = {key for key in foreign if rows[key].isna().all()}
        shown = rows.drop(columns=["extractor", "extractor_sha256", *empty, *([] if name else own)])
        hashes = ", ".join(sha[:12] for sha in rows["extractor_sha256"].dropna().unique())
        title = f"Extractor {name}" if name else "No extractor"
        title += f" (weights sha256 {hashes})" if hashes else ""
        named = {key: f"{_TITLES.get(key, key)} ({name})" for key in own}
        table = to_markdown(shown[:MOST_MARKDOWN_ROWS].rename(columns=named))
        parts.append(f"{title}\n\n{table}\n{_rest_of(shown, 'fid.csv')}")
    return "\n".join(parts)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
