"""Update rules: each is one step over a `Game` and reads like the paper's algorithm."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ganbench.game import Game
from ganbench.protocols import Rule, Terms

__all__ = ["alternating", "joint", "simultaneous"]


def alternating(n_dis: Annotated[int, Field(ge=1)] = 1) -> Rule:
    """n_dis updates of D, each on fresh data, then one update of G against the new D.

    Goodfellow et al. 2014 (arXiv:1406.2661), algorithm 1, where n_dis is k.
    """

    def step(game: Game) -> Terms:
        for _ in range(n_dis):
            batch = game.draw()
            d_terms = game.d_gradient(batch)
            game.discriminator.update()
        g_terms = game.g_gradient(batch)
        game.generator.update()
        return {**d_terms, **g_terms}

    return step


def simultaneous() -> Rule:
    """Both players' gradients at the same point and on the same batch; then both move.

    θ_{G,D} ← θ_{G,D} − α∇. Mescheder et al. 2017 (arXiv:1705.10461), algorithm 1.
    """

    def step(game: Game) -> Terms:
        terms = game.gradients(game.draw())
        game.discriminator.update()
        game.generator.update()
        return terms

    return step


def joint() -> Rule:
    """Both players descend the sum of both losses. Not a GAN: kept to show the mistake.

    What one optimizer over all variables of both networks does; see preset article-as-printed.
    """

    def step(game: Game) -> Terms:
        terms = game.joint_gradient(game.draw())
        game.discriminator.update()
        game.generator.update()
        return terms

    return step
