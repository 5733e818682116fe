"""Energy losses: D is an autoencoder, and the energy of x is how badly it is reconstructed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import relu

from ganbench.errors import IncompatibleParts
from ganbench.protocols import Loss, Scorer, Terms

__all__ = ["began", "ebgan"]

Positive = Annotated[float, Field(gt=0)]


def ebgan(margin: Positive = 10.0) -> Loss:
    """Energy-based GAN: D lowers the energy of reals and lifts that of fakes up to a margin.

    With the energy E(x) = ‖Dec(Enc(x)) − x‖ of each sample, over all of its features:
    D: E(x_real) + max(0, margin − E(x_fake)). G: E(x_fake).
    The discriminator must be an autoencoder (`--discriminator autoencoder`). The default margin
    is the paper's for MNIST.

    Zhao et al. 2017 (arXiv:1609.03126), eqs. 1-2 and section 2.3.
    Implementations differ: many take the mean squared error for the norm, with margins near 1.
    """
    return _Ebgan(margin)


def began(
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.5,
    lambda_k: Positive = 1e-3,
    eta: Literal[1, 2] = 1,
) -> Loss:
    """Boundary equilibrium GAN: D balances the energies of reals and fakes at a ratio gamma.

    With the energy L(x) = mean |x − D(x)|^eta of an autoencoder D:
    D: L(x_real) − k L(x_fake). G: L(x_fake).
    After each update of D, k ← clip(k + lambda_k (gamma L(x_real) − L(x_fake)), 0, 1), from k = 0.
    The discriminator must be an autoencoder (`--discriminator autoencoder`).

    Berthelot et al. 2017 (arXiv:1703.10717), section 3.4.
    Implementations differ: the fakes whose energy moves k are D's here, before its update, and
    G's in some; some let k leave [0, 1].
    """
    return _Began(gamma, lambda_k, eta)


class _Ebgan:
    def __init__(self, margin: float) -> None:
        self._margin = margin

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        energy = _energy_of(discriminator, "ebgan", _norm)
        fake = relu(self._margin - energy(x_fake)).mean()
        return {"ebgan": energy(x_real).mean() + fake}

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {"ebgan": _energy_of(discriminator, "ebgan", _norm)(x_fake).mean()}


class _Began:
    """`k` stays on the device; the balance is summed over the micro-batches of one update."""

    def __init__(self, gamma: float, lambda_k: float, eta: int) -> None:
        self._gamma = gamma
        self._lambda_k = lambda_k
        self._eta = eta
        self._k = torch.zeros(())
        self._balance: Tensor | None = None
        self._samples = 0

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        energy = _energy_of(discriminator, "began", self._distance)
        real, fake = energy(x_real).mean(), energy(x_fake).mean()
        self._k = self._k.to(real)
        balance = (self._gamma * real - fake).detach() * len(x_real)
        self._balance = balance if self._balance is None else self._balance + balance
        self._samples += len(x_real)
        return {"began": real - self._k * fake}

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {"began": _energy_of(discriminator, "began", self._distance)(x_fake).mean()}

    def after_d_update(self, module: nn.Module) -> None:
        if self._balance is not None:
            mean = self._balance / self._samples
            self._k = (self._k + self._lambda_k * mean).clamp(0, 1)
        self._balance, self._samples = None, 0

    def state_dict(self) -> dict[str, Any]:
        return {"k": self._k}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._k = state["k"]

    def _distance(self, difference: Tensor) -> Tensor:
        return difference.abs().pow(self._eta).flatten(1).mean(1)


def _norm(difference: Tensor) -> Tensor:
    """‖·‖ of each sample, with gradient 0 where it is 0: (N, …) -> (N,)."""
    norm: Tensor = torch.linalg.vector_norm(difference.flatten(1), dim=1)
    return norm


def _energy_of(
    discriminator: Scorer, loss: str, distance: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """The energies (N,) of a batch, seen as D sees it: after the augmentation of a wrapper."""
    module = getattr(discriminator, "module", None)
    reconstruct = getattr(module, "reconstruct", None)
    if reconstruct is None:
        raise IncompatibleParts(
            f"loss '{loss}' needs a discriminator that reconstructs its input, and "
            f"{type(module).__name__} gives logits only: use --discriminator autoencoder, or a "
            "loss of logits such as nonsat"
        )
    transform = getattr(discriminator, "transform", None)

    def energy(x: Tensor) -> Tensor:
        seen: Tensor = x if transform is None else transform(x)
        restored: Tensor = reconstruct(seen)
        return distance(restored.to(seen.dtype) - seen)

    return energy
