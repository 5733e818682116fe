"""Both tables for a reader: fewer columns than the files have; what all rows share is said once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganbench.record import COMMON_COLUMNS
from ganbench.tables import MOST_MARKDOWN_ROWS, readable, to_markdown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["concise_tables"]

_SPEED = {
    "images_per_s": "images/s",
    "images_per_s_p10": "p10",
    "images_per_s_p90": "p90",
    "ms_per_step_p50": "ms/step",
    "ms_per_step_p95": "p95",
    "peak_memory_mb": "peak MB",
    "gflops_per_step": "GFLOP/step",
    "fraction_of_peak": "of matmul peak",
}
_METRICS = {
    "fid": "FID{of}",
    "kid": "KID",
    "kid_std": "KID std",
    "precision.1": "precision{of}",
}
_SIZES = ["n_real", "n_fake"]
_ALWAYS_SHOWN = ["loss", "opt", "opt_g", "opt_d", "status"]
_ELSEWHERE = [*COMMON_COLUMNS, "opt", "extractor", "extractor_sha256", *_SIZES]


def concise_tables(throughput: pd.DataFrame, fid: pd.DataFrame) -> str:
    """Markdown of the throughput table, and of one FID table for each extractor."""
    throughput, fid = _one_opt(throughput), _one_opt(fid)
    choices = [c for c in throughput.columns if c in (*COMMON_COLUMNS, "opt") and c != "run_id"]
    shared = [c for c in choices if c not in _ALWAYS_SHOWN and _is_shared(throughput[c])]
    varied = [c for c in choices if c not in shared]
    said = ", ".join(f"{column} {readable(throughput[column].iloc[0])}" for column in shared)
    parts = [f"All runs: {said}."] if said else []
    parts.append("Throughput")
    parts.append(_table(throughput[[*varied, *_SPEED]].rename(columns=_SPEED)))
    for extractor, rows in fid.groupby(fid["extractor"].fillna("")):
        parts.extend(_fid_part(str(extractor), rows, varied))
    return "\n\n".join(parts) + "\n"


def _fid_part(extractor: str, rows: pd.DataFrame, varied: list[str]) -> list[str]:
    """A title and a table: values of two extractors are two quantities."""
    facts = []
    if hashes := sorted(rows["extractor_sha256"].dropna().unique()):
        facts.append("weights " + ", ".join(one[:12] for one in hashes))
    sizes = rows[_SIZES].dropna().drop_duplicates()
    if len(sizes) == 1:
        facts.append(f"{sizes['n_fake'].iloc[0]} generated against {sizes['n_real'].iloc[0]} real")
    title = f"Metrics, extractor {extractor}" if extractor else "Metrics without an extractor"
    metrics = [c for c in rows.columns if c not in _ELSEWHERE and rows[c].notna().any()]
    if extractor and not metrics:
        metrics = ["fid"]
    columns = [*varied, *(_SIZES if len(sizes) > 1 else []), *metrics]
    of = f" ({extractor})" if extractor else ""
    names = {key: name.format(of=of) for key, name in _METRICS.items()}
    table = _table(rows[columns].rename(columns=names))
    return [f"{title}{': ' if facts else ''}{'; '.join(facts)}", table]


def _table(frame: pd.DataFrame) -> str:
    rest = len(frame) - MOST_MARKDOWN_ROWS
    text = to_markdown(frame[:MOST_MARKDOWN_ROWS])
    return f"{text}\n\n… and {rest} more rows, which the csv file has" if rest > 0 else text


def _one_opt(frame: pd.DataFrame) -> pd.DataFrame:
    """A single column `opt` where both players always have the same optimizer."""
    if (frame["opt_g"] != frame["opt_d"]).any():
        return frame
    return frame.drop(columns="opt_d").rename(columns={"opt_g": "opt"})


def _is_shared(column: pd.Series[Any]) -> bool:
    return bool(column.astype(str).nunique() == 1)
