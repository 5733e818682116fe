"""The game as a team plays it: every rank the same game, each on its rows of every batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganbench.distributed.batch_norm import synchronise
from ganbench.distributed.randomness import DrawnForAll
from ganbench.distributed.team import Team
from ganbench.errors import UsageError
from ganbench.game import Game
from ganbench.player import Player
from ganbench.protocols import Terms
from ganbench.training import Training

__all__ = ["TeamGame", "TeamTraining"]


class TeamGame(Game):
    """Indices, latents and noise are drawn for the whole batch on every rank, which takes its rows.

    A rank's gradient of the mean over its m of n examples counts m/n, and the sum over ranks is
    the gradient of the mean over all. Terms, too, are sums over ranks. So every rank makes the
    same step, and needs no other word about it.
    """

    def __init__(self, *args: Any, team: Team, sync_batch_norm: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.team = team
        feed = self.feed
        smallest = feed.batch_size % feed.micro_batch_size or feed.micro_batch_size
        if smallest < team.size:
            raise UsageError(
                f"{team.size} ranks share every batch, but batch_size={feed.batch_size} in pieces "
                f"of {feed.micro_batch_size} leaves one of {smallest}: set batch_size and "
                "micro_batch_size so that each piece has an example for every rank"
            )
        if sync_batch_norm:
            synchronise(self.generator.module, self.discriminator.module)

    def _gradient(
        self, batch: Tensor, add_gradient: Callable[[Tensor, Tensor, float], Terms]
    ) -> Terms:
        before = [_taken(player) for player in self.players]
        totals: dict[str, Tensor] = {}
        pieces = self.feed.pieces(batch)
        examples = self.feed.micro_batches(batch, self.team.rows)
        for piece, x_real in zip(pieces, examples, strict=True):
            n, rows = len(piece), self.team.rows(len(piece))
            z = torch.randn(n, self.z_dim, device=self.device, generator=self._latents)
            share = len(x_real) / len(batch)
            with DrawnForAll(n, rows):
                terms = add_gradient(x_real, z[rows], share)
            for name, term in terms.items():
                part = term.detach().float() * share
                totals[name] = totals[name] + part if name in totals else part
        self._sum_over_ranks(list(totals.values()))
        for player, gradients in zip(self.players, before, strict=True):
            _given_back(player, gradients)
        return totals

    def _sum_over_ranks(self, totals: list[Tensor]) -> None:
        """Gradients, terms, and the losses that some optimizers read, in one collective."""
        moved = [player for player in self.players if any(g is not None for g in _grads(player))]
        for player in moved:
            player.last_loss = player.last_loss.float()
        gradients = [g for player in moved for g in _grads(player) if g is not None]
        self.team.sum_([*gradients, *(player.last_loss for player in moved), *totals])


def _grads(player: Player) -> list[Tensor | None]:
    return [parameter.grad for parameter in player.parameters]


def _taken(player: Player) -> list[Tensor | None]:
    """The gradients at hand, which are already sums, taken out of the way."""
    gradients = _grads(player)
    for parameter in player.parameters:
        parameter.grad = None
    return gradients


def _given_back(player: Player, gradients: list[Tensor | None]) -> None:
    for parameter, before in zip(player.parameters, gradients, strict=True):
        if before is not None:
            parameter.grad = before if parameter.grad is None else parameter.grad.add_(before)


class TeamTraining(Training):
    """Every rank plays chunks of rank 0's length and stops where any of them was asked to."""

    def __init__(self, team: Team, *args: Any) -> None:
        super().__init__(*args)
        self._team = team
        length_here = self.clock.next_length
        self.clock.next_length = (  # type: ignore[method-assign]
            lambda at_most: team.leaders(length_here(at_most))
        )

    def run(self, *, stop: Callable[[], bool], **callbacks: Any) -> None:
        super().run(stop=lambda: self._team.any(stop()), **callbacks)
