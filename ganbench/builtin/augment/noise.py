"""Instance noise: D sees reals and fakes through the same noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ganbench.builtin.augment.wrapper import Wrapper
from ganbench.protocols import Loss

__all__ = ["instance_noise"]


def instance_noise(
    sigma: Annotated[float, Field(ge=0)] = 0.1, anneal: Annotated[int, Field(ge=0)] = 0
) -> Loss:
    """Instance noise: every loss of the sum sees D(x + σε), ε ~ N(0, 1) for each feature.

    σ is in the units of the data (images are in [−1, 1]) and stays, or with anneal=k falls
    linearly from sigma to 0 over k updates of D.

    Sønderby et al. 2017 (arXiv:1610.04490); Arjovsky & Bottou 2017
    (arXiv:1701.04862), section 3.
    Implementations differ: some give the reals alone noise, which D learns to see.
    """
    return _InstanceNoise(sigma, anneal)


class _InstanceNoise(Wrapper):
    def __init__(self, sigma: float, anneal: int) -> None:
        self._sigma = sigma
        self._anneal = anneal
        self._updates = 0

    def transform(self, x: Tensor) -> Tensor:
        left = max(0.0, 1 - self._updates / self._anneal) if self._anneal else 1.0
        return x + self._sigma * left * torch.randn_like(x)

    def after_d_update(self, module: nn.Module) -> None:
        self._updates += 1 if self._anneal else 0

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._updates = int(state["updates"])
