"""Update rules: each is one step over a `Game` and reads like the paper's algorithm."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Literal

import torch
from pydantic import Field

from ganbench.game import Game
from ganbench.protocols import Rule, Terms

__all__ = [
    "alternating",
    "extragradient",
    "extragradient_past",
    "joint",
    "lookahead_minimax",
    "simultaneous",
]

AtLeastOne = Annotated[int, Field(ge=1)]


def alternating(n_dis: AtLeastOne = 1) -> Rule:
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

    step.same_each_step = True  # type: ignore[attr-defined]
    return step


def simultaneous() -> Rule:
    """Both players' gradients at the same point and on the same batch; then both move.

    θ_{G,D} ← θ_{G,D} − α∇. Mescheder et al. 2017 (arXiv:1705.10461), algorithm 1.
    """

    def step(game: Game) -> Terms:
        terms = game.gradients(game.draw())
        _move_both(game)
        return terms

    step.same_each_step = True  # type: ignore[attr-defined]
    return step


def extragradient(batches: Literal[1, 2] | None = None) -> Rule:
    """Both players look ahead, and the gradients found there move them: ω ← ω − αF(ω − αF(ω)).

    Both the look-ahead and the update are the optimizer's own, whose moments see both gradients:
    with adam this is ExtraAdam. Gidel et al. 2019 (arXiv:1802.10551), algorithms 2 and 4.

    batches: 2 takes the gradients on two batches, as published, and refuses data that has one; 1
    takes both on the same examples and latents (Mishchenko et al. 2020, arXiv:1905.11373). Without
    it each is on the next batch, which is the same one when a batch is all of the data.
    """
    same = batches == 1

    def step(game: Game) -> Terms:
        start = [player.position() for player in game.players]
        batch = game.draw()
        with game.latents_kept() if same else nullcontext():
            game.gradients(batch)
        _look_ahead(game)
        terms = game.gradients(batch if same else game.draw())
        _move_both_to(game, start)
        _move_both(game)
        return terms

    step.batches = batches or 1  # type: ignore[attr-defined]
    step.same_each_step = not same  # type: ignore[attr-defined]
    return step


def extragradient_past() -> Rule:
    """Extragradient with one gradient a step: the look-ahead reuses the last one.

    ω'_t = ω_t − αF(ω'_{t−1}), then ω_{t+1} = ω_t − αF(ω'_t). The first step looks ahead by no
    gradient. Popov 1980; Gidel et al. 2019 (arXiv:1802.10551),
    eq. 12 and 13.
    """

    def step(game: Game) -> Terms:
        start = [player.position() for player in game.players]
        past = game.memory.get("past")
        if past is not None:
            for player, gradient in zip(game.players, past, strict=True):
                player.set_gradient(gradient)
            _look_ahead(game)
        terms = game.gradients(game.draw())
        game.memory["past"] = [player.gradient() for player in game.players]
        _move_both_to(game, start)
        _move_both(game)
        return terms

    step.same_each_step = True  # type: ignore[attr-defined]
    return step


def lookahead_minimax(
    k: AtLeastOne = 5,
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5,
    inner: Literal["alternating", "simultaneous", "extragradient"] = "alternating",
) -> Rule:
    """Every k steps of the inner rule both players go back to ω_slow + α(ω − ω_slow).

    Chavdarova et al. 2021 (arXiv:2006.14567), algorithm 1.
    """
    inner_step = {
        "alternating": alternating,
        "simultaneous": simultaneous,
        "extragradient": extragradient,
    }[inner]()

    def step(game: Game) -> Terms:
        if "slow" not in game.memory:
            game.memory["slow"] = [player.position() for player in game.players]
        terms = inner_step(game)
        if (game.step + 1) % k == 0:
            for player, slow in zip(game.players, game.memory["slow"], strict=True):
                torch._foreach_lerp_(slow, [p.detach() for p in player.parameters], alpha)
                player.move_to(slow)
        return terms

    return step


def joint() -> Rule:
    """Both players descend the sum of both losses. Not a GAN: kept to show the mistake.

    What one optimizer over all variables of both networks does; see preset article-as-printed.
    """

    def step(game: Game) -> Terms:
        terms = game.joint_gradient(game.draw())
        _move_both(game)
        return terms

    step.same_each_step = True  # type: ignore[attr-defined]
    return step


def _move_both(game: Game) -> None:
    for player in game.players:
        player.update()


def _look_ahead(game: Game) -> None:
    """Move both players for now: a loss counts the updates that stay."""
    with game.loss_unchanged():
        _move_both(game)


def _move_both_to(game: Game, positions: list[list[torch.Tensor]]) -> None:
    for player, position in zip(game.players, positions, strict=True):
        player.move_to(position)
