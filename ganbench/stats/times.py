"""Time to target and performance profiles, as AlgoPerf has them (Dahl et al. 2023, 2306.07179)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ganbench.errors import UsageError
from ganbench.stats.blocks import blocks_of
from ganbench.stats.intervals import quantile
from ganbench.stats.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNITS", "Profile", "Unit", "profile_of", "time_to_target"]

Unit: TypeAlias = Literal["s", "kimg", "step"]
UNITS = {"s": ("train_s", 1.0), "kimg": ("nimg", 1e-3), "step": ("step", 1.0)}
CAP = 4.0


@dataclass(frozen=True)
class Profile:
    """`ratios` (N, k): time over the best time of the block, ∞ for a miss. `table`: a row a
    treatment, the best score first: `score`, `hits`, `median_time`."""

    treatments: tuple[str, ...]
    ratios: np.ndarray[Any, Any]
    table: pd.DataFrame
    cap: float

    def share_within(self, treatment: str, tau: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """ρ(τ): the share of blocks whose target was met within τ times the best time."""
        ratios = self.ratios[:, self.treatments.index(treatment)]
        share: np.ndarray[Any, Any] = (ratios[:, None] <= tau + 1e-12).mean(axis=0)
        return share


def time_to_target(
    evaluations: Sequence[Any], metric: str, target: float, unit: Unit, *, higher: bool = False
) -> float:
    """Training time until the first evaluation at least as good as `target`; ∞ for a miss.

    Evaluation itself is not timed. A run that met the target and diverged later has met it.
    """
    column, scale = UNITS[unit]
    for row in evaluations:
        value = row["values"].get(metric, math.nan)
        if value >= target if higher else value <= target:
            return float(row[column]) * scale
    return math.inf


def profile_of(
    sample: Sample, by: Sequence[str], target: float, unit: Unit = "s", cap: float = CAP
) -> Profile:
    """Every treatment's times to `target` against the best of its block.

    `score` is the area under ρ from 1 to `cap`, over cap − 1: 1 for the best everywhere, 0 for one
    that never comes within `cap` times the best. Raises `UsageError` unless all runs were evaluated
    on the way, equally often.
    """
    import pandas as pd

    if unit not in UNITS:
        raise UsageError(f"unit is '{unit}', but must be one of {', '.join(UNITS)}")
    if not math.isfinite(target):
        raise UsageError(f"target is {target:g}, but must be a number that a metric can reach")
    if not 1 < cap < math.inf:
        raise UsageError(f"cap is {cap:g}, but must be a number of more than 1")
    frame = sample.frame
    if not (frame["eval_every"].astype(int) > 0).all():
        without = int((frame["eval_every"].astype(int) == 0).sum())
        raise UsageError(
            f"{without} of {len(frame)} runs were measured at their end only: a time to a target "
            "needs runs made with --eval-every"
        )
    if frame["eval_every"].nunique() > 1:
        found = ", ".join(map(str, sorted(frame["eval_every"].unique())))
        raise UsageError(
            f"runs were measured every {found} steps: a target is met no earlier than it is looked "
            "for. Choose one: --where eval_every=N"
        )
    higher = sample.higher_is_better
    times = np.array(
        [
            time_to_target(e, sample.metric, target, unit, higher=higher)
            for e in frame["evaluations"]
        ]
    )
    blocks = blocks_of(sample, by)
    by_block = times[np.array(blocks.runs)]
    best = by_block.min(axis=1, keepdims=True)
    ratios = np.where(np.isinf(by_block), math.inf, by_block / np.where(np.isinf(best), 1, best))
    area = np.clip(cap - ratios, 0, None) / (cap - 1)
    table = pd.DataFrame(
        {
            "treatment": blocks.treatments,
            "score": area.mean(axis=0),
            "hits": np.isfinite(by_block).sum(axis=0),
            "blocks": len(blocks),
            "median_time": [quantile(column, 0.5) for column in by_block.T],
        }
    ).sort_values(["score", "hits"], ascending=False, kind="stable", ignore_index=True)
    return Profile(blocks.treatments, ratios, table, cap)
