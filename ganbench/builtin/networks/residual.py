"""The residual block that WGAN-GP's and SNGAN's networks share, and its initialisation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from ganbench.builtin.networks.init import initialise

__all__ = ["GlobalPool", "ResidualBlock", "initialise_residual", "residual_generator"]

Norm = Callable[[int], nn.Module]


class ResidualBlock(nn.Module):
    """norm, ReLU, 3×3, norm, ReLU, 3×3, added to a 1×1 shortcut: (N, C, H, W) -> (N, C', H', W').

    `up` doubles the side before the first 3×3 convolution, `down` halves it after the second. The
    shortcut is the identity where nothing changes, and else a 1×1 convolution at the smaller of
    the two sides, where it gives the same result. `first` leaves out what comes before the first
    convolution, as for a block that reads the image itself.
    """

    def __init__(
        self,
        before: int,
        after: int,
        resample: Literal["up", "down"] | None = None,
        *,
        norm: Norm | None = None,
        first: bool = False,
        first_bias: bool = True,
    ) -> None:
        super().__init__()
        hidden = after if first or resample == "up" else before
        up = [nn.Upsample(scale_factor=2)] if resample == "up" else []
        down = [nn.AvgPool2d(2)] if resample == "down" else []
        self.residual = nn.Sequential(
            *([] if first else [*_normalised(norm, before), nn.ReLU()]),
            *up,
            nn.Conv2d(before, hidden, 3, padding=1, bias=first_bias),
            *_normalised(norm, hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, after, 3, padding=1),
            *down,
        )
        changes = before != after or resample is not None
        self.shortcut = (
            nn.Sequential(*down, nn.Conv2d(before, after, 1), *up) if changes else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.residual(x) + self.shortcut(x)
        return out


class GlobalPool(nn.Module):
    """Sum or mean over the picture: (N, C, H, W) -> (N, C)."""

    def __init__(self, how: Literal["sum", "mean"]) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3)) if self.how == "sum" else x.mean((2, 3))


def residual_generator(
    z_dim: int, widths: Sequence[int], base: int, channels: int, *, first_bias: bool = True
) -> nn.Sequential:
    """Linear to base × base, one up block per step in `widths`, batch norm, ReLU, 3×3, tanh."""
    blocks = [
        ResidualBlock(before, after, "up", norm=nn.BatchNorm2d, first_bias=first_bias)
        for before, after in itertools.pairwise(widths)
    ]
    return nn.Sequential(
        nn.Linear(z_dim, widths[0] * base**2),
        nn.Unflatten(1, (widths[0], base, base)),
        *blocks,
        nn.BatchNorm2d(widths[-1]),
        nn.ReLU(),
        nn.Conv2d(widths[-1], channels, 3, padding=1),
        nn.Tanh(),
    )


def initialise_residual(net: nn.Module) -> None:
    """Glorot uniform, √2 times wider for the blocks' 3×3 convolutions; biases 0.

    As published with WGAN-GP and with SNGAN.
    """
    initialise(net, "glorot")
    for block in net.modules():
        if isinstance(block, ResidualBlock):
            for layer in block.residual:
                if isinstance(layer, nn.Conv2d):
                    nn.init.xavier_uniform_(layer.weight, gain=2**0.5)


def _normalised(norm: Norm | None, channels: int) -> list[nn.Module]:
    return [norm(channels)] if norm else []
