"""Games of two numbers, θ of G and ψ of D, that are solved on paper. All rest at θ = ψ = 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.builtin.games import Point
from ganbench.game import Game, build_game
from ganbench.plan import Plan, make_plan
from ganbench.protocols import Data, Rule
from ganbench.registry import Registry
from ganbench.spec import RunSpec

__all__ = ["GAMES", "AnalyticGame", "Setup", "plan_of", "start"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a card is about. Texts as on the command line."""

    loss: str
    opt_g: str
    opt_d: str
    rule: str


@dataclass(frozen=True, slots=True)
class AnalyticGame:
    """D(x) = ψx against G(z) = θ + u, on `data()` (n, 1); `noise` holds the n values of u.

    loss: the one it is played with, or None for the card's. precision: the radius below which
    rounding of the expectations hides the dynamics.
    """

    name: str
    title: str
    data: Callable[[], Tensor]
    noise: Callable[[], Tensor]
    loss: str | None = None
    precision: float = 1e-250


def _paired(which: int) -> Tensor:
    """±1 against ±1 in all four pairs, so that reals and fakes are independent: (4, 1)."""
    signs = torch.tensor([-1.0, 1.0])
    return torch.cartesian_prod(signs, signs)[:, which, None]


def _zeros() -> Tensor:
    return torch.zeros(2, 1)


GAMES = (
    AnalyticGame("bilinear", "Bilinear game  min max θψ", _zeros, _zeros, loss="wgan"),
    AnalyticGame("dirac", "Dirac-GAN  data at 0, G = θ", _zeros, _zeros),
    AnalyticGame(
        "overlap",
        "Overlap  data ±1, G = θ ± 1",
        lambda: _paired(0),
        lambda: _paired(1),
        precision=1e-13,
    ),
)
"""Bilinear: the rule and the optimizer alone (Gidel et al. 2019, arXiv:1802.10551, section 2.2).
Dirac-GAN: a loss without help from overlapping distributions (Mescheder et al. 2018,
arXiv:1801.04406, section 2). Overlap: the same loss where they overlap, so that its curvature damps
D (Nagarajan & Kolter 2017, arXiv:1706.04156)."""


class _Location(Point):
    """G(z) = θ + u, with the same u at every step: (N, z_dim) -> (N, 1)."""

    def __init__(self, theta: float, noise: Tensor) -> None:
        super().__init__(torch.full((1,), theta))
        self.noise = noise

    def forward(self, z: Tensor) -> Tensor:
        return self.theta + self.noise[: len(z)]


def plan_of(setup: Setup, registry: Registry, loss: str | None = None) -> Plan:
    """The plan of a run of the Dirac-GAN with these parts. Raises `UsageError`."""
    spec = RunSpec(
        loss=loss or setup.loss,
        opt_g=setup.opt_g,
        opt_d=setup.opt_d,
        rule=setup.rule,
        data="dirac:n=2",
        generator="dirac",
        discriminator="dirac",
        batch_size="full",
        z_dim=1,
        metrics="none",
        device="cpu",
    )
    return make_plan(spec, registry)


def start(
    one: AnalyticGame, setup: Setup, registry: Registry, theta: float, psi: float
) -> tuple[Game, Rule]:
    """The game at (θ, ψ) and the rule that plays it, in torch's default precision."""
    plan = plan_of(setup, registry, one.loss)
    noise = one.noise()

    def location(z_dim: int, shape: tuple[int, ...], start: float) -> nn.Module:
        return _Location(start, noise)

    plan = replace(
        plan,
        generator=_part(plan.generator, theta, replace(plan.generator.registered, target=location)),
        discriminator=_part(plan.discriminator, psi, plan.discriminator.registered),
    )
    game = build_game(plan, Data(one.data()), torch.device("cpu"))
    return game, plan.rule.create()


def _part(part: Any, start: float, registered: Any) -> Any:
    return replace(part, registered=registered, given={"start": float(start)})
