"""Which way is worse, by metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = ["SHARES", "Direction", "better", "worsening_of"]

Direction = Literal["lower", "higher"]

# Shares between 0 and 1, of which more is better.
SHARES = frozenset({"precision", "recall", "coverage", "high_quality_share"})
_HIGHER = SHARES | {"throughput", "density", "modes_covered"}
_LOWER = {
    "step_time",
    "cpu_time",
    "wall_time",
    "device_time",
    "instructions",
    "peak_memory",
    "memory_growth",
    "fid",
    "fid_infinity",
    "kid",
    "distance_to_equilibrium",
    "mmd",
    "wasserstein",
}
_KNOWN: Mapping[str, Direction] = {
    **dict.fromkeys(_HIGHER, "higher"),
    **dict.fromkeys(_LOWER, "lower"),
}


def better(metric: str) -> Direction | None:
    """Whether lower or higher is better, or None for a metric that nobody declared."""
    return _KNOWN.get(metric)


def worsening_of(ratio: float, direction: Direction) -> float:
    """head/base -> the relative change in the bad direction: ratio − 1, or 1/ratio − 1.

    Half the throughput is 1.0, as is twice the time a step: the same slow-down either way.
    """
    return ratio - 1 if direction == "lower" else 1 / ratio - 1
