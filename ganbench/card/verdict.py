"""From a predicted rate and played paths to one word, and what it leaves out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from ganbench.card.trajectories import ESCAPED, Array, growth, radius, turns

__all__ = ["NEARBY", "Verdict", "judge"]

Verdict: TypeAlias = Literal["converges", "orbits", "diverges", "stalls", "undecided"]

_NEUTRAL = 1e-8  # a predicted rate this close to 1 is 1
_FLAT = 0.05  # |log ratio| of the radii of two quarters that counts as no change
_ONE_TURN = 1.0
NEARBY = 1e-2  # of a path's first radius: it has arrived
_STILL_MOVING = "still on the way after the last step: take more steps"


def judge(predicted: float | None, near: Array, far: Sequence[Array]) -> tuple[Verdict, str]:
    """The verdict on a game, and a remark on it.

    converges: what starts near the equilibrium ends at it. orbits: keeps moving at a bounded
    distance that does not vanish. diverges: the distance grows. stalls: comes to rest elsewhere.
    undecided: the steps played do not show it.

    A predicted rate other than 1 decides what happens near the equilibrium. Where it is 1, or
    there is none, the paths decide. `near` starts close to the equilibrium, `far` do not.
    """
    if predicted is not None and predicted < 1 - _NEUTRAL:
        stay_away = [path for path in far if not (_shrinks(path) or _arrived(path))]
        if not stay_away or predicted ** len(near) > 0.5:
            return "converges", ""
        return "converges", "only from nearby: farther starts do not get there"
    if predicted is not None and predicted > 1 + _NEUTRAL:
        would_show = math.log(predicted) * len(near) / 4 > 4 * _FLAT
        if would_show and all(not _grows(path) and _turning(path) for path in far):
            return "orbits", f"leaves the equilibrium for a cycle, of radius {_size(far[0]):.2g}"
        return "diverges", ""
    return _from_paths(near, far, neutral=predicted is not None)


def _from_paths(near: Array, far: Sequence[Array], *, neutral: bool) -> tuple[Verdict, str]:
    paths = (near, *far)
    if any(_escaped(path) for path in paths):
        return "diverges", ""
    if all(_arrived(path) for path in far) and not any(_grows(path) for path in paths):
        return "converges", ""
    if all(_shrinks(path) for path in far) and not _grows(near):
        if neutral or _ends_nearer(near):
            return "converges", "slower than any geometric rate" if neutral else ""
        return "undecided", _STILL_MOVING
    if all(_stopped(path) for path in far):
        return "stalls", f"comes to rest at radius {_size(far[0]):.2g}"
    if any(_grows(path) for path in paths) and not any(_shrinks(path) for path in paths):
        return "diverges", "slower than any geometric rate" if neutral else ""
    if all(_turning(path) or _arrived(path) for path in far):
        return "orbits", "" if neutral else f"within a radius of {max(map(_size, paths)):.2g}"
    return "undecided", _STILL_MOVING


def _escaped(path: Array) -> bool:
    return not radius(path)[-1] < ESCAPED


def _arrived(path: Array) -> bool:
    r = radius(path)
    return bool(r[-1] <= NEARBY * r[0])


def _shrinks(path: Array) -> bool:
    return not _escaped(path) and growth(path) < -_FLAT


def _ends_nearer(path: Array) -> bool:
    return bool(_size(path) < 0.5 * radius(path)[0])


def _grows(path: Array) -> bool:
    return _escaped(path) or growth(path) > _FLAT


def _turning(path: Array) -> bool:
    return turns(path) >= _ONE_TURN


def _stopped(path: Array) -> bool:
    """In the last quarter, no move worth speaking of."""
    last = path[-max(len(path) // 4, 1) :]
    return bool(abs(last - last[-1]).max() < 1e-3 * radius(path)[-1])


def _size(path: Array) -> float:
    """Root mean square of the radius in the last quarter."""
    r = radius(path)
    return math.sqrt(float((r[-max(len(r) // 4, 1) :] ** 2).mean()))
