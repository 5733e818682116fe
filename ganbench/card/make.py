"""A card: every analytic game, played and judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ganbench.card.dynamics import Linearisation, linearise
from ganbench.card.games import GAMES, AnalyticGame, Setup, plan_of, start
from ganbench.card.trajectories import Array, descent_field, follow, measured_rate, radius
from ganbench.card.verdict import NEARBY, Verdict, judge
from ganbench.errors import GanbenchError, IncompatibleParts, UsageError, unknown
from ganbench.registry import Registry, default_registry
from ganbench.streams import isolated

__all__ = ["Card", "GameResult", "make_card"]

_NEAR = 1e-3
_FAR = ((1.0, 0.25 * math.pi), (0.5, 1.25 * math.pi))  # radius and angle
_ARRIVED = 1e-6  # of the starting radius
_LEAST_STEPS = 100
_GRID = 15


@dataclass(frozen=True, slots=True)
class GameResult:
    """One game of a card. `paths` are (steps + 1, 2) arrays of (θ, ψ), the one from nearby first.

    verdict: None where the game can't be played with these parts; `remark` says why.
    field: the descent direction on the square |θ|, |ψ| ≤ `extent`: (n, n, 2).
    """

    name: str
    title: str
    loss: str
    verdict: Verdict | None
    remark: str
    linear: Linearisation
    measured_rate: float | None
    paths: tuple[Array, ...] = ()
    extent: float = 1.0
    field: Array | None = None

    @property
    def predicted_rate(self) -> float | None:
        return self.linear.rate

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the paths as their first and last radii."""
        return {
            "game": self.name,
            "loss": self.loss,
            "verdict": self.verdict,
            "remark": self.remark,
            "predicted_rate": self.linear.rate,
            "predicted_reason": self.linear.reason,
            "period": self.linear.period or None,
            "eigenvalues": [[one.real, one.imag] for one in self.linear.eigenvalues],
            "measured_rate": self.measured_rate,
            "radii": [[_finite(radius(path)[i]) for i in (0, -1)] for path in self.paths],
        }


@dataclass(frozen=True, slots=True)
class Card:
    """What the parts do on each game. The texts are canonical: changed options only."""

    loss: str
    opt_g: str
    opt_d: str
    rule: str
    steps: int
    games: tuple[GameResult, ...]

    @property
    def title(self) -> str:
        opt = self.opt_g if self.opt_g == self.opt_d else f"G {self.opt_g}, D {self.opt_d}"
        return f"{self.loss}  ·  {opt}  ·  {self.rule}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "loss": self.loss,
            "opt_g": self.opt_g,
            "opt_d": self.opt_d,
            "rule": self.rule,
            "steps": self.steps,
            "games": [game.as_dict() for game in self.games],
        }


def make_card(
    loss: str = "nonsat",
    opt: str = "adam",
    rule: str = "alternating",
    *,
    opt_g: str | None = None,
    opt_d: str | None = None,
    steps: int = 600,
    games: Sequence[str] | None = None,
    registry: Registry | None = None,
) -> Card:
    """Play the analytic games, or those named, with these parts, in float64.

    Raises `UsageError` for an unknown part or a bad option, `IncompatibleParts` where the loss can
    be played on none of the games.
    """
    if steps < _LEAST_STEPS:
        raise UsageError(f"steps is {steps}, but a card needs {_LEAST_STEPS} or more to judge by")
    chosen = _chosen(games)
    registry = registry or default_registry()
    setup = Setup(loss, opt_g or opt, opt_d or opt, rule)
    spec = plan_of(setup, registry).spec
    with _exact():
        results = tuple(_play(one, setup, registry, steps) for one in chosen)
    opts = " and ".join(dict.fromkeys([spec.opt_g, spec.opt_d]))
    _refuse_if_nothing_played(spec.loss, opts, chosen, results)
    return Card(spec.loss, spec.opt_g, spec.opt_d, spec.rule, steps, results)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _chosen(names: Sequence[str] | None) -> list[AnalyticGame]:
    known = {one.name: one for one in GAMES}
    for name in names or ():
        if name not in known:
            raise unknown("analytic game", name, known)
    return [known[name] for name in names or known]


@contextmanager
def _exact() -> Iterator[None]:
    """float64 by default, one thread (the tensors are tiny), and random streams of its own."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        with isolated(0):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


def _play(one: AnalyticGame, setup: Setup, registry: Registry, steps: int) -> GameResult:
    loss = one.loss or plan_of(setup, registry).spec.loss
    try:
        return _played(one, setup, registry, steps, loss)
    except Exception as error:  # a part that can't play here is a row of the card, not its end
        reason = str(error)
        if not isinstance(error, GanbenchError):
            reason = f"{type(error).__name__}: {reason}"
        return GameResult(one.name, one.title, loss, None, reason, Linearisation(None), None)


def _played(
    one: AnalyticGame, setup: Setup, registry: Registry, steps: int, loss: str
) -> GameResult:
    linear = linearise(*start(one, setup, registry, 0.0, 0.0))
    scale = _scale(one, setup, registry, steps)
    starts = [(_NEAR, _FAR[0][1]), *((scale * r, angle) for r, angle in _FAR)]
    arrived = _ARRIVED if linear.rate is None else NEARBY  # there the predicted rate holds
    ends = [one.precision, *(arrived * r for r, _ in starts[1:])]
    near, *far = (
        follow(*start(one, setup, registry, r * math.cos(a), r * math.sin(a)), steps, end)
        for (r, a), end in zip(starts, ends, strict=True)
    )
    verdict, remark = judge(linear.rate, near, far)
    extent = _extent(far)
    axis = np.linspace(-extent, extent, _GRID)
    game, _ = start(one, setup, registry, 0.0, 0.0)
    return GameResult(
        one.name,
        one.title,
        loss,
        verdict,
        remark,
        linear,
        measured_rate(near, one.precision),
        (near, *far),
        extent,
        descent_field(game, axis, axis),
    )


def _scale(one: AnalyticGame, setup: Setup, registry: Registry, steps: int) -> float:
    """What to shrink the far starts by: a step of fixed length, as Adam's, may not get around the
    equilibrium from radius 1 in the steps at hand."""
    lengths = []
    for r, angle in _FAR:
        game, rule = start(one, setup, registry, r * math.cos(angle), r * math.sin(angle))
        path = follow(game, rule, 10)
        lengths.append(float(radius(np.diff(path, axis=0)).mean()))
    shrinks_with_the_radius = lengths[1] < 0.75 * lengths[0]
    if shrinks_with_the_radius or not np.isfinite(lengths).all() or lengths[0] == 0:
        return 1.0
    return min(1.0, steps * lengths[0] / 40)


def _extent(paths: Sequence[Array]) -> float:
    """Half the side of the square to draw: all of a bounded path, the beginning of others."""
    start_radius = max(float(radius(path)[0]) for path in paths)
    widest = max(float(np.abs(path[np.isfinite(path).all(axis=1)]).max()) for path in paths)
    return 1.1 * min(widest, 4 * start_radius)


def _refuse_if_nothing_played(
    loss: str, opts: str, chosen: Sequence[AnalyticGame], results: Sequence[GameResult]
) -> None:
    of_loss = [done for one, done in zip(chosen, results, strict=True) if one.loss is None]
    failed = [done for done in of_loss or results if done.verdict is None]
    if len(failed) == len(of_loss or results):
        raise IncompatibleParts(
            f"'{loss}' with '{opts}' can't be played on the analytic games, whose discriminator "
            f"gives one logit, D(x) = ψx, to points x: {failed[0].remark}"
        )
