"""WGAN-GP's residual networks (Gulrajani et al. 2017, arXiv 1704.00028).

Up to 32 pixels those for CIFAR-10, above those for 64 × 64 (`gan_cifar_resnet.py` and
`gan_64x64.py` of the authors' code).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

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
    """Residual blocks with batch norm (WGAN-GP, Gulrajani et al. 2017).

    (N, z_dim) -> (N, *shape) in [−1, 1]. `width` is the number of channels of the last block:
    128 up to 32 pixels, where all blocks have it, and 64 above, where earlier ones have up to 8
    times as many.
    """
    channels, side = image_shape("resnet", shape)
    base, k = stages(side)
    small = side <= _SMALL
    width = width or (128 if small else 64)
    widths = [width] * (k + 1) if small else _widths(width, k)[::-1]
    net = residual_generator(z_dim, widths, base, channels, first_bias=small)
    initialise_residual(net)
    for layer in net:
        # In the code for 64 × 64 the last convolution is drawn as wide as those of the blocks.
        if isinstance(layer, nn.Conv2d) and not small:
            nn.init.xavier_uniform_(layer.weight, gain=2**0.5)
    return net


def discriminator(
    shape: Sequence[int],
    *,
    width: PositiveInt | None = None,
    norm: Literal["none", "layer"] | None = None,
    spectral_norm: bool = False,
) -> nn.Module:
    """Residual blocks for use with a gradient penalty (WGAN-GP, Gulrajani et al. 2017).

    (N, *shape) -> logits (N,). `width` is the number of channels of the first block: 128 up to 32
    pixels, where all four blocks have it, and 64 above, where later ones have up to 8 times as
    many. `norm` is none up to 32 pixels and with `spectral_norm`, and layer above, unless given.
    """
    channels, side = image_shape("resnet", shape)
    small = side <= _SMALL
    width = width or (128 if small else 64)
    norm = norm or ("none" if small or spectral_norm else "layer")
    layer = _layer_norm if norm == "layer" else None
    if small:
        net = nn.Sequential(
            ResidualBlock(channels, width, "down", first=True, norm=layer),
            ResidualBlock(width, width, "down", norm=layer),
            ResidualBlock(width, width, norm=layer),
            ResidualBlock(width, width, norm=layer),
            nn.ReLU(),
            GlobalPool("mean"),
            LinearLogit(width),
            nn.Flatten(0),
        )
    else:
        base, k = stages(side)
        widths = _widths(width, k)
        net = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            *(
                ResidualBlock(before, after, "down", norm=layer, first_bias=False)
                for before, after in itertools.pairwise(widths)
            ),
            nn.Flatten(1),
            LinearLogit(widths[-1] * base**2),
            nn.Flatten(0),
        )
    initialise_residual(net)
    if spectral_norm:
        normalise_spectrum(net)
    return net


def _widths(width: int, k: int) -> list[int]:
    """k + 1 widths from the image inwards. At 64 pixels, k = 4: 1, 2, 4, 8 and 8 times `width`."""
    return [width << min(i, 3, k - 1) for i in range(k + 1)]


def _layer_norm(channels: int) -> nn.Module:
    """Over channel, height and width, with a scale and an offset per channel."""
    return nn.GroupNorm(1, channels)
