"""Relativistic losses: D says how much more real the reals look than the fakes.

a = D(x_real) and b = D(x_fake). G's loss is D's with the two exchanged, so it needs both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from ganbench.protocols import Loss, Scorer, Terms

__all__ = ["ragan", "ralsgan", "rpgan"]


@dataclass(frozen=True, slots=True)
class _Relativistic:
    """D descends pair(a, b), G descends pair(b, a): what D wants above comes first."""

    name: str
    pair: Callable[[Tensor, Tensor], Tensor]

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {self.name: self.pair(discriminator(x_real), discriminator(x_fake))}

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        real, fake = discriminator(x_real), discriminator(x_fake)
        return {self.name: self.pair(fake, real)}


def rpgan() -> Loss:
    """Relativistic pairing: the i-th real against the i-th fake.

    D: softplus(−(a − b)). G: softplus(−(b − a)).

    Jolicoeur-Martineau 2018 (arXiv:1807.00734), there RSGAN. With r1 and r2 it is R3GAN's loss:
    Huang et al. 2024 (arXiv:2501.05441).
    Implementations differ: some overwrite the real logits with the fake ones before the
    difference, which leaves log 2 and no gradient.
    """
    return _Relativistic("rpgan", lambda above, below: softplus(below - above).mean())


def ragan() -> Loss:
    """Relativistic average: each logit against the mean logit of the other kind.

    D: E[softplus(−(a − E b))] + E[softplus(b − E a)]. G: the same with a and b exchanged.
    The means are over the batch at hand (each micro-batch alone) and are differentiated.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734), there RaSGAN.
    Implementations differ: many halve both losses; some do not differentiate the means.
    """

    def pair(above: Tensor, below: Tensor) -> Tensor:
        high, low = above - below.mean(), below - above.mean()
        return softplus(-high).mean() + softplus(low).mean()

    return _Relativistic("ragan", pair)


def ralsgan() -> Loss:
    """Relativistic average least squares: differences are drawn to 1 and −1.

    D: E[(a − E b − 1)²] + E[(b − E a + 1)²]. G: the same with a and b exchanged.
    The means are over the batch at hand (each micro-batch alone) and are differentiated.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734), there RaLSGAN.
    Implementations differ: many halve both losses, as lsgan has ½ and this has none.
    """

    def pair(above: Tensor, below: Tensor) -> Tensor:
        high, low = above - below.mean(), below - above.mean()
        return (high - 1).square().mean() + (low + 1).square().mean()

    return _Relativistic("ralsgan", pair)


ragan.across_batch = True  # type: ignore[attr-defined]
ralsgan.across_batch = True  # type: ignore[attr-defined]
