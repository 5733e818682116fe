"""The rate that theory predicts: the spectral radius of one step's Jacobian at the equilibrium.

A step maps the whole state of the game (both players' parameters, the optimizers' moments, the
loss's and the rule's memory) to the next one. Its Jacobian is taken by central differences in
float64 through the real loss, rule and optimizer, whatever they are made of.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganbench.game import Game
from ganbench.protocols import Rule

__all__ = ["Linearisation", "linearise"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_SETTLE = 2  # steps after which optimizers have made the state they make when first needed
_WINDOW = 40  # steps watched: a period of up to half of them is found
_DELTA = 1e-4


@dataclass(frozen=True, slots=True)
class Linearisation:
    """`rate`: the factor per step by which a small distance to the equilibrium changes, in the end.

    With the Jacobian M of `period` steps it is ρ(M)^(1/period); `eigenvalues` are M's, largest
    first. Where there is no such rate it is None, and `reason` says why.
    """

    rate: float | None
    reason: str = ""
    period: int = 0
    eigenvalues: tuple[complex, ...] = ()


class _NoRate(Exception):
    """Why the update has no linear approximation."""


def linearise(game: Game, rule: Rule) -> Linearisation:
    """The linear approximation of the update at the game's present point, which should rest.

    The game is left in another state.
    """
    try:
        states, felt, players = _at_rest(game, rule)
        pairs = [(before, _flat(after)) for before, after in pairwise(states)]
        steps = [_jacobian(game, rule, *pair, felt, _DELTA) for pair in pairs]
        period = _period(steps)
        wider = (_jacobian(game, rule, *pair, felt, 4 * _DELTA) for pair in pairs[:period])
        steps = [_refined(*both) for both in zip(steps[:period], wider, strict=True)]
    except _NoRate as why:
        return Linearisation(None, str(why))
    whole = np.eye(len(felt))
    for step in steps:
        whole = step @ whole
    eigenvalues = np.linalg.eigvals(_observed(whole, players))
    eigenvalues = eigenvalues[np.argsort(-np.abs(eigenvalues))]
    rate = float(np.abs(eigenvalues[0]) ** (1 / period))
    return Linearisation(rate, "", period, tuple(complex(one) for one in eigenvalues))


def _at_rest(game: Game, rule: Rule) -> tuple[list[dict[str, Any]], Indices, int]:
    """The states of a game that rests; which of their numbers make up the vector that one step maps
    to the next, players' parameters first; and how many those are.

    A number that changes although the game rests is a clock, such as a step count.
    """
    for _ in range(_SETTLE):
        game.play(rule)
    states = [copy.deepcopy(game.state())]
    for _ in range(_WINDOW):
        game.play(rule)
        states.append(copy.deepcopy(game.state()))
    vectors = [_flat(state) for state in states]
    if len({len(one) for one in vectors}) > 1:
        raise _NoRate("the state's size changes from step to step")
    rest = np.stack(vectors)
    if not np.isfinite(rest).all():
        raise _NoRate("the update is not finite at the equilibrium")
    still = (rest == rest[0]).all(axis=0)
    players = sum(one.numel() for one in _floats(_parameters(states[0])))
    if not still[:players].all() or rest[0, :players].any():
        raise _NoRate("θ = ψ = 0 is not at rest (noise, or a term that pulls away)")
    return states, np.flatnonzero(still), players


def _jacobian(
    game: Game, rule: Rule, before: Mapping[str, Any], after: Array, felt: Indices, delta: float
) -> Array:
    """∂(state after a step)/∂(state before it) over the numbers `felt`, by central differences.

    Raises `_NoRate` where the two sides don't agree.
    """
    columns = []
    for index in felt:
        ahead = _step_from(game, rule, before, int(index), delta)
        behind = _step_from(game, rule, before, int(index), -delta)
        if len(ahead) != len(after) or len(behind) != len(after):
            raise _NoRate("the optimizer makes new state when it leaves the equilibrium")
        if not np.abs(ahead + behind - 2 * after)[felt].max() <= 0.01 * delta:
            raise _NoRate(_NOT_SMOOTH)
        columns.append((ahead - behind)[felt] / (2 * delta))
    return np.stack(columns, axis=1)


def _refined(near: Array, far: Array) -> Array:
    """Richardson's extrapolation of differences over δ and 4δ, which leaves an error of O(δ⁴).

    Raises `_NoRate` where the two don't agree.
    """
    if not np.abs(near - far).max() <= 1e-3 * max(1.0, np.abs(near).max()):
        raise _NoRate(_NOT_SMOOTH)
    extrapolated: Array = (16 * near - far) / 15
    return extrapolated


_NOT_SMOOTH = (
    "the update has no derivative at the equilibrium (adaptive rates divide by √v = 0 there; "
    "norms and clipping have kinks)"
)


def _step_from(game: Game, rule: Rule, state: Mapping[str, Any], index: int, by: float) -> Array:
    """The state vector one step after `state` with `by` added to one of its numbers."""
    state = copy.deepcopy(dict(state))
    for tensor in _dynamic(state):
        if index < tensor.numel():
            tensor.view(-1)[index] += by
            break
        index -= tensor.numel()
    game.load_state(state)
    game.play(rule)
    return _flat(game.state())


def _period(steps: list[Array]) -> int:
    scale = max(1.0, max(np.abs(step).max() for step in steps))
    for period in range(1, len(steps) // 2 + 1):
        pairs = zip(steps, steps[period:], strict=False)
        if all(np.abs(first - later).max() <= 1e-6 * scale for first, later in pairs):
            return period
    raise _NoRate(f"the update is random, or changes with no period up to {len(steps) // 2} steps")


def _observed(jacobian: Array, players: int) -> Array:
    """The Jacobian on what the players' parameters ever depend on.

    A constant that is kept as a tensor has the eigenvalue 1 and no effect on a game at rest.
    """
    basis = np.eye(len(jacobian))[:players]
    while True:
        _, sizes, rows = np.linalg.svd(np.vstack([basis, basis @ jacobian]), full_matrices=False)
        grown = rows[sizes > 1e-8 * sizes[0]]
        if len(grown) == len(basis):
            return basis @ jacobian @ basis.T
        basis = grown


def _flat(state: Mapping[str, Any]) -> Array:
    tensors = [one.detach().reshape(-1).to(torch.float64) for one in _dynamic(state)]
    return torch.cat(tensors).numpy().copy()


def _dynamic(state: Mapping[str, Any]) -> Iterator[Tensor]:
    """The tensors that the next step depends on, the players' parameters first."""
    yield from _floats(_parameters(state))
    for player in ("generator", "discriminator"):
        yield from _floats(state[player]["optimizer"])
    yield from _floats([state["loss"], state["memory"]])


def _parameters(state: Mapping[str, Any]) -> list[Any]:
    return [state["generator"]["module"], state["discriminator"]["module"]]


def _floats(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        if tree.is_floating_point():
            yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _floats(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _floats(value)
