"""What the players descend: from a batch and latents to gradients in `.grad`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ganbench.compiling import compiled
from ganbench.errors import IncompatibleParts
from ganbench.player import Player
from ganbench.protocols import Loss, Scorer, Terms
from ganbench.scorers import JointScorer, ScorerOf, at_least_float32

__all__ = ["Objective", "total_of"]

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Objective:
    """The players' losses as functions of (x_real, z). Each method adds gradients, times `share`.

    The batch's share is 1 unless gradients are accumulated over micro-batches. With `share_latents`
    a G that has not moved since D's last update in this step is not run again: its own update
    takes D's fakes. With `joint_batch` D scores reals and fakes in one batch. `used` names the
    two options that took effect so far.
    """

    def __init__(
        self,
        generator: Player,
        discriminator: Player,
        loss: Loss,
        device: torch.device,
        precision: str,
        *,
        share_latents: bool = False,
        joint_batch: bool = False,
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.score: Scorer = ScorerOf(discriminator.module)
        self._device = device
        self._autocast_dtype = _AUTOCAST.get(precision)
        self._players_penalty = getattr(loss, "players_penalty", None)
        self.used: set[str] = set()
        self._share_latents = share_latents
        self._joint_batch = joint_batch
        self._shared: tuple[int, Tensor] | None = None
        self.compile(False)

    def compile(self, on: bool) -> None:
        """Run G and both losses through torch.compile from now on, or as they are."""
        wrap = compiled if on else _as_it_is
        self._make = wrap(self._fake)
        self._d_total = wrap(self._d_terms)
        self._g_total = wrap(self._g_terms)

    def forget(self) -> None:
        """A step is over: nothing of it is shared with the next."""
        self._shared = None

    def d(self, x_real: Tensor, z: Tensor, share: float) -> Terms:
        """∇_D of D's loss. G is not differentiated."""
        if self._players_penalty is not None:
            return self._penalised(x_real, z, share, d=True)
        with torch.set_grad_enabled(self._share_latents):
            x_fake = self.fake(z)
        if self._share_latents:
            self._shared = (self.generator.moves, x_fake)
        return self._descend_d(x_real, x_fake.detach(), share)

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
        x_fake = self._take_shared(len(z))
        if x_fake is None:
            x_fake = self.fake(z)
        return self._descend_g(x_real, x_fake, share, against)

    def both(self, x_real: Tensor, z: Tensor, share: float) -> Terms:
        """Both gradients at the same point, on the same fakes."""
        if self._players_penalty is not None:
            return self._penalised(x_real, z, share, d=True, g=True)
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
        return self._make(z)  # type: ignore[no-any-return]

    def _fake(self, z: Tensor) -> Tensor:
        with self._autocast():
            return at_least_float32(self.generator.module(z))

    def _d_terms(self, score: Scorer, x_real: Tensor, x_fake: Tensor) -> tuple[Tensor, Terms]:
        with self._autocast():
            terms = self.loss.d_loss(score, x_real, x_fake)
            return total_of(terms, "discriminator"), terms

    def _g_terms(self, score: Scorer, x_real: Tensor, x_fake: Tensor) -> tuple[Tensor, Terms]:
        with self._autocast():
            terms = self.loss.g_loss(score, x_real, x_fake)
            return total_of(terms, "generator"), terms

    def _take_shared(self, n: int) -> Tensor | None:
        """The n fakes of D's last update, if G is where it was then. Their graph serves once."""
        shared, self._shared = self._shared, None
        if shared is None or shared[0] != self.generator.moves or len(shared[1]) != n:
            return None
        self.used.add("share_latents")
        return shared[1]

    def _descend_d(self, x_real: Tensor, x_fake: Tensor, share: float) -> Terms:
        score = self.score
        if self._joint_batch:
            score = JointScorer(self.discriminator.module, x_real, x_fake)
        total, terms = self._d_total(score, x_real, x_fake)
        if isinstance(score, JointScorer) and score.used:
            self.used.add("joint_batch")
        self.discriminator.backward(_scaled(total, share))
        return _named("d", terms)

    def _descend_g(
        self,
        x_real: Tensor,
        x_fake: Tensor,
        share: float,
        against: Callable[[Tensor, Tensor], Scorer] | None = None,
    ) -> Terms:
        evaluate = self._g_total
        score = self.score
        if against is not None:  # another D each time: nothing to compile once
            evaluate = self._g_terms
            with self._autocast():
                score = against(x_real, x_fake)
        with self.discriminator.frozen():
            total, terms = evaluate(score, x_real, x_fake)
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


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


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
