"""Learning-rate schedules of pytorch-optimizer, relative to the optimizer's own rate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pytorch_optimizer import get_wsd_schedule
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

__all__ = ["rex", "warmup_stable_decay"]

Share = Annotated[float, Field(ge=0, le=1)]


def rex(optimizer: Optimizer, steps: int) -> LRScheduler:
    """lr·(1 − p)/(1 − p/2), p = t/steps: decay that holds on longer than a straight line.

    Chen et al. 2021 (arXiv:2107.04197), eq. 2. pytorch-optimizer's REXScheduler takes an absolute
    rate and starts at 0; this is its formula, relative to each group's rate.
    """
    return LambdaLR(optimizer, lambda t: (1 - t / steps) / (1 - t / steps / 2) if t < steps else 0)


def warmup_stable_decay(
    optimizer: Optimizer,
    steps: int,
    warmup: Share = 0.05,
    decay: Share = 0.2,
    cooldown: Literal["cosine", "1-sqrt", "linear", "1-square"] = "1-sqrt",
) -> LRScheduler:
    """A rise over the first `warmup` of the steps, a plateau, a fall over the last `decay`.

    pytorch-optimizer's get_wsd_schedule. Hägele et al. 2024 (arXiv:2405.18392), section 3.
    """
    if warmup + decay > 1:
        raise ValueError(f"warmup + decay is {warmup + decay:g}, but at most the whole run, 1")
    rising, falling = round(warmup * steps), round(decay * steps)
    return get_wsd_schedule(
        optimizer, rising, steps - rising - falling, falling, cooldown_type=cooldown
    )
