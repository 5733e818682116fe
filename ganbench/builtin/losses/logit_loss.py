"""The shape most adversarial losses share: one function of each logit, averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ganbench.protocols import Scorer, Terms

__all__ = ["LogitLoss"]


@dataclass(frozen=True, slots=True)
class LogitLoss:
    """D descends E[real(a)] + E[fake(b)], G descends E[generator(b)].

    a = D(x_real) and b = D(x_fake) are logits (N,). D scores the two batches one after the
    other, so that batch statistics never mix them.
    """

    name: str
    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        real = self.real(discriminator(x_real)).mean()
        return {self.name: real + self.fake(discriminator(x_fake)).mean()}

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {self.name: self.generator(discriminator(x_fake)).mean()}
