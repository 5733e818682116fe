"""Losses of one logit at a time: the value function and its classic alternatives.

With a = D(x_real), b = D(x_fake) and softplus(t) = log(1 + e^t) = −log σ(−t), the forms below
are exact and finite for every logit; none takes the log of a probability.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import relu, softplus

from ganbench.builtin.losses.logit_loss import LogitLoss
from ganbench.protocols import Loss

__all__ = ["hinge", "lsgan", "minimax", "nonsat", "nonsat_negated", "wgan"]

Smoothing = Annotated[float, Field(ge=0, lt=1)]


def minimax(smoothing: Smoothing = 0.0) -> Loss:
    """The value function itself: D ascends it, G descends E[log(1 − D(G(z)))].

    D: softplus(−a) + softplus(b). G: −softplus(b) = log(1 − σ(b)), whose gradient −σ(b) vanishes
    while D rejects the fakes.
    smoothing: s replaces D's real target 1 by 1 − s (one-sided label smoothing).

    Goodfellow et al. 2014 (arXiv:1406.2661), eq. 1; smoothing: Salimans et al. 2016
    (arXiv:1606.03498), section 3.4.
    Implementations differ: many call the non-saturating loss "minimax", and many take
    log(σ(b) + 1e-8), whose value and gradient are wrong for confident logits.
    """
    return LogitLoss("minimax", _real_label(smoothing), softplus, lambda b: -softplus(b))


def nonsat(smoothing: Smoothing = 0.0) -> Loss:
    """The non-saturating loss: D as in minimax, G ascends E[log D(G(z))].

    D: softplus(−a) + softplus(b). G: softplus(−b) = −log σ(b), with gradient σ(b) − 1.
    smoothing: s replaces D's real target 1 by 1 − s (one-sided label smoothing).

    Goodfellow et al. 2014 (arXiv:1406.2661), section 3, below eq. 1; smoothing: Salimans et al.
    2016 (arXiv:1606.03498), section 3.4.
    Implementations differ: some halve D's loss; some smooth the fake target too, which moves the
    optimal D towards the fakes' density.
    """
    return LogitLoss("nonsat", _real_label(smoothing), softplus, lambda b: softplus(-b))


def nonsat_negated() -> Loss:
    """nonsat with the sign of G's loss wrong: G is driven to be caught. Kept to show the mistake.

    D: softplus(−a) + softplus(b). G: −softplus(−b) = log σ(b), with gradient 1 − σ(b).

    What a listing that prints `-tf.reduce_mean(cross_entropy(fake, ones))` as G's loss descends;
    see preset article-as-printed.
    """
    return LogitLoss("nonsat-negated", _real_label(0.0), softplus, lambda b: -softplus(-b))


def lsgan(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> Loss:
    """Least squares: logits are drawn to a for fakes and b for reals; G draws its own to c.

    D: ½(D(x) − b)² + ½(D(G(z)) − a)². G: ½(D(G(z)) − c)².
    a=-1, b=1, c=0 makes the game minimise Pearson's χ² (b − c = 1 and b − a = 2).

    Mao et al. 2017 (arXiv:1611.04076), eq. 2; defaults: eq. 9.
    Implementations differ: many drop the ½, which doubles every gradient.
    """
    return LogitLoss(
        "lsgan",
        lambda real: 0.5 * (real - b).square(),
        lambda fake: 0.5 * (fake - a).square(),
        lambda fake: 0.5 * (fake - c).square(),
    )


def hinge() -> Loss:
    """The hinge loss: D is content with margins of 1, G raises its logits.

    D: max(0, 1 − a) + max(0, 1 + b). G: −b.

    Lim & Ye 2017 (arXiv:1705.02894); Miyato et al. 2018 (arXiv:1802.05957), eqs. 16-17.
    Implementations differ: some give G a hinge too, which stops it where D errs.
    """
    return LogitLoss("hinge", lambda a: relu(1 - a), lambda b: relu(1 + b), lambda b: -b)


def wgan() -> Loss:
    """Wasserstein: D ascends the difference of mean logits, G raises its own.

    D: −a + b. G: −b. D must be kept Lipschitz: add clip, wgan-gp or wgan-lp.

    Arjovsky et al. 2017 (arXiv:1701.07875), eq. 2 and algorithm 1.
    Implementations differ: in the sign, and in a drift term E[a²] (`drift`, Karras et al. 2018)
    that is not part of the loss.
    """
    return LogitLoss("wgan", lambda a: -a, lambda b: b, lambda b: -b)


def _real_label(smoothing: float) -> Callable[[Tensor], Tensor]:
    """Cross entropy against 1 − s: (1 − s) softplus(−a) + s softplus(a) = softplus(−a) + s a."""
    if smoothing == 0:
        return lambda a: softplus(-a)
    return lambda a: softplus(-a) + smoothing * a
