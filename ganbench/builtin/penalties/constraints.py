"""Constraints of D that need no second derivative."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganbench.builtin.augment.images import random_flip, random_shift, require_images
from ganbench.builtin.penalties.penalty import Every, Penalty, Weight
from ganbench.errors import IncompatibleParts
from ganbench.protocols import Loss, Scorer, Terms

__all__ = ["clip", "consistency", "ortho"]


def clip(c: Annotated[float, Field(gt=0)] = 0.01) -> Loss:
    """Weight clipping: after each update of D, every parameter is clipped to [−c, c].

    w ← max(−c, min(w, c)), biases and normalisation weights included. Adds no term.

    Arjovsky et al. 2017 (arXiv:1701.07875), algorithm 1, line 7.
    Implementations differ: some clip before the update, some once for each update of G.
    """
    return _Clip(c)


def ortho(
    weight: Weight = 1e-4, form: Literal["off-diagonal", "full"] = "off-diagonal", every: Every = 1
) -> Loss:
    """Orthogonal regularisation of D's weights: weight · Σ ‖Gram of each layer's rows‖².

    With each weight as a matrix W (outputs × everything else) and its Gram matrix WWᵀ,
    form=off-diagonal: weight · Σ ‖WWᵀ ⊙ (1 − I)‖²_F, which leaves norms free (the default weight
    is its paper's); form=full: weight · Σ ‖WWᵀ − I‖²_F. Biases and other vectors are left out.
    every=k applies it at one of k updates of D, times k.

    Brock et al. 2019 (arXiv:1809.11096), eq. 3, there for G; full: Brock et al. 2017
    (arXiv:1609.07093), and Miyato et al. 2018 (arXiv:1802.05957), section 3, for D.
    Implementations differ: some take WᵀW, some the absolute value for the square, and some skip
    the first or the last layer.
    """

    def value(discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Tensor:
        matrices = [p.flatten(1) for p in _module_of(discriminator).parameters() if p.ndim > 1]
        if not matrices:
            raise IncompatibleParts(
                "penalty 'ortho' regularises matrices, and this discriminator has none: drop it"
            )
        return weight * torch.stack([_deviation(w, full=form == "full") for w in matrices]).sum()

    return Penalty("ortho", value, every)


def consistency(
    weight: Weight = 10.0,
    weight_fake: Weight = 0.0,
    shift: Annotated[int, Field(ge=0)] = 4,
    every: Every = 1,
) -> Loss:
    """Consistency regularisation: weight · E(D(x_real) − D(T(x_real)))², for images.

    T flips the image left to right half of the time and shifts it by up to `shift` pixels each
    way, reflecting at the border. Both logits are differentiated.
    weight_fake adds the same for the fakes (balanced consistency, bCR, takes 10).
    every=k applies it at one of k updates of D, times k.

    Zhang et al. 2020 (arXiv:1910.12027); weight_fake: Zhao et al. 2021 (arXiv:2002.04724),
    algorithm 1.
    Implementations differ: in T; some do not differentiate D(x_real).
    """

    def deviation(discriminator: Scorer, x: Tensor) -> Tensor:
        moved = random_shift(random_flip(x), shift, border="reflect")
        return (discriminator(x) - discriminator(moved)).square().mean()

    def value(discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Tensor:
        require_images("consistency", x_real)
        penalty = weight * deviation(discriminator, x_real)
        if weight_fake:
            penalty = penalty + weight_fake * deviation(discriminator, x_fake)
        return penalty

    return Penalty("consistency", value, every)


class _Clip:
    def __init__(self, c: float) -> None:
        self._c = c

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {}

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {}

    @torch.no_grad()
    def after_d_update(self, module: nn.Module) -> None:
        parameters: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        torch._foreach_clamp_max_(parameters, self._c)
        torch._foreach_clamp_min_(parameters, -self._c)


def _module_of(discriminator: Scorer) -> nn.Module:
    module = getattr(discriminator, "module", None)
    if not isinstance(module, nn.Module):
        raise IncompatibleParts(
            "penalty 'ortho' reads the discriminator's weights, and this scorer has no `module`: "
            "give it the network behind it under that name"
        )
    return module


def _deviation(w: Tensor, full: bool) -> Tensor:
    with torch.autocast(w.device.type, enabled=False):
        gram = w @ w.T
    identity = torch.eye(len(w), dtype=w.dtype, device=w.device)
    return (gram - identity if full else gram * (1 - identity)).square().sum()
