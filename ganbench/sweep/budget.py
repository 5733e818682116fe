"""`--budget`: what a sweep may take, as a time (`90s`, `30m`, `2h`) or images (`500kimg`)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ganbench.errors import UsageError
from ganbench.sweep.check import PlannedRun

__all__ = ["Budget", "kimg_of", "parse_budget", "within_kimg"]

_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


@dataclass(frozen=True, slots=True)
class Budget:
    """No run begins once `seconds` have passed, and the runs together show the discriminator no
    more than `kimg` thousand real images."""

    seconds: float | None = None
    kimg: float | None = None


def parse_budget(text: str) -> Budget:
    """Read `2h` or `500kimg`. Raises `UsageError` for anything else."""
    match = _AMOUNT.fullmatch(text)
    if match and float(match[1]) > 0:
        if match[2] == "kimg":
            return Budget(kimg=float(match[1]))
        if match[2] in _SECONDS:
            return Budget(seconds=float(match[1]) * _SECONDS[match[2]])
    raise UsageError(
        f"budget is '{text}', but must be a time such as 90s, 30m, 2h or 1d, "
        "or real images in thousands such as 500kimg"
    )


def kimg_of(run: PlannedRun) -> float:
    """Thousands of real images that the run shows the discriminator; infinite for full batches,
    whose size only the data set knows."""
    spec = run.plan.spec
    if spec.batch_size == "full":
        return math.inf
    return spec.steps * spec.n_dis * spec.batch_size / 1e3


def within_kimg(runs: Sequence[PlannedRun], kimg: float) -> list[PlannedRun]:
    """The first runs, in order, that together keep to the budget."""
    kept, spent = [], 0.0
    for run in runs:
        if math.isinf(kimg_of(run)):
            raise UsageError(
                f"budget is in kimg, but {run.run_id} has full batches: give a time instead"
            )
        spent += kimg_of(run)
        if spent > kimg:
            break
        kept.append(run)
    return kept
