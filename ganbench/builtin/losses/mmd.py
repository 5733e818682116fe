"""MMD-GAN: the maximum mean discrepancy of D's outputs, as a game."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganbench.errors import IncompatibleParts
from ganbench.protocols import Loss, Scorer, Terms

__all__ = ["mmd", "mmd2"]

Scales = list[Annotated[float, Field(gt=0)]]
Kernel = Callable[[Tensor], Tensor]

_SCALES = {"rbf": [1.0, 2.0, 4.0, 8.0, 16.0], "rational-quadratic": [0.2, 0.5, 1.0, 2.0, 5.0]}


def mmd(
    kernel: Literal["rbf", "rational-quadratic"] = "rational-quadratic",
    scales: Scales | None = None,
    unbiased: bool = True,
) -> Loss:
    """MMD-GAN: D ascends the squared maximum mean discrepancy of its outputs, G descends it.

    MMD² = E k(a, a') + E k(b, b') − 2 E k(a, b), with a sum over `scales` of
    rbf: k = exp(−r²/(2σ²)), scales σ = 1, 2, 4, 8, 16 (Li et al.);
    rational-quadratic: k = (1 + r²/(2α))^(−α), scales α = 0.2, 0.5, 1, 2, 5 (Bińkowski et al.),
    where r is the distance of two outputs of D (scalars, or the rows of an (N, d) output).
    unbiased leaves out each sample's kernel with itself, and needs two samples a batch (each
    micro-batch is a batch of its own).

    Li et al. 2017 (arXiv:1705.08584); Bińkowski et al. 2018 (arXiv:1801.01401), section 2.
    Implementations differ: Li et al. descend √max(0, MMD²) of the biased estimate and add an
    autoencoder's loss; Bińkowski et al. give D 16 outputs and penalise the gradient of the
    witness function, not of D.
    """
    chosen = _SCALES[kernel] if scales is None else scales
    profile = _rbf if kernel == "rbf" else _rational_quadratic
    return _Mmd(lambda r2: profile(r2, chosen), unbiased)


mmd.across_batch = True  # type: ignore[attr-defined]


def mmd2(x: Tensor, y: Tensor, kernel: Kernel, unbiased: bool) -> Tensor:
    """MMD² of two samples (N, d) and (M, d) under a kernel of squared distances: a scalar."""
    xx, yy, xy = (kernel(_squared_distances(p, q)) for p, q in ((x, x), (y, y), (x, y)))
    return _within(xx, unbiased) + _within(yy, unbiased) - 2 * xy.mean()


@dataclass(frozen=True, slots=True)
class _Mmd:
    kernel: Kernel
    unbiased: bool

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {"mmd": -self._mmd2(discriminator(x_real), discriminator(x_fake))}

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {"mmd": self._mmd2(discriminator(x_real), discriminator(x_fake))}

    def _mmd2(self, real: Tensor, fake: Tensor) -> Tensor:
        if self.unbiased and min(len(real), len(fake)) < 2:
            raise IncompatibleParts(
                "loss 'mmd' with unbiased=true compares the samples of a batch with each other, "
                "and got a batch of 1: give a (micro-)batch size of 2 or more, or unbiased=false"
            )
        return mmd2(_rows(real), _rows(fake), self.kernel, self.unbiased)


def _rows(outputs: Tensor) -> Tensor:
    """(N,) or (N, d) -> (N, d), in float32 at least: the kernels need its digits."""
    rows = outputs.reshape(len(outputs), -1)
    return rows.to(torch.promote_types(rows.dtype, torch.float32))


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, None] - y[None]).square().sum(-1)


def _within(k: Tensor, unbiased: bool) -> Tensor:
    if not unbiased:
        return k.mean()
    n = len(k)
    return (k.sum() - k.diagonal().sum()) / (n * (n - 1))


def _rbf(r2: Tensor, sigmas: Sequence[float]) -> Tensor:
    return torch.stack([(r2 * (-0.5 / sigma**2)).exp() for sigma in sigmas]).sum(0)


def _rational_quadratic(r2: Tensor, alphas: Sequence[float]) -> Tensor:
    return torch.stack([(1 + r2 / (2 * alpha)) ** -alpha for alpha in alphas]).sum(0)
