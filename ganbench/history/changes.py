"""Where the level of a noisy series changed.

Logarithms of the values are cut into stretches that minimise

    Σ over stretches Σ |x − median of the stretch| + penalty · (number of cuts)

by PELT (Killick et al. 2012, arXiv:1101.1438), in the package ruptures (Truong et al. 2020,
arXiv:1801.00718). Absolute deviations, so that one odd value is no change. The penalty is
PENALTY · σ · log n, with σ the noise: 1.4826 times the median absolute deviation of successive
differences, over √2, which no change of level moves. PENALTY is set by simulation so that a series
of any length with noise alone has a change in about 1 of 100 (scripts/calibrate_history.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ganbench.errors import GanbenchError

__all__ = ["LEAST", "PENALTY", "Change", "change_points"]

PENALTY = 3.0
LEAST = 12
"""Shorter series are not cut: too few values to tell noise from change."""

_SHORTEST = 3  # values in a stretch
_QUIET = 1e-3  # noise is taken to be 0.1 % at least, so that a rounding is no change


@dataclass(frozen=True, slots=True)
class Change:
    """The series has another level from `index` on: the medians before and after."""

    index: int
    before: float
    after: float

    @property
    def ratio(self) -> float:
        return self.after / self.before


def change_points(values: Sequence[float]) -> list[Change]:
    """The changes of a series of positive values, in order. None in a short or flat one.

    Raises `GanbenchError` if ruptures is not installed.
    """
    x = np.asarray(values, dtype=float)
    if len(x) < LEAST or (x <= 0).any():
        return []
    try:
        import ruptures
    except ImportError:
        raise GanbenchError(
            "change points need the package ruptures: pip install 'ganbench[history]'"
        ) from None
    logs = np.log(x)
    penalty = PENALTY * noise(logs) * np.log(len(x))
    search = ruptures.Pelt(model="l1", min_size=_SHORTEST, jump=1).fit(logs.reshape(-1, 1))
    ends = [0, *search.predict(pen=penalty)]
    levels = [float(np.median(x[start:end])) for start, end in pairwise(ends)]
    return [
        Change(index, before, after)
        for index, (before, after) in zip(ends[1:-1], pairwise(levels), strict=True)
    ]


def noise(x: np.typing.NDArray[np.float64]) -> float:
    """The noise's standard deviation if it is normal, whatever the levels."""
    steps = np.diff(x)
    deviation = float(np.median(np.abs(steps - np.median(steps))))
    return max(1.4826 * deviation / math.sqrt(2), _QUIET)
