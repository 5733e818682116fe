"""What the players descend: from a batch and latents to gradients in `.grad`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.errors import IncompatibleParts
from ganbench.player import Player
from ganbench.protocols import Loss, Scorer, Terms

__all__ = ["Objective", "ScorerOf", "at_least_float32", "total_of"]

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def at_least_float32(x: Tensor) -> Tensor:
    """Low-precision values as float32, so that losses are exact at any precision of the nets."""
    return x.float() if x.element_size() < 4 else x


class ScorerOf:
    """D as losses see it: float32 logits, and the module behind them."""

    __slots__ = ("module",)

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        return at_least_float32(self.module(x))


class Objective:
    """The players' losses as functions of (x_real, z). Each method adds gradients, times `share`.

    The batch's share is 1 unless gradients are accumulated over micro-batches.
    """

    def __init__(
        self,
        generator: Player,
        discriminator: Player,
        loss: Loss,
        device: torch.device,
        precision: str,
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.score: Scorer = ScorerOf(discriminator.module)
        self._device = device
        self._autocast_dtype = _AUTOCAST.get(precision)
        self._players_penalty = getattr(loss, "players_penalty", None)

    def d(self, x_real: Tensor, z: Tensor, share: float) -> Terms:
        """∇_D of D's loss. G is not differentiated."""
        if self._players_penalty is not None:
            return self._penalised(x_real, z, share, d=True)
        with self._autocast(), torch.no_grad():
            x_fake = self.fake(z)
        return self._descend_d(x_real, x_fake, share)

    def g(
        self,
        x_real: Tensor,
        z: Tensor,
        share: float,
        against: Callable[[Tensor, Tensor], Scorer] | None = None,
    ) -> Terms:
        """∇_G of G's loss against D as it is, or against the scorer `against(x_real, x_fake)`."""
        if self._players_penalty is not None and against is None:
            return self._penalised(x_real, z, share, g=True)
        with self._autocast():
            x_fake = self.fake(z)
        return self._descend_g(x_real, x_fake, share, against)

    def both(self, x_real: Tensor, z: Tensor, share: float) -> Terms:
        """Both gradients at the same point, on the same fakes."""
        if self._players_penalty is not None:
            return self._penalised(x_real, z, share, d=True, g=True)
        with self._autocast():
            x_fake = self.fake(z)
        d_terms = self._descend_d(x_real, x_fake.detach(), share)
        return {**d_terms, **self._descend_g(x_real, x_fake, share)}

    def joint(self, x_real: Tensor, z: Tensor, share: float) -> Terms:
        """The gradient of the sum of both losses, for both players."""
        with self._autocast():
            d_terms, g_terms = self._both_losses(x_real, self.fake(z))
            total = total_of(d_terms, "discriminator") + total_of(g_terms, "generator")
        self.generator.backward(_scaled(total, share))
        return {**_named("d", d_terms), **_named("g", g_terms)}

    def fake(self, z: Tensor) -> Tensor:
        return at_least_float32(self.generator.module(z))

    def _descend_d(self, x_real: Tensor, x_fake: Tensor, share: float) -> Terms:
        with self._autocast():
            terms = self.loss.d_loss(self.score, x_real, x_fake)
            total = total_of(terms, "discriminator")
        self.discriminator.backward(_scaled(total, share))
        return _named("d", terms)

    def _descend_g(
        self,
        x_real: Tensor,
        x_fake: Tensor,
        share: float,
        against: Callable[[Tensor, Tensor], Scorer] | None = None,
    ) -> Terms:
        with self._autocast():
            score = self.score if against is None else against(x_real, x_fake)
        with self.discriminator.frozen():
            with self._autocast():
                terms = self.loss.g_loss(score, x_real, x_fake)
                total = total_of(terms, "generator")
            self.generator.backward(_scaled(total, share))
        return _named("g", terms)

    def _penalised(
        self, x_real: Tensor, z: Tensor, share: float, *, d: bool = False, g: bool = False
    ) -> Terms:
        """As `d`, `g` or `both`, where each player also descends a penalty of the two together."""
        if share != 1:
            raise IncompatibleParts(
                "a penalty of both players' gradients needs them whole: set micro_batch_size to "
                "the batch size, or drop that penalty from the loss"
            )
        assert self._players_penalty is not None
        with self._autocast():
            d_terms, g_terms = self._both_losses(x_real, self.fake(z))
            d_total, g_total = total_of(d_terms, "discriminator"), total_of(g_terms, "generator")
            penalty = self._players_penalty(
                d_total, g_total, self.discriminator.parameters, self.generator.parameters
            )
        moves = []
        if d:
            moves.append((self.discriminator, d_total + penalty))
        if g:
            moves.append((self.generator, g_total + penalty))
        for player, total in moves:
            player.backward(total, only_own=True)
        return {**_named("d", d_terms), **_named("g", g_terms), "players_penalty": penalty}

    def _both_losses(self, x_real: Tensor, x_fake: Tensor) -> tuple[Terms, Terms]:
        return (
            self.loss.d_loss(self.score, x_real, x_fake),
            self.loss.g_loss(self.score, x_real, x_fake),
        )

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self._device.type, self._autocast_dtype)


def _scaled(total: Tensor, share: float) -> Tensor:
    return total if share == 1 else total * share


def _named(player: str, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{player}_{name}": term for name, term in terms.items()}


def total_of(terms: Terms, player: str) -> Tensor:
    if not terms:
        raise IncompatibleParts(
            f"the loss gives the {player} nothing to descend: "
            "add an adversarial loss to it, such as nonsat+l1"
        )
    first, *rest = terms.values()
    for term in rest:
        first = first + term
    return first
