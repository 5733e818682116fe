"""Paths of (θ, ψ): how fast they near the equilibrium, and whether they still move."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ganbench.game import Game
from ganbench.protocols import Rule

__all__ = ["ESCAPED", "descent_field", "follow", "growth", "measured_rate", "radius", "turns"]

Array = NDArray[np.float64]

ESCAPED = 1e6
_LINEAR = 3e-2  # radius below which the games are linear to about 1e-3
_SWINGS = 4  # crossings of the mean slope: two swings of an elliptic path


def follow(game: Game, rule: Rule, steps: int, arrived: float = 0.0) -> Array:
    """(θ, ψ) before the first step and after each: (steps + 1, 2), or fewer rows where the path
    leaves the disc of radius `ESCAPED` or enters the one of radius `arrived`."""
    path = [_position(game)]
    for _ in range(steps):
        game.play(rule)
        path.append(_position(game))
        if not arrived < math.hypot(*path[-1]) < ESCAPED:
            break
    return np.array(path)


def radius(path: Array) -> Array:
    """√(θ² + ψ²) of each row."""
    distance: Array = np.hypot(path[:, 0], path[:, 1])
    return distance


def measured_rate(path: Array, precision: float) -> float | None:
    """The factor per step of the radius, from the path's piece near the equilibrium.

    The slope of log r over the last three quarters of that piece; None if the piece is short, or
    if its halves differ in slope and that is not because the radius swings.
    """
    r = radius(path)
    outside = np.flatnonzero(~((r > precision) & (r < _LINEAR)))
    end = int(outside[0]) if len(outside) else len(r)
    if end < 8:
        return None
    times = np.arange(end // 4, end)
    log_r = np.log(r[end // 4 : end])
    half = len(times) // 2
    whole, first, second = (
        float(np.polyfit(times[part], log_r[part], 1)[0])
        for part in (slice(None), slice(None, half), slice(half, None))
    )
    rest = log_r - np.polyval(np.polyfit(times, log_r, 1), times)
    swings = np.count_nonzero(np.diff(np.sign(rest)))
    one_slope = abs(first - second) <= 0.1 * abs(whole) + 1e-6
    return math.exp(whole) if one_slope or swings >= _SWINGS else None


def growth(path: Array) -> float:
    """log of the root mean square radius in the last quarter over that in the quarter before."""
    r = radius(path)
    quarter = max(len(r) // 4, 1)
    last, before = _rms(r[-quarter:]), _rms(r[-2 * quarter : -quarter])
    if last == 0:
        return -math.inf
    return math.log(last / before) if before > 0 else math.inf


def turns(path: Array) -> float:
    """The length of the path's last half in circles around the equilibrium: of its rms radius."""
    half = path[len(path) // 2 :]
    size = _rms(radius(half))
    return float(radius(np.diff(half, axis=0)).sum() / (2 * math.pi * size)) if size > 0 else 0.0


def descent_field(game: Game, theta: Array, psi: Array) -> Array:
    """The negative gradients (−∂L_G/∂θ, −∂L_D/∂ψ) at each (θ, ψ): (len(psi), len(theta), 2)."""
    field = np.zeros((len(psi), len(theta), 2))
    generator, discriminator = game.generator, game.discriminator
    for i, j in np.ndindex(field.shape[:2]):
        for player, value in ((generator, theta[j]), (discriminator, psi[i])):
            player.move_to([player.parameters[0].new_tensor([value])])
        game.gradients(game.draw())
        field[i, j] = [-player.gradient()[0].item() for player in (generator, discriminator)]
        for player in game.players:
            player.optimizer.zero_grad(set_to_none=True)
    return field


def _position(game: Game) -> tuple[float, float]:
    return game.generator.parameters[0].item(), game.discriminator.parameters[0].item()


def _rms(r: Array) -> float:
    largest = float(r.max())
    return largest * math.sqrt(float(np.square(r / largest).mean())) if largest > 0 else 0.0
