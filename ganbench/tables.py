"""The tables of a results folder: derived from its records, so they can be deleted and rebuilt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganbench.errors import GanbenchError
from ganbench.files import write_text
from ganbench.record import COMMON_COLUMNS, RunRecord
from ganbench.store import load_records

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FID_COLUMNS",
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
_OF_EXTRACTOR = {"fid", "kid", "kid_std", "precision.1", "recall"}
_TITLES = {"fid": "FID", "kid": "KID", "kid_std": "KID std", "precision.1": "precision"}


def throughput_frame(records: Iterable[RunRecord]) -> pd.DataFrame:
    """One row a run, `THROUGHPUT_COLUMNS`. A run with no timed step keeps its row."""
    rows = [
        record.common_row() | (record.throughput.model_dump() if record.throughput else {})
        for record in records
    ]
    return _frame(rows, THROUGHPUT_COLUMNS)


def fid_frame(records: Iterable[RunRecord]) -> pd.DataFrame:
    """One row a run, `FID_COLUMNS`, then any other metric. A diverged run keeps its row, under
    the extractor that was asked for.

    Two of the columns are called precision: the arithmetic's, and the metric, which is
    `precision.1` here, as it is when pandas reads `fid.csv`.
    """
    rows = []
    for record in records:
        row = record.common_row()
        if record.evaluated:
            row |= record.evaluated.model_dump(exclude={"values", "preprocessing", "elapsed_s"})
            row |= record.metric_columns()
        elif record.spec.metrics:
            row["extractor"] = record.spec.extractor
        rows.append(row)
    columns = [*FID_COLUMNS[:-2], "precision.1", "recall"]
    return _frame(rows, list(dict.fromkeys([*columns, *(key for row in rows for key in row)])))


def write_tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rebuild `throughput.csv|md` and `fid.csv|md` in `out` from its records; return both tables.

    Several processes may do so at once: each writes again if a record came or went meanwhile, so
    the last file written holds every run. Raises `GanbenchError` if the files can't be written.
    """
    while True:
        before = _present(out)
        records = load_records(out)
        throughput, fid = throughput_frame(records), fid_frame(records)
        try:
            write_text(out / "throughput.csv", _csv(throughput))
            write_text(out / "throughput.md", "# Throughput\n\n" + to_markdown(throughput) + "\n")
            write_text(out / "fid.csv", _csv(fid))
            write_text(out / "fid.md", "# FID\n\n" + _fid_markdown(fid))
        except OSError as error:
            raise GanbenchError(
                f"the tables in '{out}' can't be written: {error.strerror or error}. The runs "
                f"are safe; mend that, then: ganbench table {out}"
            ) from error
        if _present(out) == before:
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


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    cells = [[row.get(column) for column in columns] for row in rows]
    return pd.DataFrame(cells, columns=columns, dtype=object)


def _present(out: Path) -> Mapping[str, tuple[int, int]]:
    """What tells one state of the run folders from another."""
    present = {}
    for file in (out / "runs").glob("*/record.json"):
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        present[str(file)] = (status.st_mtime_ns, status.st_size)
    return present


def _csv(frame: pd.DataFrame) -> str:
    """Numbers in full: the shortest text that reads back as the same float."""
    header = [column.removesuffix(".1") for column in frame.columns]
    return frame.to_csv(index=False, header=header, lineterminator="\n")


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
        parts.append(f"{title}\n\n{to_markdown(shown.rename(columns=named))}\n")
    return "\n".join(parts)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
