"""The tables of docs/performance-gate.md, from the data that scripts/perf_evidence.py wrote."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from planted import PLANTS

__all__ = ["write_summary"]


def _runs(frame: pd.DataFrame) -> str:
    rows = []
    for name, kind in (("A/A", "aa"), ("5 % slower", "slow5")):
        for load in ("none", "bursts"):
            part = frame[(frame.kind == kind) & (frame.load == load)]
            if part.empty:
                continue
            counts = part.verdict.value_counts()
            rows.append(
                {
                    "head": name,
                    "background load": load,
                    "runs": len(part),
                    **{v: counts.get(v, 0) for v in ("ok", "regressed", "inconclusive", "failed")},
                    "within 60 s": int((part.elapsed_s <= 60).sum()),
                    "median s": f"{part.elapsed_s.median():.0f}",
                    "longest s": f"{part.elapsed_s.max():.0f}",
                    "estimates": f"{100 * part.worsening.min():+.1f} to "
                    f"{100 * part.worsening.max():+.1f} %",
                }
            )
    return _table(pd.DataFrame(rows))


def _kinds(frame: pd.DataFrame) -> str:
    rows = [
        {
            "planted": PLANTS[kind].what,
            "flags": " ".join(PLANTS[kind].flags),
            "verdict": part.verdict.iloc[0],
            "named": part.named.iloc[0],
            "worse by": f"{100 * part.worsening.iloc[0]:+.1f} %",
            "interval": f"{100 * part.low.iloc[0]:+.1f} to {100 * part.high.iloc[0]:+.1f} %",
            "s": f"{part.elapsed_s.iloc[0]:.0f}",
        }
        for kind in PLANTS
        if not (part := frame[frame.kind == kind]).empty
    ]
    return _table(pd.DataFrame(rows))


def _replays(path: Path) -> str:
    frame = pd.read_csv(path)
    for verdict in ("ok", "regressed", "inconclusive"):
        frame[verdict] = [f"{100 * n / of:.2f} %" for n, of in zip(frame[verdict], frame.replays,
                          strict=True)]  # fmt: skip
    frame["threshold"] = [f"{100 * t:g} %" for t in frame.threshold]
    return _table(frame)


def _table(frame: pd.DataFrame) -> str:
    return str(frame.to_markdown(index=False, disable_numparse=True))


def write_summary(root: Path, doc: Path) -> None:
    """Rewrite what stands between each pair of markers of the page."""
    frame = pd.read_csv(root / "runs.csv", keep_default_na=False)
    for column in ("worsening", "low", "high"):
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    tables = {"runs": _runs(frame), "planted": _kinds(frame)}
    if (root / "replays.csv").exists():
        tables["replays"] = _replays(root / "replays.csv")
    text = doc.read_text(encoding="utf-8")
    for name, table in tables.items():
        print(table, end="\n\n")
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        head, tail = text.split(begin)[0], text.split(end)[1]
        text = f"{head}{begin}\n{table}\n{end}{tail}"
    doc.write_text(text, encoding="utf-8")
