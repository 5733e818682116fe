"""f-GAN: the variational bound of an f-divergence between data and generator.

With v = D(x), T = g_f(v) the output activation and f* the convex conjugate of f, the bound is
F = E_real[T] − E_fake[f*(T)]. Each pair below is written in v with the exponentials cancelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.functional import softplus

from ganbench.builtin.losses.logit_loss import LogitLoss
from ganbench.protocols import Loss

__all__ = ["f_gan"]

Divergence = Literal["kl", "reverse-kl", "pearson", "hellinger", "jensen-shannon"]

_LOG2 = math.log(2)


@dataclass(frozen=True, slots=True)
class _Variational:
    """Output activation g_f(v), and the conjugate after it, f*(g_f(v))."""

    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]


_DIVERGENCES: dict[str, _Variational] = {
    "kl": _Variational(lambda v: v, lambda v: (v - 1).exp()),
    "reverse-kl": _Variational(lambda v: -(-v).exp(), lambda v: v - 1),
    "pearson": _Variational(lambda v: v, lambda v: 0.25 * v.square() + v),
    "hellinger": _Variational(lambda v: 1 - (-v).exp(), lambda v: v.exp() - 1),
    "jensen-shannon": _Variational(lambda v: _LOG2 - softplus(-v), lambda v: softplus(v) - _LOG2),
}


def f_gan(divergence: Divergence = "jensen-shannon", nonsat: bool = False) -> Loss:
    """f-GAN: D tightens the bound of an f-divergence, G descends it.

    D: −E[g_f(a)] + E[f*(g_f(b))]. G: −E[f*(g_f(b))], or −E[g_f(b)] with nonsat=true.

    | divergence | f(u) | g_f(v) | f*(g_f(v)) |
    |---|---|---|---|
    | kl | u log u | v | e^(v−1) |
    | reverse-kl | −log u | −e^(−v) | v − 1 |
    | pearson | (u − 1)² | v | v²/4 + v |
    | hellinger | (√u − 1)² | 1 − e^(−v) | e^v − 1 |
    | jensen-shannon | u log u − (u + 1) log((u + 1)/2) | log 2 − log(1 + e^(−v)) | \
log(1 + e^v) − log 2 |

    kl, reverse-kl and hellinger are exponential in the logit, as published: past |v| ≈ 88 they
    exceed float32, and the run ends as diverged.

    Nowozin et al. 2016 (arXiv:1606.00709), eqs. 6-7 and tables 2 and 6; nonsat: section 3.2.
    Implementations differ: many compose f* and g_f numerically, e.g. log(2 − e^T), which loses
    all digits where D is sure. The paper's jensen-shannon is twice the usual divergence.
    """
    pair = _DIVERGENCES[divergence]

    def generator(b: Tensor) -> Tensor:
        return -(pair.activation(b) if nonsat else pair.conjugate(b))

    return LogitLoss("f-gan", lambda a: -pair.activation(a), pair.conjugate, generator)
