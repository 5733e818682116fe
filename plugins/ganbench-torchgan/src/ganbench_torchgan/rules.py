"""TorchGAN's update rule."""

from __future__ import annotations

from ganbench.game import Game
from ganbench.protocols import Rule, Terms

__all__ = ["ncritic"]


def ncritic(n: int = 1) -> Rule:
    """n updates of D for one of G; a negative n gives −n updates of G for one of D.

    As the option ncritic of TorchGAN's losses: more updates of G help where D learns too fast.
    """
    if n == 0:
        raise ValueError("n is 0, but one player must move: n=2 for two updates of D, n=-2 of G")

    def step(game: Game) -> Terms:
        for _ in range(max(1, n)):
            batch = game.draw()
            d_terms = game.d_gradient(batch)
            game.discriminator.update()
        for _ in range(max(1, -n)):
            g_terms = game.g_gradient(batch)
            game.generator.update()
        return {**d_terms, **g_terms}

    return step
