"""Reconstruction terms: they add to any adversarial loss and act on G only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from ganbench.protocols import Loss, Scorer, Terms

__all__ = ["l1", "l2"]

Weight = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class _Reconstruction:
    name: str
    distance: Callable[[Tensor, Tensor], Tensor]
    weight: float

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {}

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {self.name: self.weight * self.distance(x_fake, x_real)}


def l1(weight: Weight = 100.0) -> Loss:
    """weight · mean |x_fake − x_real|, for G; add it to an adversarial loss.

    The mean is over batch and features. The default weight is pix2pix's. It pairs the i-th fake
    with the i-th real image: on unpaired data it pulls G to the data's median.

    Isola et al. 2017 (arXiv:1611.07004), eqs. 3-4.
    Implementations differ: some sum over features, so that the weight depends on the size.
    """
    return _Reconstruction("l1", l1_loss, weight)


def l2(weight: Weight = 999.0) -> Loss:
    """weight · mean (x_fake − x_real)², for G; add it to an adversarial loss.

    The mean is over batch and features. The default weight is the ratio 0.999 / 0.001 of context
    encoders. It pairs the i-th fake with the i-th real image: on unpaired data it pulls G to the
    data's mean.

    Pathak et al. 2016 (arXiv:1604.07379), eqs. 1 and 3.
    Implementations differ: some take the norm rather than its square, or halve it.
    """
    return _Reconstruction("l2", mse_loss, weight)
