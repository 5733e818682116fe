"""From paired figures to verdicts.

A row asks whether a figure is worse by more than its threshold t. With the differences
d = log(head/base) of the pairs, turned so that more is worse, and θ their centre:

    regressed     θ ≤ log(1 + t) is rejected, at the level that Holm's correction gives the row
    ok            θ > log(1 + t) is rejected at 5 %
    inconclusive  neither is

A report is `regressed` if any row is, hence the correction; it is `ok` only if every row is, which
needs none (an intersection-union test). The interval beside a row is made of the bounds that
these two tests invert to, so that the verdict can be read off it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganbench.gate import paired
from ganbench.gate.directions import Direction
from ganbench.gate.report import Row, Verdict
from ganbench.gate.words import percent

__all__ = ["LEVEL", "Question", "judge"]

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Question:
    """Is this figure of this case worse? `base` and `head` are pairs, in the same order.

    `allowance` is a worsening that the way of measuring can feign, a fraction. `unit_of_evidence`
    is what a pair is: seed, restart. `ruled` settles the verdict, with its reason, where no test
    of the pairs should.
    """

    case: str
    metric: str
    unit: str
    base: tuple[float, ...]
    head: tuple[float, ...]
    direction: Direction
    threshold: float
    unit_of_evidence: str = "seed"
    allowance: float = 0.0
    ruled: tuple[Verdict, str] | None = None

    @property
    def tested(self) -> bool:
        return self.ruled is None and len(self.base) > 1 and self.differences is not None

    @property
    def differences(self) -> list[float] | None:
        """log(head/base) of each pair, turned so that more is worse; None without logarithms."""
        if not self.base or min((*self.base, *self.head)) <= 0:
            return None
        sign = 1 if self.direction == "lower" else -1
        return [sign * math.log(h / b) for b, h in zip(self.base, self.head, strict=True)]


def judge(questions: Sequence[Question]) -> list[Row]:
    """A row for each question, in order."""
    tests = [q for q in questions if q.tested and math.isfinite(q.threshold)]
    p_values = [paired.p_above(q.differences or (), _limit(q, q.allowance)) for q in tests]
    levels = dict(zip(map(id, tests), paired.holm_levels(p_values, LEVEL), strict=True))
    return [_row(q, levels.get(id(q), LEVEL), len(tests)) for q in questions]


def _limit(question: Question, allowance: float) -> float:
    return math.log1p(question.threshold) + math.log1p(allowance)


def _row(question: Question, level: float, rows: int) -> Row:
    q, d = question, question.differences
    estimate = math.expm1(paired.centre(d)) if d else math.nan
    low, high = -math.inf, math.inf
    if d and len(d) > 1:
        margin = math.log1p(q.allowance)
        low = math.expm1(paired.lower_bound(d, level) - margin)
        high = math.expm1(paired.upper_bound(d, LEVEL) + margin)
        low, high = (-math.inf if low == -1 else low), high
    if q.ruled is not None:
        verdict, reason = q.ruled
    elif d is None:
        verdict, reason = "inconclusive", _why_no_ratio(q)
    elif not math.isfinite(q.threshold):
        verdict, reason = "ok", "reported, not gated"
    else:
        verdict, reason = _verdict(q, low, high, level, rows)
    return Row(
        case=q.case,
        metric=q.metric,
        unit=q.unit,
        base=_median(q.base),
        head=_median(q.head),
        worsening=estimate,
        low=low,
        high=high,
        threshold=q.threshold,
        verdict=verdict,
        reason=reason,
        n=len(q.base),
    )


def _verdict(q: Question, low: float, high: float, level: float, rows: int) -> tuple[Verdict, str]:
    n, fails = len(q.base), percent(q.threshold, sign=False)
    pairs = f"{n} {q.unit_of_evidence}s"
    if n > 1 and low > q.threshold:
        return "regressed", f"Worse by more than {fails} over {pairs}."
    if n > 1 and high <= q.threshold:
        return "ok", f"Within {fails} over {pairs}."
    if n == 1:
        return "inconclusive", (
            f"One {q.unit_of_evidence} shows no spread: at least {paired.enough(LEVEL / rows)} "
            "are needed."
            if rows
            else f"One {q.unit_of_evidence} shows no spread: at least {paired.enough(LEVEL)} "
            "are needed."
        )
    needed = paired.enough(level)
    if n < needed:
        return "inconclusive", (
            f"{pairs} can't show a worsening above {fails} at 5 % over {rows} figures: at least "
            f"{needed} are needed."
        )
    return "inconclusive", f"The interval holds {fails}: more {q.unit_of_evidence}s narrow it."


def _why_no_ratio(q: Question) -> str:
    if not q.base:
        return f"No {q.unit_of_evidence} has this figure on both sides."
    return "Not all values are above 0, so there is no ratio."


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan
