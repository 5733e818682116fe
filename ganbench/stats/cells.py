"""Statistics of each cell over its runs, and of each search over its trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganbench.errors import UsageError, unknown
from ganbench.stats.intervals import FEWEST, interval_of_median, quantile
from ganbench.stats.sample import Sample, label, settings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cell_table", "check_settings", "plain", "remarks_on_cells", "search_table"]


def check_settings(by: Sequence[str], option: str = "--by") -> None:
    """Raises `UsageError` unless each is a setting, named once."""
    if not by:
        raise UsageError(f"{option} names no setting: give some, such as {option} loss,opt")
    for key in by:
        if key not in settings():
            raise unknown("setting", key, settings(), f"Settings of {option} are those of a run.")
        if by.count(key) > 1:
            raise UsageError(f"{option} names '{key}' twice")


def cell_table(sample: Sample, by: Sequence[str], confidence: float = 0.95) -> pd.DataFrame:
    """A row a cell, the best median first: `by`, n, diverged, median, q25, q75, low, high.

    `diverged` is the share of runs that diverged; they count as worse than any value. q25 and q75
    are quartiles of the metric as it is, low and high the bootstrap interval of its median.
    """
    import pandas as pd

    check_settings(by)
    rows = []
    for key, cell in _groups(sample.frame, by):
        scores = cell["score"].to_numpy()
        spread = [quantile(scores, 0.25), quantile(scores, 0.75)]
        interval = list(interval_of_median(scores, confidence))
        if sample.higher_is_better:
            spread, interval = spread[::-1], interval[::-1]
        names = ("q25", "q75", "low", "high")
        numbers = map(sample.value_of, (*spread, *interval))
        rows.append(
            dict(zip(by, key, strict=True))
            | {"n": len(cell), "diverged": float((cell["status"] == "diverged").mean())}
            | {"median": sample.value_of(middle := quantile(scores, 0.5))}
            | dict(zip(names, numbers, strict=True))
            | {"_order": middle}
        )
    return (
        pd.DataFrame(rows)
        .sort_values("_order", kind="stable", ignore_index=True)
        .drop(columns="_order")
    )


def remarks_on_cells(sample: Sample, by: Sequence[str]) -> list[str]:
    """What a reader of the cells must know: too few seeds, unequal cells, what a cell mixes."""
    remarks = []
    sizes = {label(key): len(cell) for key, cell in _groups(sample.frame, by)}
    few = [name for name, n in sizes.items() if n < FEWEST]
    if few:
        remarks.append(f"no interval below {FEWEST} runs: {_some(few)}")
    if len(set(sizes.values())) > 1:
        most = max(sizes.values())
        less = [f"{name} ({n})" for name, n in sizes.items() if n < most]
        remarks.append(f"cells are unequal: the largest has {most} runs; fewer: {_some(less)}")
    if mixed := [c for c in sample.varying(by) if c != "seed"]:
        remarks.append(
            f"a cell mixes runs that differ in {', '.join(mixed)}: its spread is not over seeds "
            "alone (add them to --by, or choose with --where)"
        )
    return remarks


def search_table(sample: Sample, by: Sequence[str], over: Sequence[str]) -> pd.DataFrame:
    """Sensitivity: a row a cell of `by`; its trials are the values of `over`.

    Each trial's score is its median over runs. `best` and `best_at`, `median` and the quartiles
    `q25`, `q75` are over trials; `failed` is the share of trials whose median run diverged.
    """
    import pandas as pd

    check_settings(by)
    check_settings(over, "--over")
    if both := set(by) & set(over):
        raise UsageError(f"'{both.pop()}' is in --by and in --over: it is one or the other")
    rows = []
    for key, cell in _groups(sample.frame, by):
        trials = {
            label(k): quantile(trial["score"].to_numpy(), 0.5) for k, trial in _groups(cell, over)
        }
        best_at = min(trials, key=trials.__getitem__)
        scores = list(trials.values())
        spread = [quantile(scores, 0.25), quantile(scores, 0.75)]
        low, high = spread[::-1] if sample.higher_is_better else spread
        rows.append(
            dict(zip(by, key, strict=True))
            | {"trials": len(trials), "runs": len(cell), "best": sample.value_of(trials[best_at])}
            | {"best_at": best_at, "median": sample.value_of(quantile(scores, 0.5))}
            | {"q25": sample.value_of(low), "q75": sample.value_of(high)}
            | {"failed": sum(score == float("inf") for score in scores) / len(scores)}
            | {"_order": trials[best_at]}
        )
    return (
        pd.DataFrame(rows)
        .sort_values("_order", kind="stable", ignore_index=True)
        .drop(columns="_order")
    )


def _groups(frame: pd.DataFrame, by: Sequence[str]) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    grouped = frame.groupby([frame[key].map(plain) for key in by], sort=False, dropna=False)
    return [(key, cell) for key, cell in grouped]


def plain(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list) else "" if value is None else value


def _some(names: Sequence[str], most: int = 5) -> str:
    rest = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
