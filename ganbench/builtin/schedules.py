"""Learning-rate schedules over a run's steps, all of them torch's own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, PolynomialLR

__all__ = ["constant", "cosine", "linear", "warmup"]

Share = Annotated[float, Field(ge=0, lt=1)]


def constant(optimizer: Optimizer, steps: int) -> None:
    """The learning rate stays as the optimizer has it."""


def linear(optimizer: Optimizer, steps: int) -> LRScheduler:
    """lr·(1 − t/steps): linear decay to zero. SNGAN (arXiv:1802.05957), section 4."""
    return PolynomialLR(optimizer, total_iters=steps, power=1.0)


def cosine(optimizer: Optimizer, steps: int, final: Share = 0.0) -> LRScheduler:
    """lr·(final + (1 − final)(1 + cos(πt/steps))/2). SGDR (arXiv:1608.03983), eq. 5, no restart."""
    lowest = final * max(group["lr"] for group in optimizer.param_groups)
    return CosineAnnealingLR(optimizer, T_max=steps, eta_min=lowest)


def warmup(optimizer: Optimizer, steps: int, share: Share = 0.1) -> LRScheduler:
    """Linear rise from a tenth of the learning rate over the first `share` of the steps.

    Gradual warmup: Goyal et al. 2017 (arXiv:1706.02677), section 2.2, there from 1/k of the rate
    of k workers.
    """
    return LinearLR(optimizer, start_factor=0.1, total_iters=max(1, round(share * steps)))
