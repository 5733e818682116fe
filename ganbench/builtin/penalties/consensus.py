"""Consensus optimization: both players also descend the norm of their joint gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganbench.builtin.penalties.penalty import Weight
from ganbench.builtin.penalties.second_order import (
    gradients,
    prove_differentiable,
    second_order,
)
from ganbench.protocols import Loss, Scorer, Terms

__all__ = ["consensus"]


def consensus(gamma: Weight = 10.0) -> Loss:
    """Consensus optimization: (gamma/2) ‖v‖², where v holds both players' gradients.

    v = (∇_D L_D, ∇_G L_G), over all parameters of both; each player descends its loss plus this.
    Meant for the simultaneous rule, whose losses are taken at one point.

    Mescheder et al. 2017 (arXiv:1705.10461), section 4, algorithm 2.
    Implementations differ: some drop the ½; some penalise each player's own gradient only, which
    leaves out the mixed derivatives that make it converge.
    """
    return _Consensus(gamma)


class _Consensus:
    def __init__(self, gamma: float) -> None:
        self._gamma = gamma
        self._proven = False

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {}

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {}

    def players_penalty(
        self,
        d_total: Tensor,
        g_total: Tensor,
        d_parameters: Sequence[Tensor],
        g_parameters: Sequence[Tensor],
    ) -> Tensor:
        with second_order("consensus", "one of the players"):
            both = (
                *gradients(d_total, d_parameters, provable=not self._proven),
                *gradients(g_total, g_parameters, provable=not self._proven),
            )
        squares = torch.stack([g.square().sum() for g in both if g is not None])
        penalty = self._gamma / 2 * squares.sum()
        if not self._proven:
            prove_differentiable(penalty, "consensus", "one of the players")
            self._proven = True
        return penalty
