"""Intervals and tests for pairs: Wilcoxon's signed ranks, and Holm's correction over rows.

For differences d_1 … d_n, symmetric about a centre θ, the number of Walsh averages (d_i + d_j)/2,
i ≤ j, that lie above θ has the law of Σ k·B_k with fair coins B_1 … B_n, whatever the law of d.
So the sorted averages hold θ between them with known probability. Lehmann 1975, Nonparametrics,
sections 2.5 and 4.4. The estimate is the median of the averages (Hodges & Lehmann 1963).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["centre", "enough", "holm_levels", "lower_bound", "p_above", "upper_bound"]


def centre(d: Sequence[float]) -> float:
    """The Hodges–Lehmann estimate: the median of all averages of two."""
    return float(np.median(_walsh(d)))


def p_above(d: Sequence[float], limit: float) -> float:
    """The one-sided p-value of θ ≤ `limit`: small where d lies above it."""
    return _p_of_count(len(d), int((_walsh(d) > limit).sum()))


def lower_bound(d: Sequence[float], level: float) -> float:
    """θ lies above it but for a share `level` of samples at most; −∞ where n is too small."""
    walsh = np.sort(_walsh(d))
    below = _averages_outside(len(d), level)
    return float(walsh[below - 1]) if below else -math.inf


def upper_bound(d: Sequence[float], level: float) -> float:
    """θ lies below it but for a share `level` of samples at most; ∞ where n is too small."""
    return -lower_bound([-one for one in d], level)


def enough(level: float) -> int:
    """The fewest pairs that can decide anything at `level`: 2^−n ≤ level."""
    return math.ceil(-math.log2(level) - 1e-12)


def holm_levels(p_values: Sequence[float], level: float) -> list[float]:
    """The level at which each row is tested, so that one row or more is rejected wrongly with
    probability `level` at most. A row is rejected where p ≤ its level. Holm 1979.

    The smallest of m p-values is tested at level/m, the next at level/(m − 1), …; after the first
    that is not rejected, the rest are held to its level, and none of them is.
    """
    m = len(p_values)
    levels, stopped = [0.0] * m, None
    for rank, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        levels[index] = stopped if stopped is not None else level / (m - rank)
        if stopped is None and p_values[index] > levels[index]:
            stopped = levels[index]
    return levels


def _walsh(d: Sequence[float]) -> Any:
    values = np.asarray(d, dtype=float)
    i, j = np.triu_indices(len(values))
    return (values[i] + values[j]) / 2


@lru_cache
def _tail(n: int) -> Any:
    """P(W ≥ w) for w = 0 … n(n + 1)/2."""
    law = np.ones(1)
    for k in range(1, n + 1):
        longer = np.zeros(len(law) + k)
        longer[: len(law)] += law / 2
        longer[k:] += law / 2
        law = longer
    return np.cumsum(law[::-1])[::-1]


def _p_of_count(n: int, count: int) -> float:
    return min(1.0, float(_tail(n)[count]))


def _averages_outside(n: int, level: float) -> int:
    """The largest k such that at most k − 1 averages lie below θ with probability ≤ `level`."""
    below = _tail(n)[::-1]  # by symmetry P(W ≤ w), w = 0, 1, …
    return int(np.searchsorted(below, level * (1 + 1e-9), side="right"))
