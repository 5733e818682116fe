"""Distribution-free intervals for the centre of a symmetric sample, valid at every look.

A restart gives a log-ratio of two arms. Their order is drawn at random and the arms of an A/A
comparison are alike, so its distribution is symmetric; a slow-down shifts it. Nothing else is
assumed: no normality, no variance that is known or stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ganbench.gate.paired import centre, lower_bound, upper_bound

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

    The estimate is Hodges and Lehmann's, the bounds invert Wilcoxon's signed-rank test with its
    exact law. Hollander, Wolfe & Chicken 2014, section 3.2.
    """
    if not len(values):
        return Interval(math.nan, -math.inf, math.inf)
    return Interval(centre(values), lower_bound(values, alpha), upper_bound(values, alpha))


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
