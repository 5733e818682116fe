"""Was base measured in turns with head, or all of one before all of the other?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["interleaved"]


def interleaved(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the times (ISO 8601) of the pairs change sides often enough for a machine that
    drifts to slow both alike: in order of time, at least as many stretches of one side as pairs.

    A B A B A B has six stretches for three pairs, A B B A A B four, A A A B B B two. Unknown times
    count as not interleaved.
    """
    if not pairs or not all(time for pair in pairs for time in pair):
        return False
    events = sorted((time, side) for pair in pairs for side, time in enumerate(pair))
    return 1 + sum(a[1] != b[1] for a, b in pairwise(events)) >= max(len(pairs), 2)
