"""Distribution-free intervals for the centre of a symmetric sample, valid at every look.

A restart gives a log-ratio of two arms. Their order is drawn at random and the arms of an A/A
comparison are alike, so its distribution is symmetric; a slow-down shifts it. Nothing else is
assumed: no normality, no variance that is known or stays the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "alpha_of_look", "centre_interval", "looks"]

FIRST_LOOK = 12
LOOK_GROWTH = 1.4


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its bounds; infinite where there is too little evidence for any."""

    estimate: float
    low: float
    high: float


def centre_interval(values: Sequence[float], alpha: float) -> Interval:
    """The centre of symmetry μ of independent values, with P(μ < low) ≤ α and P(μ > high) ≤ α.

    The estimate is the median of the Walsh averages (xᵢ + xⱼ)/2, i ≤ j. The bounds are the
    averages of rank C + 1 from below and above, where C is the largest number with
    P(T ≤ C) ≤ α and T is Wilcoxon's signed-rank statistic under the null, whose exact
    distribution is used. Hodges & Lehmann 1963; Hollander, Wolfe & Chicken 2014, section 3.2.
    """
    x = np.asarray(values, dtype=float)
    if not len(x):
        return Interval(math.nan, -math.inf, math.inf)
    i, j = np.triu_indices(len(x))
    averages = np.sort((x[i] + x[j]) / 2)
    estimate = float(np.median(averages))
    rank = _critical(len(x), alpha)
    if rank < 0:
        return Interval(estimate, -math.inf, math.inf)
    return Interval(estimate, float(averages[rank]), float(averages[-1 - rank]))


def _critical(n: int, alpha: float) -> int:
    """The largest C with P(T ≤ C) ≤ α for n values; −1 if there is none."""
    return int(np.searchsorted(_signed_rank_cdf(n), alpha, side="right")) - 1


@functools.lru_cache(maxsize=512)
def _signed_rank_cdf(n: int) -> NDArray[np.float64]:
    """P(T ≤ t), t = 0 … n(n+1)/2, where T = Σ i·Bᵢ and the Bᵢ are fair coins."""
    probability = np.ones(1)
    for i in range(1, n + 1):
        without = np.concatenate([probability, np.zeros(i)])
        shifted = np.concatenate([np.zeros(i), probability])
        probability = (without + shifted) / 2
    return np.minimum(np.cumsum(probability), 1.0)


def alpha_of_look(alpha: float, look: int) -> float:
    """α/(k(k + 1)) for look k = 1, 2, …: summed over all looks there can ever be, it is α.

    So the chance that any look's bound is wrong is at most α (union bound), however many
    looks are taken and however the last one is chosen.
    """
    return alpha / (look * (look + 1))


def looks(most: int) -> list[int]:
    """The numbers of restarts at which the evidence is looked at: 12, 17, 24, 33, … up to most."""
    found, n = [], float(FIRST_LOOK)
    while math.ceil(n) <= most:
        found.append(math.ceil(n))
        n *= LOOK_GROWTH
    return found
