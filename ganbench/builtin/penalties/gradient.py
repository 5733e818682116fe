"""Penalties of ∇ₓD: one norm per sample, over all of its features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu

from ganbench.builtin.penalties.penalty import Every, Penalty, Weight
from ganbench.builtin.penalties.second_order import (
    gradients,
    prove_differentiable,
    second_order,
)
from ganbench.errors import IncompatibleParts
from ganbench.protocols import Loss, Scorer

__all__ = ["dragan", "r1", "r2", "wgan_gp", "wgan_lp"]


def r1(gamma: Weight = 10.0, every: Every = 1) -> Loss:
    """Zero-centred gradient penalty at the data: (gamma/2) E‖∇D(x_real)‖².

    every=k applies it at one of k updates of D, times k (StyleGAN2 takes 16).

    Mescheder et al. 2018 (arXiv:1801.04406), eq. 9.
    Implementations differ: some drop the ½, some average over features (a gamma that depends on
    the size), and some apply it lazily without the factor k.
    """
    return _at(lambda x_real, x_fake: x_real, "r1", every, lambda g: gamma / 2 * _square(g))


def r2(gamma: Weight = 10.0, every: Every = 1) -> Loss:
    """Zero-centred gradient penalty at the fakes: (gamma/2) E‖∇D(x_fake)‖².

    every=k applies it at one of k updates of D, times k.

    Mescheder et al. 2018 (arXiv:1801.04406), eq. 10.
    Implementations differ: as for r1.
    """
    return _at(lambda x_real, x_fake: x_fake, "r2", every, lambda g: gamma / 2 * _square(g))


def wgan_gp(weight: Weight = 10.0, target: Weight = 1.0, every: Every = 1) -> Loss:
    """Two-sided gradient penalty between data and fakes: weight · E(‖∇D(x̂)‖ − target)².

    x̂ = εx_real + (1 − ε)x_fake with one ε ~ U[0, 1] for each sample.
    every=k applies it at one of k updates of D, times k.

    Gulrajani et al. 2017 (arXiv:1704.00028), eq. 3.
    Implementations differ: one norm over the whole batch, one over each channel, or one ε for the
    whole batch are all other penalties.
    """
    return _at(_between, "wgan-gp", every, lambda g: weight * (_norm(g) - target).square())


def wgan_lp(weight: Weight = 10.0, target: Weight = 1.0, every: Every = 1) -> Loss:
    """One-sided gradient penalty between data and fakes: weight · E max(0, ‖∇D(x̂)‖ − target)².

    x̂ as in wgan-gp: slopes below the target are free. The default weight is wgan-gp's.
    every=k applies it at one of k updates of D, times k.

    Petzka et al. 2018 (arXiv:1709.08894), there WGAN-LP.
    Implementations differ: as for wgan-gp; some square before the maximum.
    """
    return _at(_between, "wgan-lp", every, lambda g: weight * relu(_norm(g) - target).square())


def dragan(
    weight: Weight = 10.0,
    target: Weight = 1.0,
    scale: Weight = 0.5,
    noise: Literal["normal", "uniform"] = "normal",
    every: Every = 1,
) -> Loss:
    """Gradient penalty around the data: weight · E(‖∇D(x_real + δ)‖ − target)².

    noise=normal: δ ~ N(0, s²) with s = scale · std(x_real) over the batch, as in the paper, whose
    c is s². noise=uniform: δ = α s u with u ~ U[0, 1) for each feature and α ~ U[0, 1) for each
    sample, as in the authors' code, whose scale is the default.
    every=k applies it at one of k updates of D, times k.

    Kodali et al. 2017 (arXiv:1705.07215), section 2.
    Implementations differ: as above, and as for wgan-gp.
    """

    def around(x_real: Tensor, x_fake: Tensor) -> Tensor:
        s = scale * x_real.std(correction=0)
        if noise == "normal":
            return x_real + s * torch.randn_like(x_real)
        return x_real + _one_per_sample(x_real) * s * torch.rand_like(x_real)

    return _at(around, "dragan", every, lambda g: weight * (_norm(g) - target).square())


dragan.across_batch = True  # type: ignore[attr-defined]


def _at(
    where: Callable[[Tensor, Tensor], Tensor],
    name: str,
    every: int,
    of_gradient: Callable[[Tensor], Tensor],
) -> Loss:
    """E over samples of a function of D's gradient (N, features) -> (N,) at `where`."""
    proven = False

    def value(discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Tensor:
        nonlocal proven
        x = where(x_real, x_fake)
        x = x if x.requires_grad else x.detach().requires_grad_()
        penalty = of_gradient(_gradient(discriminator, x, name, proven)).mean()
        if not proven:
            prove_differentiable(penalty, name, _name_of(discriminator))
            proven = True
        return penalty

    return Penalty(name, value, every)


def _gradient(discriminator: Scorer, x: Tensor, name: str, proven: bool) -> Tensor:
    """∇D(x) of each sample, itself differentiable: (N, …) -> (N, features)."""
    logits = discriminator(x)
    with second_order(name, _name_of(discriminator)):
        (gradient,) = gradients(logits, [x], provable=not proven)
    if gradient is None:
        raise IncompatibleParts(
            f"penalty '{name}' needs the discriminator's gradient at its input, and "
            f"{_name_of(discriminator)} does not depend on it"
        )
    return gradient.flatten(1)


def _name_of(discriminator: Scorer) -> str:
    return f"discriminator {type(getattr(discriminator, 'module', discriminator)).__name__}"


def _between(x_real: Tensor, x_fake: Tensor) -> Tensor:
    share = _one_per_sample(x_real)
    return share * x_real + (1 - share) * x_fake


def _one_per_sample(x: Tensor) -> Tensor:
    """Uniform in [0, 1): (N, 1, …)."""
    return torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device)


def _square(gradient: Tensor) -> Tensor:
    return gradient.square().sum(1)


def _norm(gradient: Tensor) -> Tensor:
    """Euclidean, with derivative 0 where it is 0."""
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=1)
    return norm
