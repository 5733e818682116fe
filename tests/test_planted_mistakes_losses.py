"""Known mistakes, planted on purpose: each check passes on the right loss and fails on the wrong.

Every mistake below is found in published code.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from oracles import (
    Factory,
    check_closed_form,
    check_d_gradient,
    check_finite,
    check_g_gradient,
    check_lazy,
    check_linear,
    check_one_share_per_sample,
    named,
    sigmoid,
    softplus,
)
from torch import Tensor
from torch.nn.functional import softplus as torch_softplus

from ganbench.builtin.losses.logit_loss import LogitLoss


class Planted:
    """A loss made of two functions of (discriminator, x_real, x_fake)."""

    def __init__(self, d, g=None) -> None:
        self._d, self._g = d, g

    def d_loss(self, discriminator, x_real, x_fake):
        return {"planted": self._d(discriminator, x_real, x_fake)}

    def g_loss(self, discriminator, x_real, x_fake):
        return {"planted": self._g(discriminator, x_real, x_fake)} if self._g else {}

    def after_d_update(self, module):
        pass


def of_logits(real, fake, generator) -> Factory:
    return lambda: LogitLoss("planted", real, fake, generator)


def gradient_at(discriminator, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)[0]


def between(x_real: Tensor, x_fake: Tensor, share: Tensor) -> Tensor:
    return share * x_real + (1 - share) * x_fake


def lipschitz(norm_of: Callable[[Tensor], Tensor], share_of=None) -> Factory:
    def value(discriminator, x_real, x_fake):
        shape = (len(x_real), *[1] * (x_real.ndim - 1))
        share = share_of(x_real) if share_of else torch.rand(shape, dtype=x_real.dtype)
        gradient = gradient_at(discriminator, between(x_real, x_fake, share))
        return 10 * (norm_of(gradient) - 1).square().mean()

    return lambda: Planted(value)


def per_sample(gradient: Tensor) -> Tensor:
    return gradient.flatten(1).norm(dim=1)


def zero_centred(factor: float) -> Factory:
    def value(discriminator, x_real, x_fake):
        return factor * gradient_at(discriminator, x_real).flatten(1).square().sum(1).mean()

    return lambda: Planted(value)


class LazyWithoutRescaling(Planted):
    def __init__(self, every: int) -> None:
        super().__init__(zero_centred(5.0)()._d)
        self._every, self._updates = every, 0

    def d_loss(self, discriminator, x_real, x_fake):
        due = self._updates % self._every == 0
        return super().d_loss(discriminator, x_real, x_fake) if due else {}

    def after_d_update(self, module):
        self._updates += 1


def value_function(a: float, b: float) -> float:
    return softplus(-a) + softplus(b)


def with_epsilon(a: Tensor) -> Tensor:
    return -(a.sigmoid() + 1e-8).log()


CHECKS: dict[str, tuple[Callable[[Factory], None], Factory, Factory]] = {
    "the non-saturating loss for minimax": (
        lambda f: check_closed_form(f, value_function, lambda a, b: -softplus(b)),
        named("minimax"),
        named("nonsat"),
    ),
    "the non-saturating gradient for that of minimax": (
        lambda f: check_g_gradient(f, lambda b: -sigmoid(b)),
        named("minimax"),
        named("nonsat"),
    ),
    "log(σ + ε) in G's loss": (
        lambda f: check_g_gradient(f, lambda b: -sigmoid(-b)),
        named("nonsat"),
        of_logits(lambda a: torch_softplus(-a), torch_softplus, with_epsilon),
    ),
    "log(σ + ε) in D's loss": (
        lambda f: check_d_gradient(f, lambda a: -sigmoid(-a), sigmoid),
        named("nonsat"),
        of_logits(with_epsilon, lambda b: with_epsilon(-b), lambda b: torch_softplus(-b)),
    ),
    "log σ without ε": (
        lambda f: check_finite(f, 1e4, torch.float32),
        named("nonsat"),
        of_logits(lambda a: -a.sigmoid().log(), torch_softplus, lambda b: -b.sigmoid().log()),
    ),
    "a minus sign before G's loss": (
        lambda f: check_closed_form(f, value_function, lambda a, b: softplus(-b)),
        named("nonsat"),
        named("nonsat-negated"),
    ),
    "least squares without the ½": (
        lambda f: check_closed_form(
            f, lambda a, b: (a - 1) ** 2 / 2 + b**2 / 2, lambda a, b: (b - 1) ** 2 / 2
        ),
        named("lsgan"),
        of_logits(lambda a: (a - 1) ** 2, lambda b: b**2, lambda b: (b - 1) ** 2),
    ),
    "a hinge in G's loss": (
        lambda f: check_closed_form(f, lambda a, b: max(0, 1 - a) + max(0, 1 + b), lambda a, b: -b),
        named("hinge"),
        of_logits(lambda a: (1 - a).relu(), lambda b: (1 + b).relu(), lambda b: (1 - b).relu()),
    ),
    "a relativistic loss whose real logits are overwritten": (
        lambda f: check_closed_form(f, lambda a, b: softplus(b - a), lambda a, b: softplus(a - b)),
        named("rpgan"),
        lambda: Planted(
            lambda d, x_real, x_fake: torch_softplus(d(x_fake) - d(x_fake)).mean(),
            lambda d, x_real, x_fake: torch_softplus(d(x_fake) - d(x_fake)).mean(),
        ),
    ),
    "one gradient norm over the whole batch": (
        lambda f: check_linear(f, lambda n: 10 * (n - 1) ** 2),
        named("wgan-gp"),
        lipschitz(lambda gradient: gradient.norm()),
    ),
    "one gradient norm for each channel": (
        lambda f: check_linear(f, lambda n: 10 * (n - 1) ** 2),
        named("wgan-gp"),
        lipschitz(lambda gradient: gradient.norm(dim=1)),
    ),
    "one ε for the whole batch": (
        check_one_share_per_sample,
        named("wgan-gp"),
        lipschitz(per_sample, lambda x: torch.rand(())),
    ),
    "one ε for each feature": (
        check_one_share_per_sample,
        named("wgan-gp"),
        lipschitz(per_sample, torch.rand_like),
    ),
    "one ε from a normal distribution": (
        check_one_share_per_sample,
        named("wgan-gp"),
        lipschitz(per_sample, lambda x: torch.randn(len(x), 1, 1, 1)),
    ),
    "a missing ½ in R1": (
        lambda f: check_linear(f, lambda n: 10 / 2 * n**2),
        named("r1"),
        zero_centred(10.0),
    ),
    "lazy R1 without rescaling": (
        lambda f: check_lazy(named("r1"), f, 4),
        named("r1:every=4"),
        lambda: LazyWithoutRescaling(4),
    ),
}


@pytest.mark.parametrize("mistake", CHECKS)
def test_the_right_loss_passes_and_the_planted_mistake_is_found(mistake):
    check, right, wrong = CHECKS[mistake]
    check(right)
    with pytest.raises(AssertionError):
        check(wrong)


def test_the_planted_forms_without_their_mistake_pass():
    # So that what fails above is the mistake, and not the form it is planted in.
    check_linear(zero_centred(5.0), lambda n: 10 / 2 * n**2)
    check_linear(lipschitz(per_sample), lambda n: 10 * (n - 1) ** 2)
    check_one_share_per_sample(lipschitz(per_sample))
    plain = of_logits(lambda a: torch_softplus(-a), torch_softplus, lambda b: torch_softplus(-b))
    check_closed_form(plain, value_function, lambda a, b: softplus(-b))
