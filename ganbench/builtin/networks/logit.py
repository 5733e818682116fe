"""A discriminator's last layer, whose logits are float32 at every precision.

In bfloat16 a logit would have 8 significant bits. StyleGAN2-ADA keeps the end of D in float32 for
the same reason (Karras et al. 2020, arXiv 2006.06676).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["ConvLogit", "LinearLogit", "is_channels_last"]


class LinearLogit(nn.Linear):
    """(N, features) -> (N, 1): `nn.Linear`, in float32 also under autocast."""

    def __init__(self, features: int, *, bias: bool = True) -> None:
        super().__init__(features, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return _outside_autocast(super().forward, x)


class ConvLogit(nn.Conv2d):
    """(N, channels, side, side) -> (N, 1, 1, 1): `nn.Conv2d` over the whole map, made as the matrix
    product that it is; in float32 also under autocast."""

    def __init__(self, channels: int, side: int, *, bias: bool = True) -> None:
        super().__init__(channels, 1, side, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return _outside_autocast(self._product, x)

    def _product(self, x: Tensor) -> Tensor:
        weight = self.weight
        if is_channels_last(weight):
            x, weight = x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1)
        logits = x.reshape(len(x), -1) @ weight.reshape(-1)
        return (logits if self.bias is None else logits + self.bias).view(-1, 1, 1, 1)


def is_channels_last(x: Tensor) -> bool:
    """Whether maps (N, C, H, W) lie so that a pixel's channels are neighbours."""
    return x.stride(1) == 1


def _outside_autocast(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):
        return forward(x)
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())
