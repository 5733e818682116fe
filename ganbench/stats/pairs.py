"""Is A better than B? Paired by block, corrected for the number of questions, with its power."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganbench.stats.blocks import Blocks

__all__ = ["Comparison", "compare_pairs", "pairs_for"]

_BEYOND = 1e150  # the difference to a run that diverged: larger than any other
_POWER = 0.8
_MOST = 10_000


@dataclass(frozen=True)
class Comparison:
    """One pair. `p_holm` is corrected for all pairs of the comparison.

    `better` is the treatment with the lower mean score (by wins where a run diverged), and
    `effect` the median over blocks of the ratio of its score to the other's, or of the difference
    where scores are not all positive. `seeds_needed`: about how many would tell them apart with a
    probability of 0.8, were the effect and spread those seen here; None if no answer is possible.
    """

    better: str
    worse: str
    effect: float
    effect_is_ratio: bool
    wins: int
    blocks: int
    test: str
    p: float
    p_holm: float
    differ: bool
    seeds_needed: int | None


def compare_pairs(
    blocks: Blocks, alpha: float = 0.05, *, gate: bool = True, power: bool = True
) -> list[Comparison]:
    """Every pair of treatments, in order of `p`.

    The test is Student's, paired, on differences of log scores (of scores, if one is not
    positive); Wilcoxon's signed ranks where a run diverged, whose difference ranks beyond all
    others. Holm's step-down procedure bounds the chance of any false claim by `alpha`. With
    `gate` false no pair differs: the test of all treatments at once saw nothing. With `power` false
    `seeds_needed` is None throughout.
    """
    from statsmodels.stats.multitest import multipletests

    scores, k = blocks.scores, len(blocks.treatments)
    ratio = bool((scores > 0).all())
    pairs = list(itertools.combinations(range(k), 2))
    differences = [_differences(scores[:, i], scores[:, j], ratio) for i, j in pairs]
    tested = _tests(differences)
    rejected, p_holm, _, _ = multipletests([p for p, _ in tested], alpha=alpha, method="holm")
    found = []
    for (i, j), d, (p, test), pc, sure in zip(
        pairs, differences, tested, p_holm, rejected, strict=True
    ):
        differ = bool(sure) and gate
        if _lower_is_second(d):
            i, j, d = j, i, -d
        needed = None if differ or not power else _blocks_needed(d, alpha / len(pairs))
        found.append(
            Comparison(
                better=blocks.treatments[i],
                worse=blocks.treatments[j],
                effect=_effect(d, ratio),
                effect_is_ratio=ratio,
                wins=int((d < 0).sum()),
                blocks=len(d),
                test=test,
                p=float(p),
                p_holm=float(pc),
                differ=differ,
                seeds_needed=needed and math.ceil(needed * blocks.seeds / len(blocks)),
            )
        )
    return sorted(found, key=lambda one: one.p)


def _differences(
    a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], ratio: bool
) -> np.ndarray[Any, Any]:
    """Of (log) scores, block by block; 0 where both diverged, ±1e150 where one did."""
    if ratio:
        a, b = np.log(a), np.log(b)
    with np.errstate(invalid="ignore"):
        d = np.where(np.isinf(a) & np.isinf(b), 0.0, a - b)
    return np.where(np.isinf(d), np.sign(d) * _BEYOND, d)


def _tests(differences: Sequence[np.ndarray[Any, Any]]) -> list[tuple[float, str]]:
    """The p of each pair, and the name of its test; all of Student's at once."""
    from scipy.stats import ttest_1samp, wilcoxon

    usual = [i for i, d in enumerate(differences) if _is_usual(d)]
    found: dict[int, tuple[float, str]] = {}
    if usual:
        p = ttest_1samp(np.stack([differences[i] for i in usual]), 0.0, axis=1).pvalue
        found = {i: (float(one), "paired t") for i, one in zip(usual, p, strict=True)}
    for i, d in enumerate(differences):
        if not d.any():
            found[i] = 1.0, "none: no difference"
        elif i not in found:
            found[i] = float(wilcoxon(d).pvalue), "signed ranks"
    return [found[i] for i in range(len(differences))]


def _is_usual(d: np.ndarray[Any, Any]) -> bool:
    """No run diverged, and the differences are not one and the same."""
    return bool((abs(d) < _BEYOND).all() and d.std() > 1e-12 * abs(d).max())


def _lower_is_second(d: np.ndarray[Any, Any]) -> bool:
    if (abs(d) < _BEYOND).all():
        return bool(d.mean() > 0)
    return bool((d > 0).sum() > (d < 0).sum())


def _effect(d: np.ndarray[Any, Any], ratio: bool) -> float:
    middle = float(np.median(d))
    if abs(middle) > _BEYOND / 10:
        return 0.0 if ratio else math.copysign(math.inf, middle)
    return math.exp(middle) if ratio else middle


def _blocks_needed(d: np.ndarray[Any, Any], alpha: float) -> int | None:
    """For power 0.8 of the two-sided paired t test, at the observed mean / standard deviation."""
    if not _is_usual(d):
        return None
    return max(len(d) + 1, pairs_for(abs(float(d.mean())) / float(d.std(ddof=1)), alpha))


def pairs_for(size: float, alpha: float) -> int:
    """The fewest pairs for a power of 0.8 at the effect size mean / standard deviation; at most
    10,000. `TTestPower`'s power grows with n: n doubles until it is enough, then is halved down to.
    (Far beyond that power is no number, so the search must not start there.)"""
    from statsmodels.stats.power import TTestPower

    def enough(n: int) -> bool:
        return n >= _MOST or bool(TTestPower().power(size, n, alpha) >= _POWER)

    high = 2
    while not enough(high):
        high *= 2
    low, high = high // 2, min(high, _MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
