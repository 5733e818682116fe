"""SNGAN's residual networks (Miyato et al. 2018, arXiv 1802.05957, tables 4 to 6).

At 32 pixels those for CIFAR-10, at 48 for STL-10, at 64 and 128 for ImageNet as in the authors'
code. Other sides take the nearest of these.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveInt
from torch import nn

from ganbench.builtin.networks.init import normalise_spectrum
from ganbench.builtin.networks.logit import LinearLogit
from ganbench.builtin.networks.residual import (
    GlobalPool,
    ResidualBlock,
    initialise_residual,
    residual_generator,
)
from ganbench.builtin.networks.shapes import image_shape, stages

__all__ = ["discriminator", "generator"]

_SMALL = 32  # up to this side every layer has the same width


def generator(z_dim: int, shape: Sequence[int], *, width: PositiveInt | None = None) -> nn.Module:
    """Residual blocks with batch norm (SNGAN, Miyato et al. 2018).

    (N, z_dim) -> (N, *shape) in [−1, 1]. `width` is the number of channels of the last block:
    256 up to 32 pixels, where all blocks have it, and 64 above, where earlier ones have up to 16
    times as many.
    """
    channels, side = image_shape("sngan-resnet", shape)
    base, k = stages(side)
    width = width or (256 if side <= _SMALL else 64)
    widths = [width] * (k + 1)
    if side > _SMALL:
        widths = [min(width << i, 16 * width) for i in reversed(range(k + 1))]
    net = residual_generator(z_dim, widths, base, channels)
    initialise_residual(net)
    return net


def discriminator(
    shape: Sequence[int], *, width: PositiveInt | None = None, spectral_norm: bool = True
) -> nn.Module:
    """Residual blocks with spectral norm and sum pooling (SNGAN, Miyato et al. 2018).

    (N, *shape) -> logits (N,). `width` is the number of channels of the first block: 128 up to 32
    pixels, where all four blocks have it, and 64 above, where later ones have up to 16 times as
    many.
    """
    channels, side = image_shape("sngan-resnet", shape)
    width = width or (128 if side <= _SMALL else 64)
    widths, halvings = _plan(side, width)
    blocks = [
        ResidualBlock(before, after, "down" if i < halvings else None, first=i == 0)
        for i, (before, after) in enumerate(zip([channels, *widths], widths, strict=False))
    ]
    net = nn.Sequential(
        *blocks, nn.ReLU(), GlobalPool("sum"), LinearLogit(widths[-1]), nn.Flatten(0)
    )
    initialise_residual(net)
    if spectral_norm:
        normalise_spectrum(net)
    return net


def _plan(side: int, width: int) -> tuple[list[int], int]:
    """The blocks' widths, and how many of them halve the side."""
    if side <= _SMALL:
        return [width] * 4, 2
    _, k = stages(side)
    widths = [min(width << i, 16 * width) for i in range(max(5, k + 1))]
    return widths, {3: 4, 4: 5}.get(k, k)
