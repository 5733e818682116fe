"""The runs of one comparison: a frame of settings and scores, and what had to be left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ganbench.errors import UsageError, unknown
from ganbench.index import Summary
from ganbench.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NEVER_VARIES", "Sample", "label", "sample_of", "settings"]

HIGHER_IS_BETTER = {"precision", "recall", "density", "coverage", "modes_covered", "high_quality"}
_FINISHED = ("completed", "diverged")
NEVER_VARIES = {"data_root", "extractor_weights", "checkpoint_every", "eval_every", "metrics"}


@dataclass(frozen=True)
class Sample:
    """Runs that can be compared by one metric.

    `frame` has a column a setting (`opt` is both players' optimizers), `run_id`, `status`, `value`
    (the metric; NaN where a run diverged), `score` (lower is better: the metric, or its negative;
    ∞ where a run diverged or its metric is no number) and `evaluations`. `notes` say what was left
    out, and why.
    """

    metric: str
    higher_is_better: bool
    frame: pd.DataFrame
    notes: tuple[str, ...] = field(default=())

    def value_of(self, score: float) -> float:
        """The metric's value that a score stands for. ∞, the worst score, has none: NaN."""
        return math.nan if math.isinf(score) else -score if self.higher_is_better else score

    def varying(self, but: Sequence[str] = ()) -> list[str]:
        """The settings in which the runs differ, besides those named, `opt` for its two parts."""
        parts = {"opt_g", "opt_d"}
        leave = {*NEVER_VARIES, *but, *({"opt"} if parts & set(but) else parts)}
        candidates = [c for c in settings() if c not in leave]
        return [c for c in candidates if self.frame[c].astype(str).nunique() > 1]


def settings() -> list[str]:
    """What --by, --over and --where may name."""
    return [*RunSpec.model_fields, "opt"]


def label(values: Iterable[Any]) -> str:
    """A cell's name: its settings' values, `nonsat · adam`."""
    return " · ".join(map(str, values))


def sample_of(
    summaries: Iterable[Summary],
    metric: str = "fid",
    *,
    where: Mapping[str, str] | None = None,
    higher_is_better: bool | None = None,
) -> Sample:
    """The finished runs among `summaries` that agree with `where`, by `metric`.

    Raises `UsageError` if there is none with that metric, or if they mix extractors or numbers of
    samples: values of two extractors, or of two sample sizes, are two quantities.
    """
    import pandas as pd

    where = where or {}
    for key in where:
        if key not in settings():
            raise unknown("setting", key, settings(), "Settings of --where are those of a run.")
    rows, unfinished, without, known = [], 0, 0, set[str]()
    for summary in summaries:
        row = _row(summary)
        if any(str(row[key]) != text for key, text in where.items()):
            continue
        if summary["status"] not in _FINISHED:
            unfinished += 1
            continue
        values = (summary["evaluated"] or {}).get("values", {})
        known |= values.keys()
        if summary["status"] == "completed" and metric not in values:
            without += 1
            continue
        rows.append(row | {"value": values.get(metric, math.nan)})
    if not any(row["status"] == "completed" for row in rows) and known:
        raise unknown("metric", metric, known, "Those are the metrics of these runs.")
    if not rows:
        told = " ".join(f"{key}={text}" for key, text in where.items())
        raise UsageError(f"no finished run to compare{f' with {told}' if told else ''}")
    frame = pd.DataFrame(rows)
    for what in ("extractor", "extractor_sha256", "n_samples"):
        _refuse_a_mixture(frame, what)
    higher = metric in HIGHER_IS_BETTER if higher_is_better is None else higher_is_better
    frame["score"] = (-frame["value"] if higher else frame["value"]).fillna(math.inf)
    notes = []
    if unfinished:
        notes.append(f"{_runs(unfinished)} interrupted or failed: not counted")
    if without:
        notes.append(f"{_runs(without)} without '{metric}': not counted")
    return Sample(metric, higher, frame, tuple(notes))


def _row(summary: Summary) -> dict[str, Any]:
    spec = dict(summary["spec"])
    both = spec["opt_g"] == spec["opt_d"]
    spec["opt"] = spec["opt_g"] if both else f"{spec['opt_g']}~{spec['opt_d']}"
    evaluated = summary["evaluated"] or {}
    extractor = evaluated.get("extractor") if evaluated else None
    return spec | {
        "run_id": summary["run_id"],
        "status": summary["status"],
        "device": spec["device"].partition(":")[0],
        "extractor": extractor or spec["extractor"],
        "extractor_sha256": evaluated.get("extractor_sha256"),
        "evaluations": summary.get("evaluations") or [],
    }


def _refuse_a_mixture(frame: pd.DataFrame, what: str) -> None:
    found = sorted(frame[what].dropna().unique(), key=str)
    if len(found) < 2:
        return
    counts = frame[what].value_counts()
    named = ", ".join(f"{value} ({_runs(counts[value])})" for value in found)
    remedy = f"choose one: --where {what}={found[0]}"
    if what == "extractor_sha256":
        remedy = "measure them again with one file of weights"
    raise UsageError(
        f"these runs have {len(found)} values of {what}: {named}. A metric's values under two of "
        f"them are two quantities and are not compared; {remedy}"
    )


def _runs(n: int) -> str:
    return f"{n} run" if n == 1 else f"{n} runs"
