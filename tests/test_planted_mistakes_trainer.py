"""Known mistakes of trainers, planted on purpose: each check passes on ours and fails on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ganbench.builtin.composed import Optimistic
from ganbench.game import Game
from ganbench.protocols import Rule, Terms
from ganbench.rules import extragradient, simultaneous

LR = 0.2


def squared_radii(game: Game, rule: Rule, steps: int) -> np.ndarray:
    radii = []
    for _ in range(steps):
        radii.append(
            sum(p.detach().square().sum().item() for o in game.players for p in o.parameters)
        )
        game.play(rule)
    return np.array(radii)


def check_simultaneous(play: Callable, rule: Rule) -> None:
    game, _ = play(data="bilinear", opt=f"sgd:lr={LR}")
    r2 = squared_radii(game, rule, 20)
    np.testing.assert_allclose(r2[1:] / r2[:-1], 1 + LR**2, rtol=1e-5)


def check_extragradient(play: Callable, rule: Rule) -> None:
    game, _ = play(data="bilinear", opt=f"sgd:lr={LR}")
    r2 = squared_radii(game, rule, 20)
    np.testing.assert_allclose(r2[1:] / r2[:-1], 1 - LR**2 + LR**4, rtol=1e-5)


def check_r1_step(play: Callable, rule: Rule, loss: str) -> None:
    """Near the equilibrium ψ ← ψ − h(θ/2 + γψ) and θ ← θ + hψ/2, both from the same point."""
    gamma, near = 0.8, "dirac:start=1e-3"
    game, _ = play(data="dirac", loss=loss, opt=f"sgd:lr={LR}", generator=near, discriminator=near)
    step = np.array([[1 - LR * gamma, -LR / 2], [LR / 2, 1]])
    for _ in range(10):
        game.play(rule)
    found = [player.parameters[0].item() for player in game.players]
    expected = np.linalg.matrix_power(step, 10) @ [1e-3, 1e-3]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def d_moves_before_g_s_backward(game: Game) -> Terms:
    batch = game.draw()
    terms = dict(game.d_gradient(batch))
    game.discriminator.update()
    terms |= game.g_gradient(batch)
    game.generator.update()
    return terms


def each_player_extrapolates_alone(game: Game) -> Terms:
    for player, gradient in (
        (game.discriminator, game.d_gradient),
        (game.generator, game.g_gradient),
    ):
        start = player.position()
        gradient(game.draw())
        player.update()
        terms = gradient(game.draw())
        player.move_to(start)
        player.update()
    return terms


def penalty_stepped_separately(game: Game) -> Terms:
    """The adversarial step of both, then one more optimizer step of D on R1 alone."""
    terms = simultaneous()(game)
    x = torch.zeros(1, 1, requires_grad=True)
    (slope,) = torch.autograd.grad(game.discriminator.module(x).sum(), x, create_graph=True)
    game.discriminator.backward(0.4 * slope.square().sum())
    game.discriminator.update()
    return terms


class KeepsAnAlias(Optimistic):
    """Remembers the gradient tensor itself, which the next backward pass overwrites."""

    def __init__(self, base: torch.optim.Optimizer) -> None:
        super().__init__(base)
        self._alias: list[torch.Tensor] | None = None

    @torch.no_grad()
    def step(self, closure=None):
        gradients = [p.grad for p in self._parameters()]
        last = self._alias or [torch.zeros_like(g) for g in gradients]
        for p, now, before in zip(self._parameters(), gradients, last, strict=True):
            p.sub_(LR * (2 * now - before))
        self._alias = gradients


def check_optimistic(around: Callable[[torch.optim.Optimizer], torch.optim.Optimizer]) -> None:
    """θ ← θ − 2αg_t + αg_{t−1} on gradients 1, 3, 0, written into the same tensor each time."""
    theta = torch.nn.Parameter(torch.ones(1))
    optimizer = around(torch.optim.SGD([theta], lr=LR))
    theta.grad = torch.zeros(1)
    visited = []
    for gradient in (1.0, 3.0, 0.0):
        theta.grad.fill_(gradient)
        optimizer.step()
        visited.append(theta.item())
    assert visited == pytest.approx([1 - 0.4, 0.6 - 1.2 + 0.2, -0.4 + 0.6])


def test_ours_pass(play):
    check_simultaneous(play, simultaneous())
    check_extragradient(play, extragradient())
    check_r1_step(play, simultaneous(), "minimax+r1:gamma=0.8")
    check_optimistic(Optimistic)


def test_d_moved_before_g_s_backward_is_found_in_a_simultaneous_step(play):
    with pytest.raises(AssertionError):
        check_simultaneous(play, d_moves_before_g_s_backward)


def test_a_player_that_looks_ahead_alone_is_found_in_an_extragradient_step(play):
    with pytest.raises(AssertionError):
        check_extragradient(play, each_player_extrapolates_alone)


def test_a_penalty_stepped_separately_is_found(play):
    with pytest.raises(AssertionError):
        check_r1_step(play, penalty_stepped_separately, "minimax")


def test_an_alias_of_grad_in_an_optimistic_optimizer_is_found():
    with pytest.raises(AssertionError):
        check_optimistic(KeepsAnAlias)
